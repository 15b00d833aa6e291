import { f16round } from '@petamoriken/float16';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import {
  type DDIMFields,
  type DDIMInverseFields,
  DDIMInverseScheduler,
  DDIMScheduler,
  Generator,
  type PredictionType,
  type StepCoefficients,
} from '../../src/schedulers/index.ts';
import { loadGolden } from '../support/golden.ts';
import {
  absSum,
  dummyModel,
  dummyNoise,
  dummySample,
  expectNear,
  fieldsOf,
  floats,
  loadNumbers,
} from '../support/scheduler-numbers.ts';

/** Of the tensor's largest magnitude: what a scheduler loop may be off by. */
const LOOP = 1e-5;
const golden = loadGolden('schedulers');
const numbers = loadNumbers('steps');
const tanhModel = (x: NdArray): NdArray => ({ data: x.data.map(v => Math.tanh(v * 0.5 + 0.1)), shape: x.shape });

describe('whole loops against the recorded ones', () => {
  const names = golden.names.filter(name => /^ddim.*out$/.test(name)).map(name => name.slice(0, -4));
  test.each(names)('%s', name => {
    const [, i, n, ...eta] = name.split('.');
    const scheduler = DDIMScheduler.fromConfig(golden.json.configs[Number(i)]);
    scheduler.setTimesteps(Number(n));
    const generator = new Generator(Number(i));
    const start = golden.floats(`${name}.x`);
    let x: NdArray = { data: generator.randn(start.shape), shape: start.shape };
    expectNear(x.data, start.data, LOOP, 'start');
    for (const t of scheduler.timesteps) {
      x = scheduler.step(tanhModel(x), t, x, { eta: Number(eta.join('.')), generator }).prevSample;
    }
    expectNear(x.data, golden.floats(`${name}.out`).data, LOOP, name);
  });

  const inverse = golden.names.filter(name => /^inverse.*out$/.test(name)).map(name => name.slice(0, -4));
  test.each(inverse)('%s', name => {
    const [, i, n] = name.split('.');
    const scheduler = DDIMInverseScheduler.fromConfig(golden.json.configs[Number(i)]);
    scheduler.setTimesteps(Number(n));
    let x: NdArray = golden.floats(`${name}.x`);
    for (const t of scheduler.timesteps) x = scheduler.step(tanhModel(x), t, x).prevSample;
    expectNear(x.data, golden.floats(`${name}.out`).data, LOOP, name);
  });

  test('there are 32 of them forwards and 10 backwards', () => {
    expect([names.length, inverse.length]).toEqual([32, 10]);
  });
});

describe("diffusers' own scheduler tests", () => {
  const vary = { betaStart: 0.01 };
  const loops: [string, Partial<DDIMFields & DDIMInverseFields>, number, number, number, number][] = [
    ['default', {}, 172.0067, 0.223967, 671.6816, 0.8746],
    ['v_prediction', { predictionType: 'v_prediction' }, 52.5302, 0.0684, 1394.2185, 1.8154],
    ['set_alpha_to_one', { ...vary, setAlphaToOne: true }, 149.8295, 0.1951, 539.9622, 0.7031],
    ['no set_alpha_to_one', { ...vary, setAlphaToOne: false }, 149.0784, 0.1941, 542.6722, 0.7066],
  ];
  test.each(loops)('ten steps, %s', (_, fields, sum, mean, inverseSum, inverseMean) => {
    for (const [scheduler, total, average] of [
      [new DDIMScheduler(fields), sum, mean],
      [new DDIMInverseScheduler(fields), inverseSum, inverseMean],
    ] as const) {
      scheduler.setTimesteps(10);
      let x = dummySample();
      for (const t of scheduler.timesteps) x = scheduler.step(dummyModel(x, t), t, x).prevSample;
      expect(Math.abs(absSum(x.data) - total)).toBeLessThan(1e-2);
      expect(Math.abs(absSum(x.data) / 768 - average)).toBeLessThan(1e-3);
    }
  });

  test('noise added at the ninth timestep, then the rest of the loop', () => {
    const scheduler = new DDIMScheduler();
    scheduler.setTimesteps(10);
    const rest = scheduler.timesteps.slice(8);
    let x = scheduler.addNoise(dummySample(), dummyNoise(), rest.slice(0, 1));
    for (const t of rest) x = scheduler.step(dummyModel(x, t), t, x).prevSample;
    expect(Math.abs(absSum(x.data) - 354.5418)).toBeLessThan(1e-2);
    expect(Math.abs(absSum(x.data) / 768 - 0.4616)).toBeLessThan(1e-3);
  });

  test.each([
    [0, 0, 0],
    [420, 400, 0.14771],
    [980, 960, 0.3246],
    [487, 486, 0.00979],
    [999, 998, 0.02],
  ])('variance from %i to %i', (timestep, previous, expected) => {
    expect(Math.abs(new DDIMScheduler().variance(timestep, previous) - expected)).toBeLessThan(1e-5);
  });
});

