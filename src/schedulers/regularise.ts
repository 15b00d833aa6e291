/**
 * Regularised inversion: before each inverse step the predicted noise is pushed towards uncorrelated standard normal
 * values. Both losses have closed-form gradients, so no automatic differentiation is needed.
 */

import { InputError, ShapeError } from '../core/errors.ts';
import { checkArray, checkNumbers } from '../core/kinds.ts';
import { checkByName, checkNames, namesOf } from '../core/known-names.ts';
import { type NdArray, ndarray } from '../core/ndarray.ts';
import { dim, type Shape, sameShape } from '../core/shape.ts';
import { checkPyramid } from './check-pyramid.ts';
import type { Mix } from './update.ts';

/** Draws a whole number in [0, bound). `bound => generator.randint(bound)` gives torch's stream. */
export type Draw = (bound: number) => number;

/** Weights and rounds of regularisation, and where its random shifts come from. */
export interface RegulariseOptions {
  /** Rounds, >= 0. Default 0: nothing happens. */
  readonly numRegSteps?: number;
  /** Weight of the auto-correlation loss; <= 0 leaves it out. Default 20. */
  readonly lambdaAutoCorr?: number;
  /** Weight of the divergence from a standard normal; <= 0 leaves it out. Default 20. */
  readonly lambdaKl?: number;
  /** Updates by the auto-correlation loss in each round, with fresh rolls. >= 1, default 5. */
  readonly numAutoCorrRolls?: number;
  /** Noise from sample and model output: `inverseScheduler.getEpsilonCoefficients(t)`. */
  readonly epsilon: Mix;
  /** Whether the network ran on the sample twice, for guidance. Default false. */
  readonly guided?: boolean;
  /** Source of the rolls. */
  readonly draw: Draw;
}

const OPTIONS = namesOf<RegulariseOptions>({
  ...{ numRegSteps: 1, lambdaAutoCorr: 1, lambdaKl: 1, numAutoCorrRolls: 1, epsilon: 1, guided: 1, draw: 1 },
});

/** One channel of one item's noise. */
interface Plane {
  readonly values: Float64Array;
  readonly height: number;
  readonly width: number;
}

/**
 * Gradient of the auto-correlation loss: for each plane and each level of a pyramid of 2x2 means, a random roll r,
 * L += mean(n * roll(n, r, rows))² + mean(n * roll(n, r, columns))²; the last level is the first of at most 8 rows.
 * @param epsilon [B, C, H, W] row-major noise
 * @param shape those sizes; H at least 2
 * @param draw gives r in [0, h / 2); called once a level, item by item, channel by channel, from fine to coarse
 * @returns dL/d epsilon, the same size; sums in double
 * @throws ShapeError when the shape is not [B, C, H, W] with H >= 2, or the width runs out before the height
 * @see Parmar et al. 2023, section 3.2, https://arxiv.org/abs/2302.03027; auto_corr_loss of diffusers
 */
export function autoCorrelationGradient(epsilon: Float32Array, shape: Shape, draw: Draw): Float32Array {
  checkNumbers('autoCorrelationGradient', epsilon);
  ndarray(epsilon, shape);
  checkPyramid(shape);
  const [height, width] = [dim(shape, -2), dim(shape, -1)];
  const size = height * width;
  const out = new Float32Array(epsilon.length);
  for (let start = 0; start < out.length; start += size) {
    const values = Float64Array.from(epsilon.subarray(start, start + size));
    out.set(planeGradient({ values, height, width }, draw), start);
  }
  return out;
}

function planeGradient(plane: Plane, draw: Draw): Float64Array {
  const roll = draw(Math.floor(plane.height / 2));
  const gradient = new Float64Array(plane.values.length);
  addRollGradient(gradient, plane, roll, 0);
  addRollGradient(gradient, plane, 0, roll);
  if (plane.height > 8) addPooledGradient(gradient, plane, planeGradient(pool(plane), draw));
  return gradient;
}

/** Adds d/dn mean(n * roll(n))² = 2 m / N * (roll(n) + unroll(n)), m being that mean. */
function addRollGradient(
  gradient: Float64Array,
  { values, height, width }: Plane,
  rows: number,
  columns: number,
): void {
  const rolled = (i: number, sign: number): number => {
    const y = modulo(Math.floor(i / width) - sign * rows, height);
    return values[y * width + modulo((i % width) - sign * columns, width)] ?? 0;
  };
  const mean = values.reduce((sum, value, i) => sum + value * rolled(i, 1), 0) / values.length;
  const scale = (2 * mean) / values.length;
  gradient.forEach((value, i) => {
    gradient[i] = value + scale * (rolled(i, 1) + rolled(i, -1));
  });
}

/** The remainder in [0, size), also of a negative number. */
function modulo(i: number, size: number): number {
  return ((i % size) + size) % size;
}

/** 2x2 means; an odd last row or column is dropped. */
function pool({ values, height, width }: Plane): Plane {
  const [h, w] = [Math.floor(height / 2), Math.floor(width / 2)];
  const at = (y: number, x: number): number => values[y * width + x] ?? 0;
  const pooled = Float64Array.from({ length: h * w }, (_, i) => {
    const [y, x] = [2 * Math.floor(i / w), 2 * (i % w)];
    return (at(y, x) + at(y, x + 1) + at(y + 1, x) + at(y + 1, x + 1)) / 4;
  });
  return { values: pooled, height: h, width: w };
}

