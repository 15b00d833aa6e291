/**
 * The arithmetic around the denoiser as recorded nodes with effects on DeviceTensors: one step of a sampler, the map of
 * differences, its threshold. What changes from step to step lies in a small DeviceTensor that the host rewrites.
 */
import { ShapeError } from '../../core/errors.ts';
import { cleanBound as cleanBoundCall } from '../../kernels/clean-bound.ts';
import { drawLatents as drawLatentsCall } from '../../kernels/draw-latents.ts';
import { firstNonFinite as firstNonFiniteCall, NONE_FOUND } from '../../kernels/first-nonfinite.ts';
import { guidanceRescale } from '../../kernels/guidance-rescale.ts';
import { guidedNoise as guidedNoiseCall } from '../../kernels/guided-noise.ts';
import { guidedStep as guidedStepCall } from '../../kernels/guided-step.ts';
import { historyStore } from '../../kernels/history-store.ts';
import { cleanupWords, maskCleanup as maskCleanupCall } from '../../kernels/mask-cleanup.ts';
import { maskMap as maskMapCall } from '../../kernels/mask-map.ts';
import { maskThreshold as maskThresholdCall } from '../../kernels/mask-threshold.ts';
import { packStep, STEP_BYTES, type StepValues } from '../../kernels/step.ts';
import type { Tensor } from '../tensor.ts';
import { EffectNode } from './effect.ts';

export type { StepValues };

/** Shape of the DeviceTensor (float32) that holds a step's numbers. */
export const STEP_SHAPE: readonly [number, number] = [1, STEP_BYTES / 4];

/** What to write into that DeviceTensor. */
export function stepValues(values: StepValues): Float32Array {
  return new Float32Array(packStep(values));
}

export interface GuidedStep {
  /** [2N, C, H, W], the unconditional half first, or [N, C, H, W]. */
  readonly prediction: Tensor;
  /** f32 [N, C, H, W], changed in place. */
  readonly x: Tensor;
  /** f32, STEP_SHAPE. */
  readonly step: Tensor;
  /** f32 [N, C, H, W], times sigma. */
  readonly noise?: Tensor | undefined;
  /** Keeps the reference where the mask is 0. */
  readonly blend?:
    | {
        /** f32 [M, 1, H, W] */
        readonly mask: Tensor;
        /** Mask of image n: n % M, or floor(n * M / N). */
        readonly order: 'tiled' | 'consecutive';
        /** f32 [T * R, C, H, W]; image n meets floor(n * R / N) of the step's reference index. */
        readonly reference: Tensor;
        readonly frames: number;
        /** Takes the mask as 1 where it is above the step's maskAbove, else as 0. */
        readonly soft?: boolean | undefined;
      }
    | undefined;
  /** f32 [N, 1], as `cleanBounds` leaves them: the predicted clean latents stay within and are divided by them. */
  readonly bounds?: Tensor | undefined;
  /** f32 [T * N, C, H, W]: receives x at the step's history index. */
  readonly history?: Tensor | undefined;
}

/**
 * Records guidance, one step of a linear sampler and the masked blend, in place:
 * e = u + g (c - u); x0 and eps from x and e; x' = a x0 + b eps + sigma noise; x' = x' m + reference (1 - m).
 * @see diffusers DDIMScheduler.step, StableDiffusionDiffEditPipeline
 */
export function guidedStep(o: GuidedStep): void {
  const { prediction, x, step, noise, blend, bounds, history } = o;
  const images = x.dim(0);
  const guided = guidedOf('guidedStep', prediction, images);
  const buffers = {
    prediction,
    conditional: prediction,
    x,
    step,
    noise: noise ?? step,
    mask: blend?.mask ?? step,
    reference: blend?.reference ?? step,
    bound: bounds ?? step,
  };
  const node = new EffectNode(buffers, l =>
    guidedStepCall(l.caps, {
      images,
      pixels: x.dim(2) * x.dim(3),
      channels: x.dim(1),
      storage: l.storage(prediction.dtype),
      guided,
      noise: noise !== undefined,
      bounded: bounds !== undefined,
      blend: blend && {
        masks: blend.mask.dim(0),
        order: blend.order,
        references: blend.reference.dim(0) / blend.frames,
        frames: blend.frames,
        soft: blend.soft,
      },
    }),
  );
  x.graph.effect(node);
  if (!history) return;
  const store = { rows: x.rows, pitch: x.pitch, entries: history.dim(0) / images };
  x.graph.effect(new EffectNode({ x, step, history }, l => historyStore(l.caps, store)));
}