describe('other settings against diffusers', () => {
  test('loops over all combinations of length, betas, schedule, prediction, spacing, clipping and eta', () => {
    expect(numbers.loops.length).toBeGreaterThan(200);
    for (const { config, eta, values, sum } of numbers.loops) {
      const scheduler = new DDIMScheduler(fieldsOf(config));
      scheduler.setTimesteps(7);
      let x = dummySample();
      for (const t of scheduler.timesteps) {
        const options = eta > 0 ? { eta, varianceNoise: dummyNoise() } : {};
        x = scheduler.step(dummyModel(x, t), t, x, options).prevSample;
      }
      const label = JSON.stringify({ ...config, eta });
      // With hardly any signal left, 1 - a' - sigma² cancels and shows the last bit of torch's square root.
      const tolerance = eta > 0 && config.beta_start === 0.01 ? 1e-4 : LOOP;
      expectNear(
        x.data.filter((_, i) => i % 97 === 0),
        floats(values),
        tolerance,
        label,
      );
      expect(Math.abs(absSum(x.data) - sum), label).toBeLessThanOrEqual(tolerance * sum);
    }
  });

  const x = { data: new Generator(1).randn(120).map(v => v * 2), shape: [2, 3, 5, 4] };
  const e = { data: new Generator(2).randn(120), shape: [2, 3, 5, 4] };

  test.each<{ config: Record<string, unknown>; prev: string; clean: string }>(numbers.single)(
    'noise derived again from the clipped sample: $config',
    ({ config, prev, clean }) => {
      const scheduler = new DDIMScheduler(fieldsOf(config));
      scheduler.setTimesteps(10);
      const result = scheduler.step(e, 500, x, { useClippedModelOutput: true });
      expectNear(result.prevSample.data, floats(prev), LOOP, 'prevSample');
      expectNear(result.predOriginalSample.data, floats(clean), LOOP, 'predOriginalSample');
    },
  );

  test('noise and velocity with a timestep for each item', () => {
    const scheduler = new DDIMScheduler({ betaSchedule: 'scaled_linear', betaStart: 0.00085, betaEnd: 0.012 });
    expectNear(scheduler.addNoise(x, e, [3, 700]).data, floats(numbers.noised), 1e-6);
    expectNear(scheduler.getVelocity(x, e, [3, 700]).data, floats(numbers.velocity), 1e-6);
  });

  test.each<{ timestep: number; sample: number; noise: number }>(numbers.half)(
    'half-precision noise weights at $timestep, bit for bit',
    ({ timestep, sample, noise }) => {
      const scheduler = new DDIMScheduler({ betaSchedule: 'scaled_linear', betaStart: 0.00085, betaEnd: 0.012 });
      expect(scheduler.addNoiseCoefficients(timestep, 'float16')).toEqual({ sample, noise });
    },
  );
});

test('half-precision noise weights are the nearest halves at all timesteps', () => {
  for (const betaEnd of [0.012, 0.2]) {
    const scheduler = new DDIMScheduler({ betaStart: 0.00085, betaEnd });
    for (let t = 0; t < 1000; t++) {
      const alpha = f16round(scheduler.alphasCumprod[t] ?? Number.NaN);
      const [sample, noise] = [f16round(Math.sqrt(alpha)), f16round(Math.sqrt(f16round(1 - alpha)))];
      expect(scheduler.addNoiseCoefficients(t, 'float16'), `${t}`).toEqual({ sample, noise });
    }
  }
});

