import source from '../../wgsl/mask-threshold.wgsl';
import { InputError } from '../core/errors.ts';
import type { KernelCall } from './kernel.ts';
import { flatItems, requireSizes, rowBinding } from './rows.ts';

/** Maps, and the multiple of their mean at which they are cut. */
export interface MaskThresholdProblem {
  /** N: maps and masks. */
  readonly images: number;
  /** H * W of the latents. */
  readonly pixels: number;
  /** cut = ratio * mean; positive. */
  readonly ratio: number;
  /** The mean is that of the whole batch, as diffusers has it, or of each map alone. */
  readonly mean: 'batch' | 'image';
  /** The mask is 1 above it; default 0.5. */
  readonly threshold?: number | undefined;
  /** Writes clamp(map, 0, cut) / cut instead of 0 and 1. */
  readonly continuous?: boolean | undefined;
}

/**
 * cut = ratio * mean(map), m = clamp(map, 0, cut) / cut, mask = m > threshold (1 where m is no number).
 * Bindings: map f32 [N, P, 8] in lane 0, mask likewise.
 *
 * @throws ShapeError for bad sizes, InputError for a ratio that is not positive
 * @see StableDiffusionDiffEditPipeline.generate_mask of diffusers
 */
export function maskThreshold(problem: MaskThresholdProblem): KernelCall {
  const { images, pixels, ratio, mean, threshold = 0.5, continuous = false } = problem;
  requireSizes('mask-threshold', { images, pixels });
  if (!(ratio > 0)) {
    throw new InputError({
      op: 'mask-threshold',
      problem: 'the ratio must be positive',
      value: ratio,
      path: 'ratio',
    });
  }
  const side = { pitch: 8, storage: 'f32' } as const;
  const range = flatItems(images * pixels, pixels);
  return {
    kernel: 'mask-threshold',
    source,
    libs: [],
    values: {},
    bindings: [
      // The mean of the batch is of all maps.
      mean === 'image'
        ? rowBinding('map', 'read', side, 'map_base', range)
        : { name: 'map', access: 'read', shrinks: 'fewer images at once or a smaller picture' },
      rowBinding('mask', 'write', side, 'mask_base', range),
    ],
    params: {
      ...{ images, pixels, per_image: mean === 'image' ? 1 : 0, continuous: continuous ? 1 : 0 },
      ...{ ratio, threshold },
      ...(mean === 'image' ? {} : { map_base: 0 }),
    },
    tiles: images,
    cost: { flops: images * pixels * 4, bytes: images * pixels * 32 * (mean === 'image' ? 3 : images + 2) },
  };
}