/**
 * Records how far the predicted clean latents of each image may reach: a quantile of their magnitudes, between 1 and `most`.
 * @param e f32 [N, C, H, W]: the guided prediction
 * @param x f32 [N, C, H, W]
 * @param step f32, STEP_SHAPE: x0FromX, x0FromNoise
 * @param into f32 [N, 1]
 * @see Saharia et al. 2022, section 2.3, https://arxiv.org/abs/2205.11487
 */
export function cleanBounds(
  { e, x, step, into }: Readonly<Record<'e' | 'x' | 'step' | 'into', Tensor>>,
  { ratio, most }: { readonly ratio: number; readonly most: number },
): void {
  const problem = { images: x.dim(0), pixels: x.dim(2) * x.dim(3), channels: x.dim(1), ratio, most };
  into.graph.effect(new EffectNode({ e, x, step, bound: into }, () => cleanBoundCall(problem)));
}

/** Records e = u + g (c - u) into `into`, f32 [N, C, H, W]; prediction [2N, C, H, W], step as for guidedStep. */
export function guidedNoise(prediction: Tensor, step: Tensor, into: Tensor): void {
  const images = into.dim(0);
  guidedOf('guidedNoise', prediction, images);
  const node = new EffectNode({ prediction, conditional: prediction, step, e: into }, l =>
    guidedNoiseCall({
      images,
      pixels: into.dim(2) * into.dim(3),
      channels: into.dim(1),
      storage: l.storage(prediction.dtype),
    }),
  );
  into.graph.effect(node);
}

/**
 * Records e = u + g (c - u), rescaled: times rescale * std(c) / std(e) + 1 - rescale, each image by itself.
 * @param prediction [2N, C, H, W], the unconditional half first
 * @param step f32, STEP_SHAPE: guidance, rescale
 * @param into f32 [N, C, H, W]
 * @see Lin et al. 2023, section 3.4, https://arxiv.org/abs/2305.08891
 */
export function rescaledNoise(prediction: Tensor, step: Tensor, into: Tensor): void {
  guidedNoise(prediction, step, into);
  const node = new EffectNode({ conditional: prediction, step, e: into }, l =>
    guidanceRescale({
      images: into.dim(0),
      pixels: into.dim(2) * into.dim(3),
      channels: into.dim(1),
      storage: l.storage(prediction.dtype),
    }),
  );
  into.graph.effect(node);
}

/**
 * Records map += mapWeight * mean over channels of |T - S|.
 * @param prediction blocks [a, b, c, d] of N images with S = a + g (b - a), T = c + g (d - c); or [S, T]
 * @param step f32, STEP_SHAPE: guidance, mapWeight, mapFirst
 * @param map f32 [N, 1, H, W], changed in place
 */
export function maskMap(prediction: Tensor, step: Tensor, map: Tensor): void {
  const maps = map.dim(0);
  const blocks = prediction.dim(0) / maps;
  if (blocks !== 4 && blocks !== 2) {
    throw new ShapeError({
      op: 'maskMap',
      problem: 'not two or four blocks',
      expected: [4 * maps, 2 * maps],
      received: prediction.shape,
    });
  }
  const node = new EffectNode({ a: prediction, b: prediction, c: prediction, d: prediction, step, map }, l =>
    maskMapCall({
      maps,
      pixels: map.dim(2) * map.dim(3),
      channels: prediction.dim(1),
      prediction: { pitch: prediction.pitch, storage: l.storage(prediction.dtype) },
      guided: blocks === 4,
    }),
  );
  map.graph.effect(node);
}

/** How a map becomes a mask. */
export interface ThresholdOptions {
  readonly ratio: number;
  readonly mean: 'batch' | 'image';
  readonly threshold?: number | undefined;
  readonly continuous?: boolean | undefined;
}

