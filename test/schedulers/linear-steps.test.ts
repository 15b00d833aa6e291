/** Steps as weighted sums: what every sampler promises of them, and the ways to step that are refused. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import {
  applyLinearStep,
  applyStep,
  type Blend,
  DDIMScheduler,
  DDPMScheduler,
  DPMSolverMultistepScheduler,
  EulerAncestralDiscreteScheduler,
  EulerDiscreteScheduler,
  Generator,
  LCMScheduler,
  type LinearStep,
  linearSampler,
  PNDMScheduler,
  UniPCMultistepScheduler,
} from '../../src/schedulers/index.ts';
import { recordedModel, SHAPE } from '../support/samplers.ts';
import { expectNear } from '../support/scheduler-numbers.ts';

const SD = { betaSchedule: 'scaled_linear', betaStart: 0.00085, betaEnd: 0.012 } as const;
const x: NdArray = { data: new Generator(3).randn(SHAPE), shape: SHAPE };

const made = {
  Euler: new EulerDiscreteScheduler(SD),
  'Euler ancestral': new EulerAncestralDiscreteScheduler(SD),
  'DPM-Solver++ 2M': new DPMSolverMultistepScheduler(SD),
  'DPM-Solver++ 3M with noise': new DPMSolverMultistepScheduler({
    ...SD,
    solverOrder: 3,
    algorithmType: 'sde-dpmsolver++',
    useKarrasSigmas: true,
  }),
  'UniPC of order 3': new UniPCMultistepScheduler({ ...SD, solverOrder: 3 }),
  'UniPC of bh1': new UniPCMultistepScheduler({ ...SD, solverType: 'bh1' }),
  PNDM: new PNDMScheduler(SD),
  'PNDM without Runge-Kutta steps': new PNDMScheduler({ ...SD, skipPrkSteps: true }),
  LCM: new LCMScheduler(),
  DDPM: new DDPMScheduler({ ...SD, clipSample: false }),
};

/** Every weight of a step's sums. */
const weightsOf = (step: LinearStep): number[] =>
  [step.next, ...step.keep].flatMap(b => [b.sample, b.output, b.clean, b.noise, ...b.kept]);

describe.each(Object.entries(made))('%s', (_, scheduler) => {
  const slots = scheduler.keptSlots;

  test('has finite weights for every value at hand, from wherever a run begins', () => {
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 50 }), fc.nat(), (n, begin) => {
        const all = scheduler.timestepsFor(n);
        const from = begin % all.length;
        const steps = scheduler.linearSteps(n, { from });
        expect(steps.map(step => step.timestep)).toEqual(all.slice(from));
        for (const step of steps) {
          expect(step.keep.length).toBe(slots);
          for (const sum of [step.next, ...step.keep]) expect(sum.kept.length).toBe(slots);
          expect(weightsOf(step).every(Number.isFinite), JSON.stringify(step)).toBe(true);
          expect([step.inputScale, step.level.sample, step.level.noise].every(Number.isFinite)).toBe(true);
        }
        const remembered = (b: Blend): boolean => b.kept.some(weight => weight !== 0);
        expect([steps[0].next, ...steps[0].keep].filter(remembered)).toEqual([]);
      }),
      { seed: 1, numRuns: 15 },
    );
  });

  test('is left as it was by the steps of a run', () => {
    scheduler.setTimesteps(7);
    const before = [scheduler.timesteps, scheduler.numInferenceSteps, scheduler.initNoiseSigma];
    scheduler.linearSteps(11, { from: 2, to: 5 });
    scheduler.initNoiseSigmaFor(5);
    expect([scheduler.timesteps, scheduler.numInferenceSteps, scheduler.initNoiseSigma]).toEqual(before);
    expect(scheduler.linearSteps(11, { from: 2, to: 5 })).toEqual(scheduler.linearSteps(11, { from: 2 }).slice(0, 3));
    expect(scheduler.linearSteps(11, { from: 3, to: 3 })).toEqual([]);
  });

  test('refuses steps that are none, and runs that it does not know', () => {
    expect(() => scheduler.linearSteps(5, { from: 99 })).toThrow('a whole number from 0 to');
    expect(() => scheduler.linearSteps(5, { to: -1 })).toThrow('no step of the run');
    expect(() => scheduler.linearSteps(5, { till: 3 } as object)).toThrow('there is no such argument');
    for (const n of [0, 1.5, -2, Number.NaN, 1001])
      expect(() => scheduler.timestepsFor(n)).toThrow('numInferenceSteps');
    expect(() => scheduler.timestepsFor({})).toThrow('one of numInferenceSteps, timesteps and sigmas');
    expect(() => scheduler.timestepsFor({ numInferenceSteps: 3, steps: 4 } as object)).toThrow('no such argument');
    expect(() => scheduler.timestepsFor('five' as unknown as number)).toThrow('setTimesteps');
    expect(() => scheduler.timestepsFor(null as unknown as number)).toThrow('setTimesteps');
  });
});