/** Hands each mean's gradient back to its four values, a quarter each. */
function addPooledGradient(gradient: Float64Array, { height, width }: Plane, pooled: Float64Array): void {
  const [h, w] = [Math.floor(height / 2), Math.floor(width / 2)];
  for (let y = 0; y < 2 * h; y++) {
    for (let x = 0; x < 2 * w; x++) {
      const i = y * width + x;
      gradient[i] = (gradient[i] ?? 0) + (pooled[(y >> 1) * w + (x >> 1)] ?? 0) / 4;
    }
  }
}

/**
 * Gradient of the divergence from a standard normal, L = var + mean² - 1 - ln(var + 1e-7), over all values at once:
 * 2 (e - mean) / (N - 1) * (1 - 1 / (var + 1e-7)) + 2 mean / N, var unbiased.
 * @param epsilon noise, N >= 2 values
 * @returns dL/d epsilon, the same size; sums in double
 * @throws ShapeError when there are fewer than two values
 * @see kl_divergence of diffusers' DiffEdit pipeline
 */
export function klGradient(epsilon: Float32Array): Float32Array {
  checkNumbers('klGradient', epsilon);
  const count = epsilon.length;
  if (count < 2) {
    throw new ShapeError({
      op: 'klGradient',
      problem: 'a variance needs at least two values',
      received: count,
      fix: 'Pass the noise of a whole picture.',
    });
  }
  const mean = epsilon.reduce((sum, value) => sum + value, 0) / count;
  const variance = epsilon.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
  const spread = (2 / (count - 1)) * (1 - 1 / (variance + 1e-7));
  return epsilon.map(value => spread * (value - mean) + (2 * mean) / count);
}

/**
 * All of an inversion step's regularisation: each round takes `numAutoCorrRolls` updates
 * v -= lambdaAutoCorr / rolls * dL_ac/dv and one update v -= lambdaKl * dL_kl/dv, eps = sample * x + output * v.
 * With guidance the network's input is the sample twice; where eps depends on the sample, the losses then see both
 * copies (each with rolls of its own) and their gradients add up, as in diffusers.
 * @param modelOutput v [B, C, H, W] after guidance; left unchanged
 * @param sample x [B, C, H, W] that the network saw
 * @param options weights, rounds, the noise's coefficients and the source of the rolls
 * @returns the updated model output, float32
 * @throws ShapeError when shapes differ, or for B > 1 with guidance where eps depends on the sample; InputError for counts
 * @see invert of diffusers' DiffEdit pipeline
 */
export function regularise(modelOutput: NdArray, sample: NdArray, options: RegulariseOptions): NdArray {
  checkByName('regularise', options);
  checkNames('regularise', options, OPTIONS);
  const { numRegSteps = 0, numAutoCorrRolls = 5, lambdaAutoCorr = 20, lambdaKl = 20, epsilon, draw } = options;
  checkCount('numRegSteps', numRegSteps, 0);
  checkCount('numAutoCorrRolls', numAutoCorrRolls, 1);
  for (const array of [modelOutput, sample]) checkArray('regularise', array);
  ndarray(modelOutput.data, modelOutput.shape);
  if (!sameShape(modelOutput.shape, sample.shape)) {
    throw new ShapeError({
      op: 'regularise',
      problem: 'model output and sample differ in shape',
      expected: sample.shape,
      received: modelOutput.shape,
      fix: 'Combine the two halves of guidance first.',
    });
  }
  const copies = options.guided && epsilon.sample !== 0 ? 2 : 1;
  const [batch = 1, ...item] = modelOutput.shape;
  if (copies === 2 && batch !== 1) {
    throw new ShapeError({
      op: 'regularise',
      problem: 'guided inversion of several pictures cannot be regularised with this prediction type',
      expected: 'one picture',
      received: `${batch}`,
      fix: 'Invert the pictures one by one, or with guidanceScale 1.',
    });
  }
  const shape = [copies * batch, ...item];

  let v = modelOutput.data;
  const descend = (rate: number, gradientAt: (eps: Float32Array) => Float32Array): void => {
    const gradient = gradientAt(noiseOf(v, sample.data, epsilon, copies));
    v = v.map((value, i) => {
      let slope = 0;
      for (let copy = 0; copy < copies; copy++) slope += gradient[i + copy * v.length] ?? 0;
      return value - rate * epsilon.output * slope;
    });
  };
  for (let round = 0; round < numRegSteps; round++) {
    for (let roll = 0; lambdaAutoCorr > 0 && roll < numAutoCorrRolls; roll++) {
      descend(lambdaAutoCorr / numAutoCorrRolls, eps => autoCorrelationGradient(eps, shape, draw));
    }
    if (lambdaKl > 0) descend(lambdaKl, klGradient);
  }
  return ndarray(v === modelOutput.data ? v.slice() : v, modelOutput.shape);
}

/** eps = sample * x + output * v, once for each copy of the batch. */
function noiseOf(v: Float32Array, x: Float32Array, mix: Mix, copies: number): Float32Array {
  const out = new Float32Array(copies * v.length);
  const eps = v.map((value, i) => mix.output * value + (mix.sample === 0 ? 0 : mix.sample * (x[i] ?? 0)));
  for (let copy = 0; copy < copies; copy++) out.set(eps, copy * v.length);
  return out;
}

function checkCount(path: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new InputError({
    op: 'regularise',
    problem: 'a count is out of range',
    expected: `a whole number >= ${least}`,
    value,
    path,
    fix: `Give ${least} or more; leave it out for the default.`,
  });
}
