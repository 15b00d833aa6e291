import type { StepValues } from '../../src/kernels/step.ts';

/** The numbers of a step that guided-step reads. */
export type StepNumbers = {
  [K in Exclude<keyof StepValues, 'mapWeight' | 'mapFirst' | 'historyIndex' | 'stepNumber' | 'rescale'>]-?: number;
};

/** Latents [N, P, C] without padding; predictions [N or 2N, P, C]. */
export interface GuidedStepReference {
  images: number;
  pixels: number;
  channels: number;
  values: StepNumbers;
  prediction: ArrayLike<number>;
  x: ArrayLike<number>;
  guided: boolean;
  noise?: ArrayLike<number> | undefined;
  /** [N]: x0 stays within its image's bound and is divided by it. */
  bounds?: ArrayLike<number> | undefined;
  /** masks [M, P], reference [T, R, P, C]. */
  blend?:
    | {
        mask: ArrayLike<number>;
        masks: number;
        tiled: boolean;
        reference: ArrayLike<number>;
        references: number;
        soft?: boolean | undefined;
      }
    | undefined;
}

/** e = u + guidance * (c - u). */
export function guidedNoise(prediction: ArrayLike<number>, guidance: number): Float64Array {
  const count = prediction.length / 2;
  return Float64Array.from({ length: count }, (_, i) => {
    const u = prediction[i];
    return u + guidance * (prediction[count + i] - u);
  });
}

/** One step in f64. */
export function guidedStep(r: GuidedStepReference): Float64Array {
  const { values: v, x, blend } = r;
  const e = r.guided ? guidedNoise(r.prediction, v.guidance) : r.prediction;
  const size = r.pixels * r.channels;
  return Float64Array.from({ length: r.images * size }, (_, i) => {
    let x0 = v.x0FromX * x[i] + v.x0FromNoise * e[i];
    if (v.clip > 0) x0 = Math.min(v.clip, Math.max(-v.clip, x0));
    const bound = r.bounds?.[Math.floor(i / size)];
    if (bound !== undefined) x0 = Math.min(bound, Math.max(-bound, x0)) / bound;
    const eps = v.epsFromX * x[i] + v.epsFromNoise * e[i];
    const out = v.outFromX0 * x0 + v.outFromEps * eps + (r.noise ? v.sigma * r.noise[i] : 0);
    if (!blend) return out;
    const image = Math.floor(i / size);
    const pixel = Math.floor((i % size) / r.channels);
    const mask = blend.tiled ? image % blend.masks : Math.floor((image * blend.masks) / r.images);
    const grey = blend.mask[mask * r.pixels + pixel];
    const m = blend.soft ? Number(grey > v.maskAbove) : grey;
    const reference = v.referenceIndex * blend.references + Math.floor((image * blend.references) / r.images);
    return out * m + blend.reference[reference * size + (i % size)] * (1 - m);
  });
}

/**
 * Guided predictions with `share` of their spread brought back to that of the conditional ones c; one image.
 * Lin et al. 2023, section 3.4, https://arxiv.org/abs/2305.08891
 */
export function rescaled(e: Float64Array, c: Float64Array, share: number): Float64Array {
  const factor = (share * deviation(c)) / deviation(e) + 1 - share;
  return e.map(value => value * factor);
}

function deviation(values: Float64Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}