/** Records mask = clamp(map, 0, cut) / cut > threshold, cut = ratio * mean(map), from f32 [N, 1, H, W] into the same. */
export function maskThreshold(map: Tensor, mask: Tensor, options: ThresholdOptions): void {
  const node = new EffectNode({ map, mask }, () =>
    maskThresholdCall({ images: map.dim(0), pixels: map.dim(2) * map.dim(3), ...options }),
  );
  map.graph.effect(node);
}

/** Shape of the DeviceTensor (uint32) that `maskCleanup` works in, for masks [N, 1, H, W]. */
export function cleanupShape(masks: number, height: number, width: number): readonly [number, number] {
  return [masks, cleanupWords(height, width)];
}

/**
 * Records, in place: F = the scaled map above its threshold, closed, its holes filled, its specks dropped.
 * @param mask f32 [N, 1, H, W]: D in [0, 1], then F, or with `lift` max(D, F, box3(F) / 2)
 * @param scratch uint32, cleanupShape; its values are of no use to anybody
 */
export function maskCleanup(
  mask: Tensor,
  scratch: Tensor,
  options: { readonly threshold?: number | undefined; readonly lift?: boolean | undefined },
): void {
  const node = new EffectNode({ mask, labels: scratch }, () =>
    maskCleanupCall({ images: mask.dim(0), height: mask.dim(2), width: mask.dim(3), ...options }),
  );
  mask.graph.effect(node);
}

/** Shape of the DeviceTensor (uint32) that `firstNonFinite` writes, and what it holds where nothing was found. */
export const FOUND: { readonly shape: readonly [number]; readonly nothing: number } = {
  shape: [1],
  nothing: NONE_FOUND,
};

/**
 * Records found = min(found, the step's number) where x holds an infinity or a NaN.
 * @param step f32, STEP_SHAPE: stepNumber
 * @param found uint32, FOUND.shape, FOUND.nothing before the first step
 */
export function firstNonFinite(x: Tensor, step: Tensor, found: Tensor): void {
  const node = new EffectNode({ x, step, found }, l =>
    firstNonFiniteCall({ rows: x.rows, pitch: x.pitch, storage: l.storage(x.dtype) }),
  );
  x.graph.effect(node);
}

/** What latents are made of. */
export interface LatentDraw {
  /** [M, 2C, H, W]: means, then logarithms of variances; or where nothing is drawn latents f32 [M, C, H, W]. Image n is made of n % M. */
  readonly from: Tensor;
  /** f32 [N, C, H, W], times the deviation; absent where nothing is drawn. */
  readonly noise?: Tensor | undefined;
  /** Factor of what is drawn. */
  readonly scaling: number;
  /** f32, STEP_SHAPE: outFromX0 and sigma bring the latents to a noise level where sigma is positive. */
  readonly step: Tensor;
  /** f32 [N, C, H, W], times sigma. */
  readonly levelNoise: Tensor;
}

/**
 * Records z = scaling (mean + deviation * noise), or what there is, and outFromX0 z + sigma levelNoise.
 * @param into f32 [N, C, H, W]
 */
export function drawLatents({ from, noise, scaling, step, levelNoise }: LatentDraw, into: Tensor): void {
  const node = new EffectNode({ x: from, noise: noise ?? levelNoise, step, level_noise: levelNoise, y: into }, l =>
    drawLatentsCall({
      ...{ images: into.dim(0), pictures: from.dim(0), pixels: into.dim(2) * into.dim(3), channels: into.dim(1) },
      ...{ x: { pitch: from.pitch, storage: l.storage(from.dtype) }, drawn: noise !== undefined, scaling },
    }),
  );
  into.graph.effect(node);
}

function guidedOf(op: string, prediction: Tensor, images: number): boolean {
  const times = prediction.dim(0) / images;
  if (times === 1 || times === 2) return times === 2;
  throw new ShapeError({
    op,
    problem: 'the prediction has another batch',
    expected: [images, 2 * images],
    received: prediction.shape,
  });
}
