/**
 * The form that a step of every sampler has: x' and whatever later steps need are weighted sums of what is at hand, so that one
 * kernel can take them all, and what a multistep method remembers never leaves the device. How a sampler comes to its weights is
 * in its own file; which steps a run has is in linear-scheduler.ts.
 */
import { checkArray } from '../core/kinds.ts';
import { checkByName } from '../core/known-names.ts';
import { type NdArray, ndarray } from '../core/ndarray.ts';
import type { NoiseMix } from './noising.ts';
import { checkShapes, type Mix, type NoisyMix, type Threshold, thresholdInPlace } from './update.ts';

/** A weighted sum of what a step has at hand: sample * x + output * e + clean * x0 + noise * n + sum of kept[k] * h_k. */
export interface Blend extends NoisyMix {
  /** Weight of x0, the predicted clean sample within its bounds; 0 where it has none. */
  readonly clean: number;
  /** Weights of the values that the step before kept. */
  readonly kept: readonly number[];
}

/**
 * One evaluation of the model and what is made of it. The model is given inputScale * x and the timestep; of its output e
 * x0 = mix(cleanSample), clipped or thresholded; then x' = blend(next), and value k that is kept is blend(keep[k]), all of them
 * of the values as they were before the step.
 */
export interface LinearStep {
  /** The noise level that the model is told, 0 to T - 1; of some samplers no whole number. */
  readonly timestep: number;
  /** Factor of x in what the model is given. */
  readonly inputScale: number;
  /** Weights that bring a clean sample to the level that x has before the step. */
  readonly level: NoiseMix;
  /** The predicted clean sample x0 before any clipping. */
  readonly cleanSample: Mix;
  /** Bound of |x0|, or null where x0 is not clipped. */
  readonly clip: number | null;
  /** Dynamic thresholding of x0, or null; excludes clip. */
  readonly threshold: Threshold | null;
  /** x'. */
  readonly next: Blend;
  /** What is kept for the next step; of the first step of a run nothing that was kept has a weight. */
  readonly keep: readonly Blend[];
  /** Whether diffusers draws noise in this step, be its weight 0 or not. */
  readonly drawsNoise: boolean;
}

const NONE: Blend = { sample: 0, output: 0, clean: 0, noise: 0, kept: [] };
/** x itself. */
export const SAMPLE: Blend = { ...NONE, sample: 1 };
/** The model output e. */
export const OUTPUT: Blend = { ...NONE, output: 1 };
/** The fresh noise n. */
export const NOISE: Blend = { ...NONE, noise: 1 };

/** What slot k holds. */
export function keptIn(k: number): Blend {
  return { ...NONE, kept: [...Array(k).fill(0), 1] };
}

/** How x0 is bounded. */
export interface Bounds {
  readonly clip: number | null;
  readonly threshold: Threshold | null;
}

/** No bounds. */
export const UNBOUNDED: Bounds = { clip: null, threshold: null };

/** Fields that bound x0; what a class has not is absent. */
export interface BoundFields {
  readonly thresholding?: boolean;
  readonly dynamicThresholdingRatio?: number;
  readonly sampleMaxValue?: number;
  readonly clipSample?: boolean;
  readonly clipSampleRange?: number;
}

/** The bounds of a config: thresholding wins over clipping. */
export function boundsOf(c: BoundFields): Bounds {
  if (c.thresholding) {
    return { clip: null, threshold: { ratio: c.dynamicThresholdingRatio ?? 1, maxValue: c.sampleMaxValue ?? 1 } };
  }
  return c.clipSample ? { clip: c.clipSampleRange ?? 1, threshold: null } : UNBOUNDED;
}

/** x0 as a blend: of x and e where nothing bounds it, else by itself. */
export function cleanBlend(cleanSample: Mix, { clip, threshold }: Bounds): Blend {
  return clip === null && threshold === null ? { ...NONE, ...cleanSample } : { ...NONE, clean: 1 };
}

/** The sum of weighted blends; what has the weight 0 has no part, be it infinite. */
export function blend(...terms: readonly (readonly [weight: number, of: Blend])[]): Blend {
  const parts = terms.filter(([weight]) => weight !== 0);
  const sum = (of: (b: Blend) => number): number =>
    parts.reduce((total, [weight, b]) => total + (of(b) === 0 ? 0 : weight * of(b)), 0);
  const slots = Math.max(0, ...parts.map(([, b]) => b.kept.length));
  return {
    sample: sum(b => b.sample),
    output: sum(b => b.output),
    clean: sum(b => b.clean),
    noise: sum(b => b.noise),
    kept: Array.from({ length: slots }, (_, k) => sum(b => b.kept[k] ?? 0)),
  };
}

/** The same with a weight for every slot. */
export function padded(b: Blend, slots: number): Blend {
  return { ...b, kept: Array.from({ length: slots }, (_, k) => b.kept[k] ?? 0) };
}

/** What a step works on. */
export interface StepOperands {
  /** x, batch first. */
  readonly sample: NdArray;
  /** e, the same shape. */
  readonly modelOutput: NdArray;
  /** Standard normal numbers of that shape; none count as 0. */
  readonly noise?: Float32Array | undefined;
  /** What the step before kept; nothing before the first. */
  readonly kept?: readonly Float32Array[] | undefined;
}

/** What a step leaves. */
export interface StepOutcome {
  /** x'. */
  readonly prevSample: NdArray;
  /** The predicted clean sample x0 within its bounds. */
  readonly predOriginalSample: NdArray;
  /** For the next step. */
  readonly kept: readonly Float32Array[];
}

/**
 * One step on the host; sums run in double and are rounded once.
 * @param step its weights
 * @param operands x, e, and what else it needs
 * @returns x', x0 and what is kept, float32
 * @throws ShapeError when the shapes differ; InputError for what is no step
 */
export function applyLinearStep(step: LinearStep, operands: StepOperands): StepOutcome {
  for (const given of [step, operands]) checkByName('applyLinearStep', given);
  const { sample, modelOutput, noise, kept = [] } = operands;
  for (const array of [modelOutput, sample]) checkArray('applyLinearStep', array);
  checkShapes(modelOutput, sample);
  const [x, e] = [sample.data, modelOutput.data];
  const { clip, threshold, cleanSample } = step;
  const clean = weighted(x.length, [
    [cleanSample.sample, x],
    [cleanSample.output, e],
  ]);
  if (threshold) thresholdInPlace(clean, sample.shape[0] ?? 1, threshold);
  else if (clip !== null) clean.set(clean.map(value => Math.min(Math.max(value, -clip), clip)));
  const of = (b: Blend): Float32Array =>
    weighted(x.length, [
      [b.sample, x],
      [b.output, e],
      [b.clean, clean],
      [b.noise, noise],
      ...b.kept.map((weight, k) => [weight, kept[k]] as const),
    ]);
  return {
    prevSample: ndarray(of(step.next), sample.shape),
    predOriginalSample: ndarray(clean, sample.shape),
    kept: step.keep.map(of),
  };
}

function weighted(length: number, terms: readonly (readonly [number, Float32Array | undefined])[]): Float32Array {
  const sum = new Float64Array(length);
  for (const [weight, values] of terms) {
    if (weight === 0 || !values) continue;
    for (let i = 0; i < length; i++) sum[i] = (sum[i] ?? 0) + weight * (values[i] ?? 0);
  }
  return Float32Array.from(sum);
}
