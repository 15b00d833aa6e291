import { describe, expect, test } from 'vitest';
import { DDIMInverseScheduler, DDIMScheduler } from '../../src/schedulers/index.ts';
import { fieldsOf, loadNumbers } from '../support/scheduler-numbers.ts';

const CLASSES = { DDIMScheduler, DDIMInverseScheduler };
const PNDM = { _class_name: 'PNDMScheduler', beta_start: 0.00085, skip_prk_steps: true, clip_sample: false };

interface Chain {
  source: Record<string, unknown>;
  links: {
    class: keyof typeof CLASSES;
    overrides: Record<string, unknown>;
    warned: boolean;
    unset: string[];
    json: Record<string, unknown>;
  }[];
}

describe('fromConfig follows diffusers through chains of schedulers', () => {
  test.each<[number, Chain]>(loadNumbers('configs').chains.map((chain: Chain, i: number) => [i, chain]))(
    'chain %i',
    (_, { source, links }) => {
      let config: Parameters<typeof DDIMScheduler.fromConfig>[0] = source;
      for (const link of links) {
        const warnings: string[] = [];
        const scheduler: DDIMScheduler | DDIMInverseScheduler = CLASSES[link.class].fromConfig(
          config,
          fieldsOf(link.overrides),
          { onWarning: message => warnings.push(message) },
        );
        expect(scheduler.toJSON()).toEqual(link.json);
        expect(Object.keys(scheduler.toJSON())).toEqual(Object.keys(link.json));
        expect([...((scheduler.config.stored['_use_default_values'] as string[]) ?? [])].sort()).toEqual(link.unset);
        expect(warnings.length > 0, JSON.stringify(warnings)).toBe(link.warned);
        config = scheduler.config;
      }
    },
  );
});