describe('DDIM in the same form', () => {
  const clipped = { ...SD, clipSample: true, clipSampleRange: 0.7 };
  const limited = { ...SD, thresholding: true, sampleMaxValue: 1.4, dynamicThresholdingRatio: 0.8 };
  test.each([
    ['plain', { ...SD, clipSample: false }],
    ['clipped', clipped],
    ['limited', limited],
  ])('steps as DDIM does, %s', (_, fields) => {
    const scheduler = new DDIMScheduler(fields);
    const sampler = linearSampler(scheduler, { eta: 0.6 });
    const noise = new Generator(5).randn(SHAPE);
    expect([sampler.keptSlots, sampler.initNoiseSigmaFor(8), sampler.length]).toEqual([0, 1, 1000]);
    expect(sampler.timestepsFor(8)).toEqual(scheduler.timestepsFor(8));
    const steps = sampler.linearSteps(8, { from: 2 });
    scheduler.schedule(8, { eta: 0.6, from: 2 }).forEach(({ coefficients, timestep }, i) => {
      const modelOutput = recordedModel(x, timestep);
      const wanted = applyStep(coefficients, modelOutput, x, { noise });
      const { prevSample, predOriginalSample } = applyLinearStep(steps[i], { sample: x, modelOutput, noise });
      expectNear(prevSample.data, wanted.prevSample.data, 1e-6);
      expectNear(predOriginalSample.data, wanted.predOriginalSample.data, 1e-6);
      expect(steps[i]).toMatchObject({ timestep, level: scheduler.addNoiseCoefficients(timestep), drawsNoise: true });
    });
  });

  test('other samplers are what they are', () => {
    expect(linearSampler(made.PNDM)).toBe(made.PNDM);
    expect(linearSampler(new DDIMScheduler()).linearSteps(3)[0].drawsNoise).toBe(false);
    expect(() => linearSampler(new DDIMScheduler()).timestepsFor({ timesteps: [3] })).toThrow('no such argument');
  });
});

