import source from '../../wgsl/guided-noise.wgsl';
import { alignUp, ceilDiv, ROW_ALIGN } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { inputLib } from './libs.ts';
import { requireSizes } from './rows.ts';
import { stepLib } from './step.ts';

const WORKGROUP = 64;

/** Two halves of predictions, to be combined by classifier-free guidance. */
export interface GuidedNoiseProblem {
  /** Images of the result; the prediction holds twice as many. */
  readonly images: number;
  /** H * W of the latents. */
  readonly pixels: number;
  /** Channels of the latents, without padding. */
  readonly channels: number;
  /** Storage of the prediction. */
  readonly storage: Storage;
}

/**
 * e = u + guidance * (c - u) in f32, for those who change the prediction before they step.
 * Bindings: prediction [2N, P, pitch], step, e [N, P, pitch] f32.
 *
 * @throws ShapeError for sizes that are no positive integers
 */
export function guidedNoise({ images, pixels, channels, storage }: GuidedNoiseProblem): KernelCall {
  requireSizes('guided-noise', { images, pixels, channels });
  const count = (images * pixels * alignUp(channels, ROW_ALIGN)) / 4;
  return {
    kernel: 'guided-noise',
    source,
    libs: [inputLib(storage), stepLib],
    values: {},
    bindings: [
      { name: 'prediction', access: 'read' },
      { name: 'step', access: 'read' },
      { name: 'e', access: 'write' },
    ],
    params: { count },
    tiles: ceilDiv(count, WORKGROUP),
    cost: { flops: count * 12, bytes: count * (8 * storageBytes(storage) + 16) },
  };
}
