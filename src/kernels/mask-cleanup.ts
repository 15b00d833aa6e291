import source from '../../wgsl/mask-cleanup.wgsl';
import { InputError } from '../core/errors.ts';
import { alignUp, ROW_ALIGN } from '../core/shape.ts';
import type { KernelCall } from './kernel.ts';
import { flatItems, requireSizes, rowBinding, wordBinding } from './rows.ts';

/** Scaled maps that become clean masks. */
export interface MaskCleanupProblem {
  /** N: masks. */
  readonly images: number;
  /** H of the latents. */
  readonly height: number;
  /** W of the latents. */
  readonly width: number;
  /** A pixel is set above it, 0 to 1; default 0.5. */
  readonly threshold?: number | undefined;
  /** Keeps the map and lifts it by the clean mask: max(D, F, box3(F) / 2). Default false: the mask is F, zeros and ones. */
  readonly lift?: boolean | undefined;
}

/** Words of scratch that one mask takes: a label and a count for each pixel and for the outside. */
export function cleanupWords(height: number, width: number): number {
  return 2 * (height * width + 1);
}

/**
 * F = the map above its threshold, closed by a 3 x 3 square, without holes and without components below 3/20 of the largest (8 neighbours);
 * in place. Bindings: mask f32 [N, P, 8] in lane 0, labels u32 [N, pitch(cleanupWords)], of which nothing is read before it is written.
 *
 * @throws ShapeError for bad sizes, InputError for a threshold that is no number
 * @see scipy.ndimage binary_closing, binary_fill_holes, label
 */
export function maskCleanup(problem: MaskCleanupProblem): KernelCall {
  const { images, height, width, threshold = 0.5, lift = false } = problem;
  const op = 'mask-cleanup';
  requireSizes(op, { images, height, width });
  if (!Number.isFinite(threshold)) {
    throw new InputError({
      op,
      problem: 'the threshold must be a number',
      value: threshold,
      path: 'threshold',
    });
  }
  const pixels = height * width;
  const pitch = alignUp(cleanupWords(height, width), ROW_ALIGN);
  return {
    kernel: op,
    source,
    libs: [],
    values: { LIFT: lift },
    bindings: [
      rowBinding('mask', 'update', { pitch: 8, storage: 'f32' }, 'mask_base', flatItems(images * pixels, pixels)),
      wordBinding('labels', 'update', 'labels_base', flatItems(images * pitch, pitch)),
    ],
    params: { height, width, threshold, pitch, rounds: 2 * Math.ceil(Math.log2(pixels + 1)) + 1 },
    tiles: images,
    cost: { flops: images * pixels * 100, bytes: images * (pixels * 32 * 2 + pitch * 4 * 8) },
  };
}