describe('scheduler configs', () => {
  test('have the published defaults', () => {
    expect({ ...new DDIMInverseScheduler().config }).toMatchInlineSnapshot(`
      {
        "betaEnd": 0.02,
        "betaSchedule": "linear",
        "betaStart": 0.0001,
        "clipSample": true,
        "clipSampleRange": 1,
        "numTrainTimesteps": 1000,
        "predictionType": "epsilon",
        "rescaleBetasZeroSnr": false,
        "setAlphaToOne": true,
        "stepsOffset": 0,
        "timestepSpacing": "leading",
        "trainedBetas": null,
      }
    `);
    const { thresholding, dynamicThresholdingRatio, sampleMaxValue } = new DDIMScheduler().config;
    expect([thresholding, dynamicThresholdingRatio, sampleMaxValue]).toEqual([false, 0.995, 1]);
  });

  test('a config that never stored clip_sample clips', () => {
    const { clip_sample: _, ...bare } = PNDM;
    const { clipSample, predictionType } = DDIMScheduler.fromConfig(bare).config;
    expect([clipSample, predictionType]).toEqual([true, 'epsilon']);
  });

  test('survive JSON and come back the same', () => {
    const scheduler = DDIMScheduler.fromConfig(PNDM, { thresholding: true, trainedBetas: Array(1000).fill(0.01) });
    const again = DDIMScheduler.fromConfig(JSON.parse(JSON.stringify(scheduler)));
    expect({ ...again.config }).toEqual({ ...scheduler.config });
    expect(again.toJSON()).toEqual(scheduler.toJSON());
    expect(JSON.parse(JSON.stringify(scheduler.config))).toEqual(scheduler.toJSON());
    expect(again.toJSON()['skip_prk_steps']).toBe(true);
  });

  test('may be spread, or written with the names of this library', () => {
    const inverse = DDIMInverseScheduler.fromConfig(DDIMScheduler.fromConfig(PNDM).config);
    expect(inverse.config.betaStart).toBe(0.00085);
    const edited = DDIMInverseScheduler.fromConfig({ ...inverse.config, stepsOffset: 3 });
    expect([edited.config.betaStart, edited.config.stepsOffset]).toEqual([0.00085, 3]);
    expect(new DDIMScheduler(inverse.config).config.thresholding).toBe(false);
    expect(new DDIMScheduler(inverse.config).config.stored['skip_prk_steps']).toBe(true);
    expect(new DDIMInverseScheduler(new DDIMScheduler({ stepsOffset: 1 }).config).config.stepsOffset).toBe(1);
  });

  test('are frozen', () => {
    const { config } = new DDIMScheduler();
    expect(() => Object.assign(config, { clipSample: false })).toThrow(TypeError);
    expect(() => Object.assign(config.stored, { clip_sample: false })).toThrow(TypeError);
  });

  test('treat undefined overrides as absent', () => {
    const overrides = { stepsOffset: undefined } as unknown as { stepsOffset: number };
    expect(DDIMScheduler.fromConfig({ steps_offset: 4 }, overrides).config.stepsOffset).toBe(4);
  });

  test('the old name set_alpha_to_zero overrides set_alpha_to_one, and is kept', () => {
    const warnings: string[] = [];
    const onWarning = (message: string) => warnings.push(message);
    const byJson = DDIMInverseScheduler.fromConfig(
      { set_alpha_to_zero: false, set_alpha_to_one: true },
      {},
      { onWarning },
    );
    const byField = new DDIMInverseScheduler({ setAlphaToZero: false });
    for (const scheduler of [byJson, byField, DDIMInverseScheduler.fromConfig(byField.config)]) {
      expect(scheduler.config.setAlphaToOne).toBe(false);
      expect(scheduler.initialAlphaCumprod).toBe(scheduler.alphasCumprod[0]);
      expect(scheduler.toJSON()['set_alpha_to_zero']).toBe(false);
    }
    expect(new DDIMInverseScheduler({ setAlphaToZero: true, setAlphaToOne: false }).initialAlphaCumprod).toBe(1);
    expect(warnings).toMatchInlineSnapshot(`
      [
        "DDIMInverseScheduler: set_alpha_to_zero is the old name of set_alpha_to_one, and overrides it.",
      ]
    `);
  });

  test('warn once about everything that nobody knows', () => {
    const warnings: string[] = [];
    DDIMScheduler.fromConfig({ ...PNDM, odd: 1, _private: 2, even: [2] }, {}, { onWarning: m => warnings.push(m) });
    expect(warnings).toMatchInlineSnapshot(`
      [
        "DDIMScheduler does not know these config fields and ignores them: {"odd":1,"even":[2]}.",
      ]
    `);
  });

  test('refuse values of the wrong type or range', () => {
    expect(() => DDIMScheduler.fromConfig({ beta_start: '0.1' })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: DDIMScheduler: a config field has the wrong type: expected a number, got "0.1" (beta_start). Correct the field, or leave it out to get its default.]`,
    );
    expect(() => DDIMScheduler.fromConfig({ clip_sample: null })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: DDIMScheduler: a config field has the wrong type: expected a boolean, got null (clip_sample). Correct the field, or leave it out to get its default.]`,
    );
    expect(() => DDIMScheduler.fromConfig({ trained_betas: ['a'] })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: DDIMScheduler: a config field has the wrong type: expected a list of numbers or null, got ["a"] (trained_betas). Correct the field, or leave it out to get its default.]`,
    );
    expect(() => new DDIMScheduler({ numTrainTimesteps: 0 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: DDIMScheduler: a config field is out of range: expected a whole number >= 1, got 0 (num_train_timesteps). Correct the field, or leave it out to get its default.]`,
    );
    expect(() => new DDIMScheduler({ stepsOffset: 0.5 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: DDIMScheduler: a config field is out of range: expected a whole number, got 0.5 (steps_offset). Correct the field, or leave it out to get its default.]`,
    );
    expect(() => new DDIMInverseScheduler({ trainedBetas: [0.1] })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: DDIMInverseScheduler: a config field is out of range: expected at least 1000 values, got 1 (trained_betas). Correct the field, or leave it out to get its default.]`,
    );
    const list = [1] as unknown as Record<string, unknown>;
    expect(() => DDIMScheduler.fromConfig(list)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: DDIMScheduler.fromConfig: the config is no object: got [1] (scheduler_config.json). Pass a scheduler config, or the parsed file.]`,
    );
  });
});
