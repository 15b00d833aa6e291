/** One step of any sampler whose results are weighted sums, and the blend of inpainting, as recorded nodes with effects. */
import { linearStep as linearStepCall, linearStepWeights } from '../../kernels/linear-step.ts';
import { noisedBlend as noisedBlendCall } from '../../kernels/noised-blend.ts';
import type { Tensor } from '../tensor.ts';
import { EffectNode } from './effect.ts';

/** A weighted sum of what a step has at hand. */
export interface SumWeights {
  /** Of x. */
  readonly sample: number;
  /** Of the prediction e. */
  readonly output: number;
  /** Of the predicted clean latents x0. */
  readonly clean: number;
  /** Of the noise. */
  readonly noise: number;
  /** Of the values that were kept. */
  readonly kept: readonly number[];
}

/** Shape of the DeviceTensor (float32) that holds the weights of a step. */
export function weightsShape(slots: number): readonly [number, number] {
  return [1, linearStepWeights(slots)];
}

/** What to write into that DeviceTensor: the sum that becomes x', then one for each slot. */
export function weightValues(next: SumWeights, keep: readonly SumWeights[]): Float32Array {
  const rows = [next, ...keep];
  return Float32Array.from(rows.flatMap(row => [row.sample, row.output, row.clean, row.noise, ...row.kept]));
}

/** Shape of the DeviceTensor (float32) that holds what is kept of latents [N, C, H, W]; the kernel alone knows how it lies there. */
export function keptShape([images = 0, channels = 0, ...sides]: readonly number[], slots: number): readonly number[] {
  return slots === 0 ? [1, 4] : [images * slots, channels, ...sides];
}

/** What a step reads and writes. */
export interface LinearStepOperands {
  /** [2N, C, H, W], the unconditional half first, or [N, C, H, W]. */
  readonly prediction: Tensor;
  /** f32 [N, C, H, W], changed in place. */
  readonly x: Tensor;
  /** f32, STEP_SHAPE: guidance, x0FromX, x0FromNoise, clip. */
  readonly step: Tensor;
  /** f32, `weightsShape`. */
  readonly weights: Tensor;
  /** f32, `keptShape`, changed in place. */
  readonly kept: Tensor;
  /** Values that are kept. */
  readonly slots: number;
  /** f32 [N, C, H, W]; absent where it has no part. */
  readonly noise?: Tensor | undefined;
  /** f32 [N, 1], as `cleanBounds` leaves them. */
  readonly bounds?: Tensor | undefined;
}

/**
 * Records guidance and one step of a sampler, in place: e = u + g (c - u), x0 of x and e, and x' and what is kept as weighted sums.
 * @see diffusers SchedulerMixin.step
 */
export function linearStep(o: LinearStepOperands): void {
  const { prediction, x, step, weights, kept, slots, noise, bounds } = o;
  const images = x.dim(0);
  const buffers = {
    ...{ prediction, conditional: prediction, x, step, weights, kept },
    noise: noise ?? step,
    bound: bounds ?? step,
  };
  const node = new EffectNode(buffers, l =>
    linearStepCall({
      ...{ images, pixels: x.dim(2) * x.dim(3), channels: x.dim(1), slots },
      storage: l.storage(prediction.dtype),
      guided: prediction.dim(0) === 2 * images,
      noise: noise !== undefined,
      bounded: bounds !== undefined,
    }),
  );
  x.graph.effect(node);
}

/**
 * Records x = mask x + (1 - mask) (outFromX0 clean + sigma noise), in place.
 * @param o.x f32 [N, C, H, W]
 * @param o.step f32, STEP_SHAPE: outFromX0, sigma
 * @param o.mask f32 [N, 1, H, W]
 * @param o.clean f32 [N, C, H, W]
 * @param o.noise f32 [N, C, H, W]
 */
export function noisedBlend(o: Readonly<Record<'x' | 'step' | 'mask' | 'clean' | 'noise', Tensor>>): void {
  const { x } = o;
  const problem = { images: x.dim(0), pixels: x.dim(2) * x.dim(3), channels: x.dim(1) };
  x.graph.effect(new EffectNode({ ...o }, () => noisedBlendCall(problem)));
}
