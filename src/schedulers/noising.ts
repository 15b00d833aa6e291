/** Clean samples and noise brought together, and where the noise of a step comes from. */
import { InputError, ShapeError } from '../core/errors.ts';
import { type NdArray, ndarray } from '../core/ndarray.ts';
import { sameShape } from '../core/shape.ts';
import { Generator, randnBatch } from './generator.ts';

const f32 = Math.fround;

/** Weights of x_t = sample * x0 + noise * n. */
export interface NoiseMix {
  /** Weight of the clean sample, sqrt(alphaBar), 0 to 1. */
  readonly sample: number;
  /** Weight of the noise, sqrt(1 - alphaBar), 0 to 1; of samplers that go by sigma alone it is sigma, and the other weight 1. */
  readonly noise: number;
}

/** What is brought together. */
export interface NoisePair {
  /** Batch first. */
  readonly sample: NdArray;
  /** The same shape. */
  readonly noise: NdArray;
  /** One for all, or one for each item of the batch. */
  readonly timesteps: number | readonly number[];
}

/**
 * sample * x0 + noise * n, with the weights of each item's timestep.
 * @param op for the message
 * @param pair x0, n and timesteps
 * @param weights of a timestep
 * @returns float32, the sample's shape
 * @throws ShapeError when shapes or counts differ; whatever `weights` throws
 */
export function mixWithNoise(
  op: string,
  { sample, noise, timesteps }: NoisePair,
  weights: (timestep: number) => NoiseMix,
): NdArray {
  ndarray(sample.data, sample.shape);
  ndarray(noise.data, noise.shape);
  const batch = sample.shape[0] ?? 1;
  const steps = typeof timesteps === 'number' ? [timesteps] : timesteps;
  if (!sameShape(sample.shape, noise.shape) || (steps.length !== 1 && steps.length !== batch)) {
    throw new ShapeError({
      op,
      problem: 'sample, noise and timesteps do not belong together',
      expected: `noise ${JSON.stringify(sample.shape)} and 1 or ${batch} timesteps`,
      received: `noise ${JSON.stringify(noise.shape)} and ${steps.length}`,
      fix: 'Give one timestep for all, or one for each item of the batch.',
    });
  }
  const mixes = steps.map(weights);
  const size = sample.data.length / batch;
  const out = sample.data.map((value, i) => {
    const mix = mixes[mixes.length === 1 ? 0 : Math.floor(i / size)] ?? { sample: 0, noise: 0 };
    return f32(mix.sample * value) + f32(mix.noise * (noise.data[i] ?? 0));
  });
  return ndarray(out, sample.shape);
}

/** Where the fresh noise of a step comes from. */
export interface NoiseSource {
  /** Source of the fresh noise: one, or one for each item of the batch. Fresh entropy where absent. */
  readonly generator?: Generator | readonly Generator[];
  /** The fresh noise itself, the sample's shape; instead of a generator. */
  readonly varianceNoise?: NdArray;
}

/**
 * Standard normal numbers for a sample.
 * @param sample whose shape they have
 * @param source where they come from
 * @throws InputError for a generator beside the noise itself; ShapeError for noise of another shape
 */
export function freshNoise(sample: NdArray, { generator, varianceNoise }: NoiseSource): Float32Array {
  if (varianceNoise && generator) {
    throw new InputError({
      op: 'step',
      problem: 'both generator and varianceNoise are given',
      expected: 'one of them',
      received: 'two sources of noise',
      fix: 'Leave one out.',
    });
  }
  if (varianceNoise && !sameShape(varianceNoise.shape, sample.shape)) {
    throw new ShapeError({
      op: 'step',
      problem: 'varianceNoise has another shape than the sample',
      expected: sample.shape,
      received: varianceNoise.shape,
      fix: 'Draw one value for each value of the sample.',
    });
  }
  if (varianceNoise) return varianceNoise.data;
  if (generator) return randnBatch(sample.shape, generator);
  const entropy = new Generator();
  entropy.seed();
  return entropy.randn(sample.shape);
}
