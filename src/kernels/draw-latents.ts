import source from '../../wgsl/draw-latents.wgsl';
import { alignUp, ceilDiv, ROW_ALIGN } from '../core/shape.ts';
import { type KernelCall, type RowLayout, storageBytes, unread } from './kernel.ts';
import { inputLib } from './libs.ts';
import { flatItems, type RowRange, requirePitch, requireSizes, rowBinding, vec4Binding } from './rows.ts';
import { stepLib } from './step.ts';

/** What an encoder says of pictures, or their latents, and how many latents are made of it. */
export interface DrawLatentsProblem {
  /** N: latents that are made; number n of picture n % pictures. */
  readonly images: number;
  /** M: pictures. */
  readonly pictures: number;
  /** H * W of the latents. */
  readonly pixels: number;
  /** Channels of the latents, without padding. */
  readonly channels: number;
  /** Rows of x. */
  readonly x: RowLayout;
  /** x holds means and logarithms of variances, twice the channels; else latents. */
  readonly drawn: boolean;
  /** Factor of what is drawn; default 1. */
  readonly scaling?: number | undefined;
}

const WORKGROUP = 64;

/**
 * z = scaling * (mean + exp(clamp(log variance, -30, 20) / 2) * noise), or what x holds; y = outFromX0 * z + sigma * levelNoise where the
 * step's sigma is positive, else z. Bindings: x [M, P, pitch], noise f32 [N, P, pitch], step (packStep), level_noise like noise, y likewise;
 * in place of a noise that is not used stands any other read operand.
 *
 * @throws ShapeError for bad sizes or pitch
 * @see diffusers DiagonalGaussianDistribution.sample, DDIMScheduler.add_noise
 */
export function drawLatents(problem: DrawLatentsProblem): KernelCall {
  const op = 'draw-latents';
  const { images, pictures, pixels, channels, x, drawn, scaling = 1 } = problem;
  requireSizes(op, { images, pictures, pixels, channels });
  requirePitch(op, 'x', { width: (drawn ? 2 : 1) * channels, pitch: x.pitch });
  const columns = alignUp(channels, ROW_ALIGN) / 4;
  const count = images * pixels * columns;
  const items = flatItems(count, WORKGROUP);
  const rows: RowRange = (first, end) => {
    const [from, to] = items(first, end);
    const [a, b] = [Math.floor(from / columns), Math.ceil(to / columns)];
    const [one, last] = [Math.floor(a / pixels), Math.floor((b - 1) / pixels)];
    if (one !== last) return [0, pictures * pixels];
    const moved = (one - (one % pictures)) * pixels;
    return [a - moved, b - moved];
  };
  return {
    kernel: op,
    source,
    libs: [inputLib(x.storage), stepLib],
    values: { DRAWN: drawn },
    bindings: [
      rowBinding('x', 'read', x, 'x_base', rows),
      drawn ? vec4Binding('noise', 'read', 'f32', 'noise_base', items) : unread('noise'),
      { name: 'step', access: 'read' },
      vec4Binding('level_noise', 'read', 'f32', 'level_noise_base', items),
      vec4Binding('y', 'write', 'f32', 'y_base', items),
    ],
    params: {
      ...{ count, columns, pixels, channels, pictures, x_pitch: x.pitch, scaling },
      ...(drawn ? {} : { noise_base: 0 }),
    },
    tiles: ceilDiv(count, WORKGROUP),
    cost: { flops: count * 4 * 24, bytes: images * pixels * x.pitch * storageBytes(x.storage) + count * 48 },
  };
}
