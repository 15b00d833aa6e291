/**
 * The arithmetic that DDIM and its inverse share: from signal levels to coefficients, and their use on plain arrays with
 * float32 rounding where torch rounds. Which levels a timestep stands for is decided in ddim.ts and ddim-inverse.ts.
 */

import { InputError, ShapeError } from '../core/errors.ts';
import { checkArray } from '../core/kinds.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { type NdArray, ndarray } from '../core/ndarray.ts';
import { sameShape, sizeOf } from '../core/shape.ts';
import type { PredictionType } from './config.ts';

const f32 = Math.fround;

/** A value made of sample x and model output e: sample * x + output * e. */
export interface Mix {
  /** Weight of x, the sample at the present level. */
  readonly sample: number;
  /** Weight of e, what the model predicted. */
  readonly output: number;
}

/** A mix with fresh noise n: sample * x + output * e + noise * n. */
export interface NoisyMix extends Mix {
  /** Weight of n; 0 for deterministic steps. */
  readonly noise: number;
}

/** Dynamic thresholding: clamp at the quantile `ratio` of the magnitudes, itself clamped to [1, maxValue], then divide. */
export interface Threshold {
  /** Quantile of |x0| that becomes the bound, 0 to 1. */
  readonly ratio: number;
  /** Upper bound of the clamp, >= 1. */
  readonly maxValue: number;
}

/**
 * All numbers of one update, as plain doubles:
 * x0 = mix(cleanSample), clipped or thresholded; eps = mix(noise);
 * x' = sqrt(alphaPrev) * x0 + direction * eps + sigma * n.
 */
export interface StepCoefficients {
  /** What the model output e means. */
  readonly predictionType: PredictionType;
  /** Signal level that the sample is taken to have: acp in [0, 1]. */
  readonly alphaT: number;
  /** 1 - alphaT. */
  readonly betaT: number;
  /** Signal level that the result has. */
  readonly alphaPrev: number;
  /** Deviation of the fresh noise; 0 for deterministic steps. */
  readonly sigma: number;
  /** sqrt(1 - alphaPrev - sigma²). */
  readonly direction: number;
  /** The predicted clean sample x0 before any clipping. */
  readonly cleanSample: Mix;
  /** The predicted noise eps. */
  readonly noise: Mix;
  /** Bound of |x0|, or null where x0 is not clipped. */
  readonly clip: number | null;
  /** Dynamic thresholding of x0, or null; excludes clip. */
  readonly threshold: Threshold | null;
  /** x' = sample * x + output * e + noise * n; null where x0 is clipped or thresholded. */
  readonly linear: NoisyMix | null;
}

/** What one step returns, both with the sample's shape. */
export interface StepResult {
  /** x', the sample at the step's other level. */
  readonly prevSample: NdArray;
  /** The predicted clean sample x0, clipped or thresholded where the config says so. */
  readonly predOriginalSample: NdArray;
}

/** What a step needs beside prediction and sample: fresh noise. */
export interface ApplyOptions {
  /** Standard normal numbers with the sample's shape, for sigma > 0. */
  readonly noise?: Float32Array;
  /** Derives the noise again from the clipped x0. Default false. */
  readonly useClippedModelOutput?: boolean;
}

const APPLY = namesOf<ApplyOptions>({ noise: 1, useClippedModelOutput: 1 });

/** sqrt in float32, as torch takes it of a float32 scalar. */
export function sqrt32(x: number): number {
  return f32(Math.sqrt(x));
}

/**
 * How clean sample and noise follow from sample and model output at one signal level.
 * epsilon: x0 = (x - sqrt(1-a) e) / sqrt(a), eps = e; sample: x0 = e, eps = (x - sqrt(a) e) / sqrt(1-a);
 * v: x0 = sqrt(a) x - sqrt(1-a) e, eps = sqrt(a) e + sqrt(1-a) x.
 * @param predictionType what the model output means
 * @param alpha a, the signal level in [0, 1]
 * @returns both mixes; infinite where the formula divides by 0
 * @throws InputError for another prediction type
 * @see Salimans & Ho 2022, appendix D, https://arxiv.org/abs/2202.00512 (v)
 */
export function predictionMixes(predictionType: PredictionType, alpha: number): PredictionMixes {
  return mixesAt(predictionType, sqrt32(alpha), sqrt32(f32(1 - alpha)));
}

/** What a model output says at one noise level. */
export interface PredictionMixes {
  /** The clean sample x0. */
  readonly cleanSample: Mix;
  /** The noise eps. */
  readonly noise: Mix;
}

/**
 * The same for a level that is given by the weights of signal and noise, whose squares sum to 1.
 * @throws InputError for another prediction type
 */
export function mixesAt(predictionType: PredictionType, signal: number, rest: number): PredictionMixes {
  switch (predictionType) {
    case 'epsilon':
      return { cleanSample: { sample: 1 / signal, output: -rest / signal }, noise: { sample: 0, output: 1 } };
    case 'sample':
      return { cleanSample: { sample: 0, output: 1 }, noise: { sample: 1 / rest, output: -signal / rest } };
    case 'v_prediction':
      return { cleanSample: { sample: signal, output: -rest }, noise: { sample: rest, output: signal } };
    default:
      throw new InputError({
        op: 'step',
        problem: 'unknown prediction type',
        expected: 'epsilon, sample or v_prediction',
        value: predictionType,
        path: 'prediction_type',
        fix: 'Give another one: Scheduler.fromConfig(config, { predictionType }).',
      });
  }
}

