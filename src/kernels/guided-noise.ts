import source from '../../wgsl/guided-noise.wgsl';
import { alignUp, ceilDiv, ROW_ALIGN } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { inputLib } from './libs.ts';
import { flatItems, requireSizes, vec4Binding } from './rows.ts';
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
 * Bindings: prediction [2N, P, pitch], conditional (prediction again), step, e [N, P, pitch] f32.
 *
 * @throws ShapeError for sizes that are no positive integers
 */
export function guidedNoise({ images, pixels, channels, storage }: GuidedNoiseProblem): KernelCall {
  requireSizes('guided-noise', { images, pixels, channels });
  const count = (images * pixels * alignUp(channels, ROW_ALIGN)) / 4;
  const items = flatItems(count, WORKGROUP);
  return {
    kernel: 'guided-noise',
    source,
    libs: [inputLib(storage), stepLib],
    values: {},
    bindings: [
      vec4Binding('prediction', 'read', storage, 'prediction_base', items),
      vec4Binding('conditional', 'read', storage, 'conditional_base', (a, b) => {
        const [from, to] = items(a, b);
        return [count + from, count + to];
      }),
      { name: 'step', access: 'read' },
      vec4Binding('e', 'write', 'f32', 'e_base', items),
    ],
    params: { count },
    tiles: ceilDiv(count, WORKGROUP),
    cost: { flops: count * 12, bytes: count * (8 * storageBytes(storage) + 16) },
  };
}
