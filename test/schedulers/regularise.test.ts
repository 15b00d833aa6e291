import { describe, expect, test } from 'vitest';
import {
  autoCorrelationGradient,
  DDIMInverseScheduler,
  Generator,
  klGradient,
  type PredictionType,
  regularise,
} from '../../src/schedulers/index.ts';
import { expectNear, floats, loadNumbers } from '../support/scheduler-numbers.ts';

/** Of the largest gradient: torch sums in float32. */
const GRADIENT = 1e-5;
const torch = loadNumbers('regularise');

describe('closed-form gradients against torch autograd', () => {
  test.each<{ shape: number[]; seed: number; gradient: string; next: number }>(torch.autoCorrelation)(
    'auto-correlation of $shape',
    ({ shape, seed, gradient, next }) => {
      const generator = new Generator(seed + 100);
      const noise = new Generator(seed).randn(shape);
      expectNear(
        autoCorrelationGradient(noise, shape, bound => generator.randint(bound)),
        floats(gradient),
        GRADIENT,
      );
      expect(generator.randint(1000)).toBe(next);
    },
  );

  test.each<{ seed: number; scale: number; shift: number; gradient: string }>(torch.kl)(
    'divergence of noise times $scale plus $shift',
    ({ seed, scale, shift, gradient }) => {
      const noise = new Generator(seed).randn(240).map(v => v * scale + shift);
      expectNear(klGradient(noise), floats(gradient), GRADIENT);
    },
  );
});

interface Whole {
  kind: PredictionType;
  guided: boolean;
  shape: number[];
  timestep: number;
  rounds: number;
  rolls: number;
  autoCorr: number;
  kl: number;
  values: string;
  next: number;
}

describe('regularise', () => {
  test.each<Whole>(torch.whole)(
    '$kind, guided $guided, shape $shape at $timestep: $rounds x ($rolls rolls at $autoCorr, divergence at $kl)',
    c => {
      const scheduler = new DDIMInverseScheduler({
        betaSchedule: 'scaled_linear',
        betaStart: 0.00085,
        betaEnd: 0.012,
        predictionType: c.kind,
      });
      const generator = new Generator(23);
      const sample = { data: new Generator(21).randn(c.shape), shape: c.shape };
      const output = { data: new Generator(22).randn(c.shape).map(v => v * 0.9 + 0.2), shape: c.shape };
      const result = regularise(output, sample, {
        numRegSteps: c.rounds,
        numAutoCorrRolls: c.rolls,
        lambdaAutoCorr: c.autoCorr,
        lambdaKl: c.kl,
        epsilon: scheduler.getEpsilonCoefficients(c.timestep),
        guided: c.guided,
        draw: bound => generator.randint(bound),
      });
      expectNear(result.data, floats(c.values), GRADIENT);
      expect(generator.randint(1000)).toBe(c.next);
    },
  );

  const draw = () => 0;
  const noise = { data: new Generator(0).randn([2, 1, 4, 4]), shape: [2, 1, 4, 4] };
  const one = { data: noise.data.slice(0, 16), shape: [1, 1, 4, 4] };

  test('does nothing by default, and returns a copy', () => {
    const result = regularise(one, one, { epsilon: { sample: 0, output: 1 }, draw });
    expect(result).toEqual(one);
    expect(result.data).not.toBe(one.data);
  });

  test('leaves the model output alone', () => {
    const before = one.data.slice();
    regularise(one, one, { epsilon: { sample: 0, output: 1 }, draw, numRegSteps: 2 });
    expect(one.data).toEqual(before);
  });

  test('refuses shapes and counts that do not work', () => {
    const epsilon = { sample: 0.5, output: 0.5 };
    expect(() => regularise(noise, noise, { epsilon, draw, guided: true })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: regularise: guided inversion of several pictures cannot be regularised with this prediction type: expected one picture, got 2. Invert the pictures one by one, or with guidanceScale 1.]`,
    );
    expect(() => regularise(noise, one, { epsilon, draw })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: regularise: model output and sample differ in shape: expected [1, 1, 4, 4], got [2, 1, 4, 4]. Combine the two halves of guidance first.]`,
    );
    expect(() => regularise(one, one, { epsilon, draw, numRegSteps: -1 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: regularise: a count is out of range: expected a whole number >= 0, got -1 (numRegSteps). Give 0 or more; leave it out for the default.]`,
    );
    expect(() => regularise(one, one, { epsilon, draw, numAutoCorrRolls: 0 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: regularise: a count is out of range: expected a whole number >= 1, got 0 (numAutoCorrRolls). Give 1 or more; leave it out for the default.]`,
    );
    const row = new Float32Array(4);
    expect(() => autoCorrelationGradient(row, [1, 1, 1, 4], draw)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: autoCorrelationGradient: the noise is not [B, C, H, W] with at least two rows: got [1, 1, 1, 4]. Pass latents, at least 2 high.]`,
    );
    const narrow = new Float32Array(20);
    expect(() => autoCorrelationGradient(narrow, [1, 1, 20, 1], draw)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: autoCorrelationGradient: the noise is too narrow for its height: got [20, 1]. Each halving down to 8 rows must leave at least one column.]`,
    );
    expect(() => klGradient(Float32Array.of(1))).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: klGradient: a variance needs at least two values: got 1. Pass the noise of a whole picture.]`,
    );
  });
});
