/** Configs of the samplers beside DDIM: made from one another, of published models, and refused. */
import { describe, expect, test } from 'vitest';
import { SCHEDULERS, schedulerFromConfig } from '../../src/schedulers/by-class-name.ts';
import {
  DDIMScheduler,
  DDPMScheduler,
  DPMSolverMultistepScheduler,
  EulerAncestralDiscreteScheduler,
  EulerDiscreteScheduler,
  LCMScheduler,
  PNDMScheduler,
  type SchedulerConfig,
  type SchedulerJson,
  UniPCMultistepScheduler,
} from '../../src/schedulers/index.ts';
import { ALL_SAMPLERS, loadSamplers } from '../support/samplers.ts';
import { fieldsOf } from '../support/scheduler-numbers.ts';

/** Stable Diffusion 1.5's. */
const SD15 = {
  _class_name: 'PNDMScheduler',
  _diffusers_version: '0.6.0',
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  beta_start: 0.00085,
  num_train_timesteps: 1000,
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  trained_betas: null,
  clip_sample: false,
};

interface Chain {
  source: SchedulerJson;
  links: {
    class: keyof typeof ALL_SAMPLERS;
    overrides: Record<string, unknown>;
    warned: boolean;
    unset: string[];
    json: Record<string, unknown>;
  }[];
}

test.each<[number, Chain]>(loadSamplers('configs').map((chain: Chain, i) => [i, chain]))(
  'fromConfig follows diffusers from class to class, chain %i',
  (_, { source, links }) => {
    let config: SchedulerConfig | SchedulerJson = source;
    for (const link of links) {
      const warnings: string[] = [];
      const scheduler: InstanceType<(typeof ALL_SAMPLERS)[keyof typeof ALL_SAMPLERS]> = ALL_SAMPLERS[
        link.class
      ].fromConfig(config, fieldsOf(link.overrides), {
        onWarning: message => warnings.push(message),
      });
      const label = `${link.class} ${JSON.stringify(warnings)}`;
      // JSON has no infinity: lambda_min_clipped comes out as null, which is read as -Infinity.
      expect(JSON.parse(JSON.stringify(scheduler)), label).toEqual(link.json);
      expect([...((scheduler.config.stored['_use_default_values'] as string[]) ?? [])].sort()).toEqual(link.unset);
      expect(warnings.length > 0, label).toBe(link.warned);
      ({ config } = scheduler);
    }
  },
);

