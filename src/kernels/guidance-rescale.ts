import source from '../../wgsl/guidance-rescale.wgsl';
import { alignUp, ROW_ALIGN } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { inputLib } from './libs.ts';
import { requireSizes, vec4Binding } from './rows.ts';
import { stepLib } from './step.ts';

/** Guided predictions whose spread is brought back to that of the conditional ones. */
export interface GuidanceRescaleProblem {
  /** Images of e; the prediction holds twice as many. */
  readonly images: number;
  /** H * W of the latents. */
  readonly pixels: number;
  /** Channels of the latents, without padding. */
  readonly channels: number;
  /** Storage of the prediction. */
  readonly storage: Storage;
}

/**
 * e = e * (rescale * std(c) / std(e) + 1 - rescale), each image by itself, over all its pixels and channels.
 * Bindings: conditional [2N, P, pitch] (its second half is read), step, e [N, P, pitch] f32, in place.
 *
 * @throws ShapeError for sizes that are no positive integers
 * @see Lin et al. 2023, section 3.4, https://arxiv.org/abs/2305.08891; diffusers rescale_noise_cfg
 */
export function guidanceRescale({ images, pixels, channels, storage }: GuidanceRescaleProblem): KernelCall {
  requireSizes('guidance-rescale', { images, pixels, channels });
  const columns = alignUp(channels, ROW_ALIGN) / 4;
  const count = pixels * columns;
  return {
    kernel: 'guidance-rescale',
    source,
    libs: [inputLib(storage), stepLib],
    values: {},
    bindings: [
      vec4Binding('conditional', 'read', storage, 'conditional_base', (first, end) => [
        (images + first) * count,
        (images + end) * count,
      ]),
      { name: 'step', access: 'read' },
      vec4Binding('e', 'update', 'f32', 'e_base', (first, end) => [first * count, end * count]),
    ],
    params: { count, columns, channels, images, values: pixels * channels },
    tiles: images,
    cost: { flops: images * count * 4 * 9, bytes: images * count * (4 * storageBytes(storage) + 32) },
  };
}
