import source from '../../wgsl/add-noise.wgsl';
import { ceilDiv } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { outputLib } from './libs.ts';
import { requirePitch, requireSizes } from './rows.ts';
import { stepLib } from './step.ts';

/** Latents and noise of [rows, pitch], mixed by two numbers. */
export interface AddNoiseProblem {
  /** Images of x. */
  readonly images: number;
  /** Images of noise and y for each image of x, next to each other; default 1. */
  readonly repeat?: number | undefined;
  /** H * W. */
  readonly pixels: number;
  /** Elements, of all three. */
  readonly pitch: number;
  /** Of y. */
  readonly output: Storage;
}

const WORKGROUP = 64;

/**
 * y = noisedX * x + noisedNoise * noise. Bindings: x f32 [N, P, pitch], noise f32 [N * repeat, P, pitch], step, y.
 *
 * @throws ShapeError for bad sizes or pitch
 * @see DDIMScheduler.add_noise of diffusers; Ho et al. 2020, https://arxiv.org/abs/2006.11239
 */
export function addNoise({ images, repeat = 1, pixels, pitch, output }: AddNoiseProblem): KernelCall {
  requireSizes('add-noise', { images, repeat, pixels });
  requirePitch('add-noise', 'x', { width: pitch, pitch });
  const imageSize = (pixels * pitch) / 4;
  const count = images * repeat * imageSize;
  return {
    kernel: 'add-noise',
    source,
    libs: [outputLib(output), stepLib],
    values: {},
    bindings: [
      { name: 'x', access: 'read' },
      { name: 'noise', access: 'read' },
      { name: 'step', access: 'read' },
      { name: 'y', access: 'write' },
    ],
    params: [count, imageSize, repeat],
    tiles: ceilDiv(count, WORKGROUP),
    cost: { flops: 12 * count, bytes: 4 * count * (8 + storageBytes(output)) },
  };
}