describe('runs by more than their number of steps', () => {
  test('are refused by name where a sampler does not take them', () => {
    expect(() => made['Euler ancestral'].setTimesteps({ timesteps: [999] })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: EulerAncestralDiscreteScheduler.setTimesteps: there is no such argument: got timesteps. Give the number of steps: Euler, DPM-Solver multistep, LCM and DDPM take timesteps, other samplers do not.]`,
    );
    expect(() => made['DPM-Solver++ 2M'].setTimesteps({ sigmas: [14, 0] })).toThrow('Euler takes sigmas');
    expect(() => made.PNDM.setTimesteps({ timesteps: [999] })).toThrow('timesteps');
    expect(() => made.DDPM.setTimesteps({ numInferenceSteps: 3, strength: 0.5 })).toThrow('strength');
  });

  test('want one way, and lists of numbers in their order', () => {
    const { Euler, LCM, DDPM } = made;
    expect(() => Euler.setTimesteps({ numInferenceSteps: 2, timesteps: [9, 1] })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: EulerDiscreteScheduler.setTimesteps: a run is given in one way: expected one of numInferenceSteps, timesteps and sigmas, got numInferenceSteps and timesteps. Give the number of steps.]`,
    );
    expect(() => Euler.setTimesteps({ timesteps: [] })).toThrow('at least 1 finite numbers');
    expect(() => Euler.setTimesteps({ sigmas: [1] })).toThrow('at least 2 finite numbers');
    expect(() => Euler.setTimesteps({ sigmas: [1, 2] })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: EulerDiscreteScheduler.setTimesteps: noise levels do not descend: expected each less than the one before, and none below 0, got [1, 2] (sigmas)]`,
    );
    expect(() => Euler.setTimesteps({ sigmas: [Number.NaN, 0] })).toThrow('sigmas are no list of numbers');
    expect(() => DDPM.setTimesteps({ timesteps: [5, 9] })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: DDPMScheduler.setTimesteps: timesteps do not suit the schedule: expected whole numbers from 999 down to 0, each less than the one before, got [5, 9] (timesteps). Correct them, or give the number of steps instead.]`,
    );
    for (const timesteps of [
      [5, 9],
      [1000, 9],
      [9, -1],
      [9, 9],
    ])
      expect(() => Euler.setTimesteps({ timesteps })).toThrow('expected numbers from 999 down to 0, each less than');
    expect(Euler.timestepsFor({ timesteps: [999, 500.5] })).toEqual([999, 500.5]);
    expect(() => DDPM.setTimesteps({ timesteps: [1000, 9] })).toThrow('timesteps do not suit the schedule');
    expect(() => LCM.setTimesteps({ numInferenceSteps: 4, strength: 0 })).toThrow('no share of the schedule');
    expect(() => LCM.setTimesteps({ numInferenceSteps: 4, originalInferenceSteps: 2000 })).toThrow(
      'original_inference_steps',
    );
    expect(() => LCM.setTimesteps({ numInferenceSteps: 30, strength: 0.5 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: LCMScheduler.setTimesteps: the number of inference steps does not suit the schedule of distillation: expected a whole number from 1 to 25, got 30 (numInferenceSteps). Ask for fewer steps: the model was distilled on 50, of which the strength leaves 25.]`,
    );
    expect(() => made.PNDM.setTimesteps(3)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: PNDMScheduler.setTimesteps: too few steps for Runge-Kutta steps: expected at least 4, got 3 (numInferenceSteps). Take more steps, or set skip_prk_steps to true.]`,
    );
  });

  test('do not go with spacings of their own', () => {
    const karras = { useKarrasSigmas: true };
    expect(() => new EulerDiscreteScheduler(karras).setTimesteps({ timesteps: [9] })).toThrow('karras spacing');
    expect(() => new DPMSolverMultistepScheduler(karras).setTimesteps({ timesteps: [9] })).toThrow('karras spacing');
  });

  test('of the caller do not go with continuous ones of a v-prediction', () => {
    const continuous = { timestepType: 'continuous' } as const;
    const euler = new EulerDiscreteScheduler({ ...continuous, predictionType: 'v_prediction' });
    expect(() => euler.setTimesteps({ timesteps: [9, 3] })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: EulerDiscreteScheduler.setTimesteps: a v-prediction with continuous timesteps is told noise levels, not timesteps of the table (timesteps). Give the number of steps, or sigmas.]`,
    );
    euler.setTimesteps(2);
    const noise = new EulerDiscreteScheduler({ ...continuous, predictionType: 'epsilon' });
    noise.setTimesteps({ timesteps: [9, 3] });
    expect(noise.timesteps).toEqual([9, 3]);
  });
});

describe('stepping', () => {
  test('wants the number of steps first', () => {
    const fresh = new EulerDiscreteScheduler();
    for (const call of [() => fresh.step(x, 1, x), () => fresh.scaleModelInput(x, 1), () => fresh.addNoise(x, x, 1)]) {
      expect(call).toThrow('Call setTimesteps(numInferenceSteps) first.');
    }
    expect(() => fresh.setBeginIndex(0)).toThrow('the number of inference steps is not set');
    expect(fresh.timesteps.length).toBe(1000);
    expect(fresh.initNoiseSigma).toBeGreaterThan(100);
  });

  test('wants timesteps in their order where outputs are remembered', () => {
    const scheduler = new DPMSolverMultistepScheduler(SD);
    scheduler.setTimesteps(4);
    const [first, second, third] = scheduler.timesteps;
    scheduler.step(x, first, x);
    expect(() => scheduler.step(x, third, x)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: step: a timestep out of turn: expected 749, got 500 (timestep). Take \`timesteps\` in their order; setTimesteps() begins a new run.]`,
    );
    scheduler.step(x, second, x);
    scheduler.setTimesteps(1);
    scheduler.step(x, scheduler.timesteps[0], x);
    expect(() => scheduler.step(x, scheduler.timesteps[0], x)).toThrow('no step more');
    expect(() => new EulerDiscreteScheduler(scheduler.config).step(x, 1, x)).toThrow('not set');
  });

  test('goes anywhere where nothing is remembered', () => {
    const scheduler = new DDPMScheduler(SD);
    scheduler.setTimesteps(10);
    const generator = () => ({ generator: new Generator(2) });
    const once = scheduler.step(x, 300, x, generator()).prevSample;
    scheduler.step(x, 800, x, generator());
    expect(scheduler.step(x, 300, x, generator()).prevSample).toEqual(once);
    expect(() => scheduler.step(x, 301, x)).toThrow('the run has no such timestep');
  });

  test('leaves its inputs alone, and draws only where the sampler does', () => {
    const before = x.data.slice();
    const generator = new Generator(1);
    for (const scheduler of [made.Euler, made.PNDM, made['UniPC of order 3']]) {
      scheduler.setTimesteps(5);
      for (const t of scheduler.timesteps.slice(0, 3)) scheduler.step(x, t, x, { generator });
    }
    expect(x.data).toEqual(before);
    expect(generator.random32()).toBe(new Generator(1).random32());
    made['Euler ancestral'].setTimesteps(5);
    const [t] = made['Euler ancestral'].timesteps;
    const own = made['Euler ancestral'].step(x, t, x, { generator: new Generator(8) }).prevSample;
    const varianceNoise = { data: new Generator(8).randn(SHAPE), shape: SHAPE };
    expect(made['Euler ancestral'].step(x, t, x, { varianceNoise }).prevSample).toEqual(own);
    expect(() => made['Euler ancestral'].step(x, t, x, { varianceNoise, generator })).toThrow('Leave one out.');
  });

  test('noise goes to the level of the next step within a run, and to that of a timestep before it', () => {
    const scheduler = new EulerDiscreteScheduler(SD);
    scheduler.setTimesteps(5);
    const { timesteps, sigmas } = scheduler;
    expect(scheduler.addNoiseCoefficients(timesteps[2])).toEqual({ sample: 1, noise: sigmas[2] });
    scheduler.setBeginIndex(1);
    expect(scheduler.addNoiseCoefficients(timesteps[2]).noise).toBe(sigmas[1]);
    scheduler.step(x, timesteps[1], x);
    expect(scheduler.addNoiseCoefficients(timesteps[4]).noise).toBe(sigmas[2]);
    expect(() => scheduler.setBeginIndex(9)).toThrow('a whole number from 0 to 5');
  });

  test('a timestep that comes twice is the second one, where nobody says with which the run begins', () => {
    const scheduler = new UniPCMultistepScheduler({ ...SD, useKarrasSigmas: true });
    scheduler.setTimesteps(50);
    const { timesteps, sigmas } = scheduler;
    const second = timesteps.findIndex((t, i) => i > 0 && t === timesteps[i - 1]);
    expect(second).toBeGreaterThan(0);
    const noiseAt = () => scheduler.addNoiseCoefficients(timesteps[second]).noise;
    const levelAt = (i: number) => sigmas[i] / Math.hypot(sigmas[i], 1);
    expect(noiseAt()).toBeCloseTo(levelAt(second), 6);
    scheduler.setBeginIndex(second - 1);
    expect(noiseAt()).toBeCloseTo(levelAt(second - 1), 6);
  });

  test('a shape of its own is refused', () => {
    made.Euler.setTimesteps(5);
    const flat = { data: x.data, shape: [16] };
    expect(() => made.Euler.step(flat, made.Euler.timesteps[0], x)).toThrow('Combine the two halves of guidance');
    expect(() => applyLinearStep(made.Euler.linearSteps(1)[0], { sample: x, modelOutput: flat })).toThrow(
      'no common shape',
    );
  });
});

test('one step from the highest level to none gives the predicted clean sample of every solver', () => {
  for (const name of ['Euler', 'DPM-Solver++ 2M', 'UniPC of order 3', 'UniPC of bh1'] as const) {
    const [step] = made[name].linearSteps(1);
    const outcome = applyLinearStep(step, { sample: x, modelOutput: recordedModel(x, step.timestep) });
    expectNear(outcome.prevSample.data, outcome.predOriginalSample.data, 1e-6, name);
  }
});

test('a Karras run whose last two levels are one ends where it is', () => {
  const fields = { ...SD, useKarrasSigmas: true, finalSigmasType: 'sigma_min', lowerOrderFinal: false } as const;
  for (const solverOrder of [1, 2, 3]) {
    for (const scheduler of [
      new DPMSolverMultistepScheduler({ ...fields, solverOrder, solverType: 'heun' }),
      new UniPCMultistepScheduler({ ...fields, solverOrder }),
    ]) {
      const last = scheduler.linearSteps(20).at(-1) as LinearStep;
      expect(weightsOf(last).every(Number.isFinite)).toBe(true);
    }
  }
});
