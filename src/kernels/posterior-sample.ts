import shiftLib from '../../wgsl/lib/shift.wgsl';
import source from '../../wgsl/posterior-sample.wgsl';
import { alignUp, ceilDiv, ROW_ALIGN } from '../core/shape.ts';
import { float, type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { inputLib, outputLib } from './libs.ts';
import { requirePitch, requireSizes } from './rows.ts';

/** Moments of the VAE and the noise of one draw. */
export interface PosteriorSampleProblem {
  /** Images of moments. */
  readonly images: number;
  /** Draws of each image, next to each other; default 1. */
  readonly repeat?: number | undefined;
  /** H * W. */
  readonly pixels: number;
  /** C, of z; moments have twice as many. */
  readonly channels: number;
  readonly moments: { readonly pitch: number; readonly storage: Storage };
  /** What to write; default a sample. */
  readonly take?: 'sample' | 'mean' | 'deviation' | undefined;
  /** Multiplies the result; default 1. */
  readonly scaling?: number | undefined;
  /** Of z; default f32. */
  readonly output?: Storage | undefined;
}

const WORKGROUP = 64;
const TAKE = { sample: 0, mean: 1, deviation: 2 } as const;

/**
 * z = scaling * (mean + exp(clamp(logvar, -30, 20) / 2) * noise), or the mean or deviation alone.
 * Bindings: moments [N, P, pitch], noise f32 [N * repeat, P, pitch(C)] (but for a sample: moments again), z.
 *
 * @throws ShapeError for bad sizes or pitch
 * @see DiagonalGaussianDistribution of diffusers; Kingma & Welling 2014, https://arxiv.org/abs/1312.6114
 */
export function posteriorSample(problem: PosteriorSampleProblem): KernelCall {
  const { images, repeat = 1, pixels, channels, moments, take = 'sample', scaling = 1, output = 'f32' } = problem;
  requireSizes('posterior-sample', { images, repeat, pixels, channels });
  requirePitch('posterior-sample', 'moments', { width: 2 * channels, pitch: moments.pitch });
  const columns = alignUp(channels, ROW_ALIGN) / 4;
  const count = images * repeat * pixels * columns;
  return {
    kernel: 'posterior-sample',
    source,
    libs: [inputLib(moments.storage), outputLib(output), shiftLib],
    values: { TAKE: TAKE[take] },
    bindings: [
      { name: 'moments', access: 'read' },
      { name: 'noise', access: 'read' },
      { name: 'z', access: 'write' },
    ],
    params: [count, channels, moments.pitch / 4, columns, pixels, repeat, float(scaling)],
    tiles: ceilDiv(count, WORKGROUP),
    cost: {
      flops: 20 * count,
      bytes: images * pixels * moments.pitch * storageBytes(moments.storage) + 4 * count * (4 + storageBytes(output)),
    },
  };
}
