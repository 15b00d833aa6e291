import source from '../../wgsl/clean-bound.wgsl';
import { InputError } from '../core/errors.ts';
import { alignUp, ROW_ALIGN } from '../core/shape.ts';
import type { KernelCall } from './kernel.ts';
import { flatItems, requireSizes, rowBinding } from './rows.ts';
import { stepLib } from './step.ts';

/** Latents, and the quantile of the clean ones' magnitudes that bounds them. */
export interface CleanBoundProblem {
  /** N: latents, each with a bound of its own. */
  readonly images: number;
  /** H * W of the latents. */
  readonly pixels: number;
  /** Channels of the latents, without padding. */
  readonly channels: number;
  /** Which quantile, 0 to 1. */
  readonly ratio: number;
  /** The largest bound, from 1 on. */
  readonly most: number;
}

/**
 * bound = clamp(quantile(|x0|, ratio), 1, most) of each image, x0 = x0FromX * x + x0FromNoise * e. Bindings: e and x f32 [N, P, pitch], step
 * (packStep), bound f32 [N, 8] in lane 0.
 *
 * @throws ShapeError for bad sizes, InputError for a ratio or a bound out of range
 * @see torch.quantile; diffusers DDIMScheduler._threshold_sample
 */
export function cleanBound({ images, pixels, channels, ratio, most }: CleanBoundProblem): KernelCall {
  const op = 'clean-bound';
  requireSizes(op, { images, pixels, channels });
  if (!(ratio >= 0 && ratio <= 1 && most >= 1)) {
    const expected = 'a ratio from 0 to 1 and a bound from 1 on';
    throw new InputError({ op, problem: 'no quantile', expected, value: { ratio, most }, path: 'ratio, most' });
  }
  const pitch = alignUp(channels, ROW_ALIGN);
  const count = pixels * channels;
  // In the precision of torch.quantile.
  const rank = Math.fround(Math.fround(ratio) * (count - 1));
  const side = { pitch, storage: 'f32' } as const;
  const rows = flatItems(images * pixels, pixels);
  return {
    kernel: op,
    source,
    libs: [stepLib],
    values: {},
    bindings: [
      rowBinding('e', 'read', side, 'e_base', rows),
      rowBinding('x', 'read', side, 'x_base', rows),
      { name: 'step', access: 'read' },
      rowBinding('bound', 'write', { pitch: 8, storage: 'f32' }, 'bound_base', flatItems(images, 1)),
    ],
    params: {
      ...{ count, channels, pixels, pitch, most },
      ...{ rank: Math.floor(rank), rank_up: Math.ceil(rank), weight: Math.fround(rank - Math.floor(rank)) },
    },
    tiles: images,
    cost: { flops: images * count * 32 * 4, bytes: images * pixels * pitch * 8 },
  };
}