describe('published configs', () => {
  const turbo = {
    ...SD15,
    _class_name: 'EulerDiscreteScheduler',
    interpolation_type: 'linear',
    prediction_type: 'epsilon',
    sample_max_value: 1,
    timestep_spacing: 'trailing',
    timestep_type: 'discrete',
    use_karras_sigmas: false,
  };

  test("sd-turbo's takes one to four steps from the highest timestep", async () => {
    const warnings: string[] = [];
    const scheduler = await schedulerFromConfig(turbo, undefined, { onWarning: m => warnings.push(m) });
    expect(scheduler).toBeInstanceOf(EulerDiscreteScheduler);
    expect(warnings).toEqual([]);
    expect([1, 2, 3, 4].map(n => scheduler.timestepsFor(n))).toEqual([
      [999],
      [999, 499],
      [999, 666, 332],
      [999, 749, 499, 249],
    ]);
    expect(scheduler.initNoiseSigma).toBeCloseTo(14.6146, 4);
  });

  test("sd-turbo's only step takes the whole noise away", () => {
    const [step] = EulerDiscreteScheduler.fromConfig(turbo).linearSteps(1);
    expect(step.next.sample).toBeCloseTo(1, 12);
    expect(step.next.output).toBeCloseTo(-14.6146, 4);
    expect(step.inputScale).toBeCloseTo(1 / Math.hypot(14.6146, 1), 6);
    expect([step.drawsNoise, step.keep]).toEqual([false, []]);
  });

  test("LCM-LoRA takes Stable Diffusion 1.5's config over into LCMScheduler without a word", () => {
    const warnings: string[] = [];
    const pndm = PNDMScheduler.fromConfig(SD15);
    const scheduler = LCMScheduler.fromConfig(pndm.config, {}, { onWarning: m => warnings.push(m) });
    expect(warnings).toEqual([]);
    expect(scheduler.config).toMatchObject({ betaStart: 0.00085, originalInferenceSteps: 50, timestepScaling: 10 });
    expect(scheduler.timestepsFor(4)).toEqual([999, 759, 499, 259]);
    const steps = scheduler.linearSteps(4);
    expect(steps.map(step => step.drawsNoise)).toEqual([true, true, true, false]);
    expect(scheduler.toJSON()).toMatchObject({ _class_name: 'LCMScheduler', skip_prk_steps: true, steps_offset: 1 });
  });

  test('lambda_min_clipped may be null, as JSON writes -Infinity', () => {
    const scheduler = DPMSolverMultistepScheduler.fromConfig({ ...SD15, lambda_min_clipped: null });
    expect(scheduler.timestepsFor(3)).toEqual(new DPMSolverMultistepScheduler(scheduler.config).timestepsFor(3));
    const again = JSON.parse(JSON.stringify(new DPMSolverMultistepScheduler()));
    expect(DPMSolverMultistepScheduler.fromConfig(again).timestepsFor(5)).toEqual([999, 799, 599, 400, 200]);
  });

  test("DDPM takes the variance of DPM-Solver's saved configs for its default", () => {
    const saved = JSON.parse(JSON.stringify(DPMSolverMultistepScheduler.fromConfig(SD15)));
    const scheduler = DDPMScheduler.fromConfig(saved);
    expect(scheduler.config.varianceType).toBeNull();
    expect(scheduler.linearSteps(5)).toEqual(
      DDPMScheduler.fromConfig(saved, { varianceType: 'fixed_small' }).linearSteps(5),
    );
  });

  test('each class is made by the name that a folder gives it', async () => {
    expect([...SCHEDULERS].sort()).toEqual(Object.keys(ALL_SAMPLERS).sort());
    for (const [name, Class] of Object.entries(ALL_SAMPLERS)) {
      expect(await schedulerFromConfig({ ...SD15, _class_name: name })).toBeInstanceOf(Class);
    }
    expect(await schedulerFromConfig(PNDMScheduler.fromConfig(SD15).config)).toBeInstanceOf(PNDMScheduler);
    expect(await schedulerFromConfig(SD15, 'UniPCMultistepScheduler')).toBeInstanceOf(UniPCMultistepScheduler);
    await expect(
      schedulerFromConfig({ ...SD15, _class_name: 'HeunDiscreteScheduler' }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: schedulerFromConfig: there is no such scheduler: expected DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, LCMScheduler, PNDMScheduler, UniPCMultistepScheduler, got "HeunDiscreteScheduler" (_class_name). Choose one of these: for most models each makes much the same pictures.]`,
    );
    await expect(schedulerFromConfig({})).rejects.toThrow('there is no such scheduler');
  });
});

describe('what a sampler has not is refused by its name in the file', () => {
  test.each<[string, () => unknown, string]>([
    [
      'a prediction of Euler',
      () => EulerDiscreteScheduler.fromConfig({ prediction_type: 'flow_prediction' }),
      'prediction_type',
    ],
    [
      'a prediction of Euler ancestral',
      () => EulerAncestralDiscreteScheduler.fromConfig({ prediction_type: 'sample' }),
      'prediction_type',
    ],
    ['a prediction of PNDM', () => PNDMScheduler.fromConfig({ prediction_type: 'sample' }), 'prediction_type'],
    ['a prediction of LCM', () => LCMScheduler.fromConfig({ prediction_type: 'x' }), 'prediction_type'],
    [
      'an interpolation',
      () => EulerDiscreteScheduler.fromConfig({ interpolation_type: 'cubic' }),
      'interpolation_type',
    ],
    ['a timestep type', () => EulerDiscreteScheduler.fromConfig({ timestep_type: 'x' }), 'timestep_type'],
    ['a last level', () => EulerDiscreteScheduler.fromConfig({ final_sigmas_type: 'x' }), 'final_sigmas_type'],
    [
      'a last level of null',
      () => UniPCMultistepScheduler.fromConfig({ final_sigmas_type: null }),
      'final_sigmas_type',
    ],
    [
      'two spacings',
      () => new UniPCMultistepScheduler({ useKarrasSigmas: true, useBetaSigmas: true }),
      'use_karras_sigmas',
    ],
    ['a spacing of a word', () => EulerDiscreteScheduler.fromConfig({ use_karras_sigmas: 'yes' }), 'use_karras_sigmas'],
    ['an algorithm', () => DPMSolverMultistepScheduler.fromConfig({ algorithm_type: 'x' }), 'algorithm_type'],
    ['a solver', () => DPMSolverMultistepScheduler.fromConfig({ solver_type: 'x' }), 'solver_type'],
    ['a solver of UniPC', () => UniPCMultistepScheduler.fromConfig({ solver_type: 'x' }), 'solver_type'],
    ['an order', () => new DPMSolverMultistepScheduler({ solverOrder: 4 }), 'solver_order'],
    [
      'an order of the stochastic noise solver',
      () =>
        new DPMSolverMultistepScheduler({
          solverOrder: 3,
          algorithmType: 'sde-dpmsolver',
          finalSigmasType: 'sigma_min',
        }),
      'solver_order',
    ],
    ['an order of UniPC', () => new UniPCMultistepScheduler({ solverOrder: 0 }), 'solver_order'],
    [
      'noise at a level without noise',
      () => new DPMSolverMultistepScheduler({ algorithmType: 'dpmsolver' }),
      'final_sigmas_type',
    ],
    ['the same of UniPC', () => new UniPCMultistepScheduler({ predictX0: false }), 'final_sigmas_type'],
    ['a high order at that level', () => new UniPCMultistepScheduler({ lowerOrderFinal: false }), 'final_sigmas_type'],
    ['flow matching', () => new DPMSolverMultistepScheduler({ useFlowSigmas: true }), 'use_flow_sigmas'],
    ['flow matching of UniPC', () => new UniPCMultistepScheduler({ useFlowSigmas: true }), 'use_flow_sigmas'],
    ['learned variances', () => new DPMSolverMultistepScheduler({ varianceType: 'learned_range' }), 'variance_type'],
    ['learned variances of DDPM', () => DDPMScheduler.fromConfig({ variance_type: 'learned' }), 'variance_type'],
    [
      'a variance whose root diffusers cannot take',
      () => DDPMScheduler.fromConfig({ variance_type: 'fixed_large_log' }),
      'variance_type',
    ],
    ['another predictor', () => UniPCMultistepScheduler.fromConfig({ solver_p: {} }), 'solver_p'],
    [
      'steps that are no numbers',
      () => UniPCMultistepScheduler.fromConfig({ disable_corrector: ['a'] }),
      'disable_corrector',
    ],
    ['a sigmoid beside DDPM', () => PNDMScheduler.fromConfig({ beta_schedule: 'sigmoid' }), 'beta_schedule'],
    ['a level of a word', () => EulerDiscreteScheduler.fromConfig({ sigma_max: 'much' }), 'sigma_max'],
  ])('%s', (_, make, path) => {
    expect(make).toThrow(new RegExp(`\\b${path}\\b`));
  });

  test('with what it may be, and how to correct it', () => {
    expect(() => new DPMSolverMultistepScheduler({ algorithmType: 'dpmsolver' })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: DPMSolverMultistepScheduler: a setting that this scheduler has not: expected sigma_min, got "zero" (final_sigmas_type). Correct the field of scheduler_config.json, or override it in DPMSolverMultistepScheduler.fromConfig().]`,
    );
    expect(() => new UniPCMultistepScheduler({ solverOrder: 9 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: UniPCMultistepScheduler: a setting that this scheduler has not: expected 1 or 2 or 3 or 4, got 9 (solver_order). Correct the field of scheduler_config.json, or override it in UniPCMultistepScheduler.fromConfig().]`,
    );
    expect(
      () => new EulerDiscreteScheduler({ useKarrasSigmas: true, useExponentialSigmas: true }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[InputError: EulerDiscreteScheduler: two spacings of noise levels at once: expected one of use_karras_sigmas, use_exponential_sigmas and use_beta_sigmas, got karras and exponential (scheduler_config.json). Set the others to false.]`,
    );
    expect(() => EulerDiscreteScheduler.fromConfig({ sigma_min: [] })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: EulerDiscreteScheduler: a config field has the wrong type: expected a number or null, got [] (sigma_min). Correct the field, or leave it out to get its default.]`,
    );
    expect(() => DDIMScheduler.fromConfig({ beta_schedule: 'sigmoid' })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: makeBetas: unknown beta schedule: expected linear, scaled_linear or squaredcos_cap_v2, got "sigmoid" (beta_schedule). Give one of the three, or the values themselves as trained_betas.]`,
    );
  });

  test('names that are no fields', () => {
    const odd = { sigmaMid: 1 } as unknown as { sigmaMin: number };
    expect(() => new EulerDiscreteScheduler(odd)).toThrow('Write sigmaMin.');
    expect(() => EulerDiscreteScheduler.fromConfig(SD15, odd)).toThrow('there is no such argument');
  });
});

test('fields may be written with the names of this library in a spread config', () => {
  const { config } = EulerDiscreteScheduler.fromConfig(SD15, { useKarrasSigmas: true });
  const edited = EulerDiscreteScheduler.fromConfig({ ...config, sigmaMax: 10 });
  expect([edited.config.useKarrasSigmas, edited.config.sigmaMax, edited.config.betaStart]).toEqual([true, 10, 0.00085]);
});
