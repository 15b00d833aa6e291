/** A picture kept where a mask is 0, at the noise level of the latents beside it. */
import source from '../../wgsl/noised-blend.wgsl';
import { alignUp, ceilDiv, ROW_ALIGN } from '../core/shape.ts';
import type { KernelCall } from './kernel.ts';
import { flatItems, type RowRange, requireSizes, rowBinding, vec4Binding } from './rows.ts';
import { stepLib } from './step.ts';

const WORKGROUP = 64;

/** Latents, and clean ones of the same shape. */
export interface NoisedBlendProblem {
  /** Latents that are changed. */
  readonly images: number;
  /** H * W of the latents. */
  readonly pixels: number;
  /** Channels of the latents, without padding. */
  readonly channels: number;
}

/**
 * x' = m * x + (1 - m) * (outFromX0 * clean + sigma * noise), in place, everything f32. Bindings: x [N, P, pitch], step (packStep), mask
 * [N, P, 8], clean and noise like x.
 *
 * @throws ShapeError for sizes that are no positive integers
 */
export function noisedBlend(problem: NoisedBlendProblem): KernelCall {
  const { images, pixels, channels } = problem;
  const op = 'noised-blend';
  requireSizes(op, { images, pixels, channels });
  const columns = alignUp(channels, ROW_ALIGN) / 4;
  const count = images * pixels * columns;
  const items = flatItems(count, WORKGROUP);
  const rows: RowRange = (first, end) => {
    const [from, to] = items(first, end);
    return [Math.floor(from / columns), ceilDiv(to, columns)];
  };
  return {
    kernel: op,
    source,
    libs: [stepLib],
    values: {},
    bindings: [
      vec4Binding('x', 'update', 'f32', 'x_base', items),
      { name: 'step', access: 'read' },
      rowBinding('mask', 'read', { pitch: 8, storage: 'f32' }, 'mask_base', rows),
      vec4Binding('clean', 'read', 'f32', 'clean_base', items),
      vec4Binding('noise', 'read', 'f32', 'noise_base', items),
    ],
    params: { count, columns, channels },
    tiles: ceilDiv(count, WORKGROUP),
    cost: { flops: count * 4 * 6, bytes: count * 64 + images * pixels * 32 },
  };
}