/**
 * Completes the numbers of one update.
 * @param levels the two signal levels, the noise's deviation, and what happens to x0
 * @returns the coefficients
 * @throws InputError for an unknown prediction type
 * @see Song et al. 2021, equations 12 and 16, https://arxiv.org/abs/2010.02502
 */
export function completeCoefficients(
  levels: Pick<StepCoefficients, 'predictionType' | 'alphaT' | 'alphaPrev' | 'sigma' | 'clip' | 'threshold'>,
): StepCoefficients {
  const { alphaT, alphaPrev, sigma } = levels;
  const { cleanSample, noise } = predictionMixes(levels.predictionType, alphaT);
  // With the noise of DDPM behind a level without signal this is 0, and may come out a last place below.
  const direction = sqrt32(Math.max(f32(f32(1 - alphaPrev) - f32(sigma * sigma)), 0));
  const signal = sqrt32(alphaPrev);
  const isLinear = levels.clip === null && levels.threshold === null;
  const linear = {
    sample: signal * cleanSample.sample + direction * noise.sample,
    output: signal * cleanSample.output + direction * noise.output,
    noise: sigma,
  };
  return { ...levels, betaT: f32(1 - alphaT), direction, cleanSample, noise, linear: isLinear ? linear : null };
}

/**
 * One update on the host, every operation rounded to float32 in torch's order.
 * @param c the step's coefficients
 * @param modelOutput e, any shape with the batch first
 * @param sample x, the same shape
 * @param options noise for sigma > 0, and the re-derived noise
 * @returns x' and x0
 * @throws ShapeError when the shapes differ
 */
export function applyStep(
  c: StepCoefficients,
  modelOutput: NdArray,
  sample: NdArray,
  options: ApplyOptions = {},
): StepResult {
  checkNames('applyStep', options, APPLY);
  for (const array of [modelOutput, sample]) checkArray('applyStep', array);
  checkShapes(modelOutput, sample);
  const [e, x] = [modelOutput.data, sample.data];
  const [signal, rest] = [sqrt32(c.alphaT), sqrt32(c.betaT)];
  const noiseFrom = (clean: Float32Array): Float32Array =>
    x.map((value, i) => f32(value - f32(signal * (clean[i] ?? 0))) / rest);

  let clean = e.slice();
  if (c.predictionType === 'epsilon') clean = x.map((value, i) => f32(value - f32(rest * (e[i] ?? 0))) / signal);
  if (c.predictionType === 'v_prediction') {
    clean = x.map((value, i) => f32(signal * value) - f32(rest * (e[i] ?? 0)));
  }
  let noise = c.predictionType === 'sample' ? noiseFrom(clean) : e;
  if (c.predictionType === 'v_prediction') noise = e.map((v, i) => f32(signal * v) + f32(rest * (x[i] ?? 0)));

  const { clip, threshold } = c;
  if (threshold) thresholdInPlace(clean, sample.shape[0] ?? 1, threshold);
  else if (clip !== null) clean = clean.map(value => Math.min(Math.max(value, -clip), clip));
  if (options.useClippedModelOutput) noise = noiseFrom(clean);

  const prevSignal = sqrt32(c.alphaPrev);
  const fresh = options.noise;
  const prev = clean.map((value, i) => {
    const next = f32(f32(prevSignal * value) + f32(c.direction * (noise[i] ?? 0)));
    return fresh ? next + f32(c.sigma * (fresh[i] ?? 0)) : next;
  });
  return { prevSample: ndarray(prev, sample.shape), predOriginalSample: ndarray(clean, sample.shape) };
}

/** @throws ShapeError for a model output of another shape than the sample, or without elements */
export function checkShapes(modelOutput: NdArray, sample: NdArray): void {
  ndarray(modelOutput.data, modelOutput.shape);
  ndarray(sample.data, sample.shape);
  if (sameShape(modelOutput.shape, sample.shape) && sizeOf(sample.shape) > 0) return;
  throw new ShapeError({
    op: 'step',
    problem: 'model output and sample have no common shape with at least one element',
    expected: sample.shape,
    received: modelOutput.shape,
    fix: 'Combine the two halves of guidance before the step.',
  });
}

/**
 * Dynamic thresholding of predicted clean samples, each item of the batch by itself.
 * @see Saharia et al. 2022, section 2.3, https://arxiv.org/abs/2205.11487; torch.quantile's linear interpolation
 */
export function thresholdInPlace(clean: Float32Array, batch: number, { ratio, maxValue }: Threshold): void {
  const size = clean.length / batch;
  for (let start = 0; start < clean.length; start += size) {
    const item = clean.subarray(start, start + size);
    const bound = f32(Math.min(Math.max(quantile(item.map(Math.abs), ratio), 1), maxValue));
    item.forEach((value, i) => {
      item[i] = f32(Math.min(Math.max(value, -bound), bound)) / bound;
    });
  }
}

function quantile(magnitudes: Float32Array, ratio: number): number {
  const sorted = magnitudes.sort();
  // Typed arrays sort NaN to the end, and torch lets one NaN decide.
  const top = sorted.at(-1) ?? Number.NaN;
  if (Number.isNaN(top)) return Number.NaN;
  const rank = f32(f32(ratio) * (sorted.length - 1));
  const below = Math.floor(rank);
  const weight = f32(rank - below);
  const low = sorted[below] ?? top;
  const gap = f32((sorted[Math.ceil(rank)] ?? top) - low);
  return weight < 0.5 ? f32(low + f32(weight * gap)) : f32(low + gap - f32(gap * f32(1 - weight)));
}