describe('step coefficients', () => {
  const kinds: PredictionType[] = ['epsilon', 'v_prediction', 'sample'];
  const plain = { clipSample: false, setAlphaToOne: false, stepsOffset: 1 };

  function linearStep({ linear }: StepCoefficients, e: NdArray, x: NdArray, n: Float32Array): Float32Array {
    if (!linear) throw new Error('the step is not linear');
    return x.data.map((v, i) => linear.sample * v + linear.output * e.data[i] + linear.noise * n[i]);
  }

  test.each(kinds)('the linear form does what step does: %s', predictionType => {
    const forward = new DDIMScheduler({ ...plain, predictionType });
    const inverse = new DDIMInverseScheduler({ ...plain, predictionType });
    const generator = new Generator(6);
    const shape = [1, 4, 5, 7];
    const [x, e, n] = [0, 1, 2].map(() => ({ data: generator.randn(shape), shape }));
    for (const steps of [3, 50]) {
      forward.setTimesteps(steps);
      inverse.setTimesteps(steps);
      for (const t of forward.timesteps) {
        const stepped = forward.step(e, t, x, { eta: 0.7, varianceNoise: n }).prevSample;
        expectNear(linearStep(forward.stepCoefficients(t, { eta: 0.7 }), e, x, n.data), stepped.data, LOOP);
      }
      for (const t of inverse.timesteps) {
        expectNear(linearStep(inverse.stepCoefficients(t), e, x, n.data), inverse.step(e, t, x).prevSample.data, LOOP);
      }
    }
  });

  test('name the clip, the threshold or the linear form, one of the three', () => {
    const at = (fields: Partial<DDIMFields>) => {
      const scheduler = new DDIMScheduler(fields);
      scheduler.setTimesteps(10);
      const { clip, threshold, linear } = scheduler.stepCoefficients(500);
      return { clip, threshold, linear: linear !== null };
    };
    expect(at({ clipSampleRange: 2 })).toEqual({ clip: 2, threshold: null, linear: false });
    expect(at({ clipSample: false })).toEqual({ clip: null, threshold: null, linear: true });
    const threshold = { ratio: 0.9, maxValue: 3 };
    expect(at({ thresholding: true, dynamicThresholdingRatio: 0.9, sampleMaxValue: 3 })).toEqual({
      clip: null,
      threshold,
      linear: false,
    });
  });

  test('the forward step undoes the inverse step where the model says the same at both ends', () => {
    const property = fc.property(
      fc.constantFrom<PredictionType>('epsilon'),
      fc.integer({ min: 1, max: 48 }),
      fc.integer({ min: 0, max: 2 ** 31 }),
      (predictionType, k, seed) => {
        const forward = new DDIMScheduler({ ...plain, predictionType });
        const inverse = new DDIMInverseScheduler({ ...plain, predictionType });
        forward.setTimesteps(50);
        inverse.setTimesteps(50);
        const generator = new Generator(seed);
        const [x, e] = [0, 1].map(() => ({ data: generator.randn([1, 4, 3, 3]), shape: [1, 4, 3, 3] }));
        const t = inverse.timesteps[k];
        const back = forward.step(e, t, inverse.step(e, t, x).prevSample).prevSample;
        expectNear(back.data, x.data, 1e-5);
      },
    );
    fc.assert(property, { seed: 5, numRuns: 50 });
  });

  test('the inverse lands on the level that it names, starting one stride below', () => {
    const inverse = new DDIMInverseScheduler(plain);
    inverse.setTimesteps(50);
    const [first, second] = [inverse.stepCoefficients(1), inverse.stepCoefficients(21)];
    expect([first.alphaT, first.alphaPrev]).toEqual([inverse.alphasCumprod[0], inverse.alphasCumprod[1]]);
    expect([second.alphaT, second.alphaPrev]).toEqual([inverse.alphasCumprod[1], inverse.alphasCumprod[21]]);
  });

  test('keep the stride T // N whatever the spacing', () => {
    const scheduler = new DDIMScheduler({ ...plain, timestepSpacing: 'linspace' });
    scheduler.setTimesteps(7);
    expect(scheduler.stepCoefficients(scheduler.timesteps[1]).alphaPrev).toBe(
      scheduler.alphasCumprod[scheduler.timesteps[1] - 142],
    );
  });

  test('divide by zero where the published formula does', () => {
    const inverse = new DDIMInverseScheduler({ predictionType: 'sample' });
    inverse.setTimesteps(10);
    expect(inverse.stepCoefficients(0).noise.sample).toBe(Number.POSITIVE_INFINITY);
    const zero = new DDIMScheduler({ rescaleBetasZeroSnr: true, timestepSpacing: 'trailing', clipSample: false });
    zero.setTimesteps(10);
    expect(zero.stepCoefficients(999).cleanSample.sample).toBe(Number.POSITIVE_INFINITY);
  });

  test('take as much fresh noise as there is, behind a level without signal too, and refuse more', () => {
    const betas = { betaStart: 0.00085, betaEnd: 0.012, betaSchedule: 'scaled_linear' } as const;
    const zero = new DDIMScheduler({ ...plain, ...betas, rescaleBetasZeroSnr: true, timestepSpacing: 'trailing' });
    for (const { timestep, coefficients } of zero.schedule(10, { eta: 1 }))
      expect([timestep, coefficients.direction >= 0]).toEqual([timestep, true]);
    expect(() => zero.schedule(10, { eta: 1.01 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: step: more fresh noise than there is behind the step at timestep 999: expected a number from 0 to 1, got 1.01 (eta). 0 is deterministic DDIM, 1 has the noise of DDPM.]`,
    );
  });

  test('give the noise at the own level of a timestep', () => {
    const level = new DDIMInverseScheduler(plain).alphasCumprod[401];
    const at = (predictionType: PredictionType) =>
      new DDIMInverseScheduler({ ...plain, predictionType }).getEpsilonCoefficients(401);
    expect(at('epsilon')).toEqual({ sample: 0, output: 1 });
    expect(at('v_prediction').output).toBeCloseTo(Math.sqrt(level), 6);
    expect(at('v_prediction').sample).toBeCloseTo(Math.sqrt(1 - level), 6);
    expect(at('sample').output).toBeCloseTo(-Math.sqrt(level / (1 - level)), 6);
    expect(at('sample').sample).toBeCloseTo(1 / Math.sqrt(1 - level), 6);
  });
});

describe('step', () => {
  const x = dummySample();
  const ready = (fields: Partial<DDIMFields> = {}) => {
    const scheduler = new DDIMScheduler(fields);
    scheduler.setTimesteps(10);
    return scheduler;
  };

  test('leaves its inputs alone', () => {
    const before = x.data.slice();
    ready({ thresholding: true, predictionType: 'sample' }).step(x, 500, x);
    expect(x.data).toEqual(before);
  });

  test('draws the noise from the generator, from a list of them, or from the caller', () => {
    const own = ready().step(x, 500, x, { eta: 1, generator: new Generator(3) }).prevSample;
    const given = { data: new Generator(3).randn(x.shape), shape: x.shape };
    expect(ready().step(x, 500, x, { eta: 1, varianceNoise: given }).prevSample).toEqual(own);
    const list = ready().step(x, 500, x, {
      eta: 1,
      generator: [1, 2, 3, 4].map(seed => new Generator(seed)),
    }).prevSample;
    const first = ready().step(x, 500, x, { eta: 1, generator: new Generator(1) }).prevSample;
    expect(list.data.slice(0, 16)).toEqual(first.data.slice(0, 16));
    expect(list.data.slice(192, 208)).not.toEqual(first.data.slice(192, 208));
  });

  test('draws fresh entropy where nobody gives a generator', () => {
    const scheduler = ready();
    const [a, b] = [0, 1].map(() => scheduler.step(x, 500, x, { eta: 1 }).prevSample.data);
    expect(a).not.toEqual(b);
    expect(a.every(Number.isFinite)).toBe(true);
  });

  test('draws nothing without eta', () => {
    const generator = new Generator(1);
    ready().step(x, 500, x, { generator });
    expect(generator.random32()).toBe(new Generator(1).random32());
  });

  test('lets one NaN through to its whole picture when thresholding, and to no other', () => {
    const poisoned = { data: x.data.slice(), shape: x.shape };
    poisoned.data[3] = Number.NaN;
    const { data } = ready({ thresholding: true }).step(poisoned, 500, x).predOriginalSample;
    expect(data.slice(0, 192).every(Number.isNaN)).toBe(true);
    expect(data.slice(192).some(Number.isNaN)).toBe(false);
  });

  test('does not scale the model input', () => {
    expect(ready().scaleModelInput(x)).toBe(x);
    expect([ready().order, ready().initNoiseSigma, ready().length]).toEqual([1, 1, 1000]);
  });

  test('refuses what makes no sense', () => {
    const noise = { eta: 1, varianceNoise: x };
    expect(() => new DDIMScheduler().step(x, 0, x)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: step: the number of inference steps is not set. Call setTimesteps(numInferenceSteps) first.]`,
    );
    expect(() => new DDIMInverseScheduler().step(x, 0, x)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: step: the number of inference steps is not set. Call setTimesteps(numInferenceSteps) first.]`,
    );
    const odd = DDIMScheduler.fromConfig({ prediction_type: 'flow' });
    odd.setTimesteps(10);
    expect(() => odd.step(x, 500, x)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: step: unknown prediction type: expected epsilon, sample or v_prediction, got "flow" (prediction_type). Give another one: Scheduler.fromConfig(config, { predictionType }).]`,
    );
    expect(() => ready().step(x, 500, x, { ...noise, generator: new Generator(0) })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: step: both generator and varianceNoise are given: expected one of them, got two sources of noise. Leave one out.]`,
    );
    expect(() => ready().step(x, 1000, x)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: Scheduler: the schedule has no such timestep: expected a whole number from 0 to 999, got 1000 (timestep). Take one of \`timesteps\`; a steps_offset above 0 can push the last one past the end when N equals T.]`,
    );
    expect(() => ready().step(x, 0.5, x)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: Scheduler: the schedule has no such timestep: expected a whole number from 0 to 999, got 0.5 (timestep). Take one of \`timesteps\`; a steps_offset above 0 can push the last one past the end when N equals T.]`,
    );
    expect(() => ready().step(x, 500, x, { eta: -1 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: step: eta is not a number >= 0: got -1 (eta). 0 is deterministic DDIM, 1 has the noise of DDPM.]`,
    );
    const flat = { data: x.data, shape: [768] };
    expect(() => ready().step(flat, 500, x)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: step: model output and sample have no common shape with at least one element: expected [4, 3, 8, 8], got [768]. Combine the two halves of guidance before the step.]`,
    );
    expect(() => ready().step(x, 500, x, { eta: 1, varianceNoise: flat })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: step: varianceNoise has another shape than the sample: expected [4, 3, 8, 8], got [768]. Draw one value for each value of the sample.]`,
    );
    expect(() => ready().addNoise(x, x, [1, 2])).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: addNoise: sample, noise and timesteps do not belong together: expected noise [4,3,8,8] and 1 or 4 timesteps, got noise [4,3,8,8] and 2. Give one timestep for all, or one for each item of the batch.]`,
    );
  });
});

test('without an offset the first inverse step, at timestep 0, changes nothing', () => {
  const scheduler = DDIMInverseScheduler.fromConfig({ steps_offset: 0, set_alpha_to_one: false, clip_sample: false });
  scheduler.setTimesteps(4);
  expect(scheduler.timesteps[0]).toBe(0);
  const x: NdArray = { data: Float32Array.of(0.3, -2, 5), shape: [1, 3, 1, 1] };
  const { prevSample } = scheduler.step(tanhModel(x), 0, x);
  expectNear(prevSample.data, x.data, 1e-6, 'identity');
});
