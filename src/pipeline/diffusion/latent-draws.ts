/** How a program makes latents of pictures: what it reads, and what is recorded. */
import type { DType } from '../../core/dtype.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { Graph } from '../../tensor/graph.ts';
import { drawLatents } from '../../tensor/ops/diffusion.ts';
import type { TensorScope } from '../runtime/device-memory.ts';

/** Pictures as the UNet can take them, on the device: latents, or what the VAE's encoder says about them. */
export interface EncodedPictures {
  /** [M, 4, h, w] for latents, [M, 8, h, w] for means and logarithms of variances. */
  readonly values: DeviceTensor;
  /** Whether latents are drawn from means and variances; false where `values` are latents. */
  readonly drawn: boolean;
}

/** What a program draws from. */
export interface DrawShape {
  /** M; latents n are of picture n % M. */
  readonly pictures: number;
  /** As in EncodedPictures. */
  readonly drawn: boolean;
  /** Of what is known of the pictures. */
  readonly dtype: DType;
  /** Factor of what is drawn; 0.18215 for Stable Diffusion. */
  readonly scaling: number;
}

/** What such a program reads. */
export interface DrawInputs {
  /** What is known of the pictures: [M, 2C, h, w], or latents [M, C, h, w]. */
  readonly pictures: DeviceTensor;
  /** f32 [N, C, h, w]: noise of the draw; absent where nothing is drawn. */
  readonly drawNoise: DeviceTensor | undefined;
  /** f32 [N, C, h, w]: noise that the step's `sigma` is times. */
  readonly levelNoise: DeviceTensor;
}

/** The shape of draws from pictures. */
export function drawsFrom({ values, drawn }: EncodedPictures, scaling: number): DrawShape {
  return { pictures: values.shape[0] ?? 0, drawn, dtype: values.dtype, scaling };
}

/**
 * Records z = scaling * (mean + deviation * drawNoise), or what `pictures` holds, and outFromX0 * z + sigma * levelNoise where sigma > 0.
 * @param to.into f32 [N, C, h, w]
 * @param to.step f32, STEP_SHAPE: outFromX0, sigma
 * @see diffusers DiagonalGaussianDistribution.sample, DDIMScheduler.add_noise
 */
export function recordDraws(
  { graph, scope }: { readonly graph: Graph; readonly scope: TensorScope },
  { pictures: count, drawn, dtype, scaling }: DrawShape,
  { into, step }: { readonly into: DeviceTensor; readonly step: DeviceTensor },
): DrawInputs {
  const [, channels = 0, ...sides] = into.shape;
  const pictures = scope.tensor([count, drawn ? 2 * channels : channels, ...sides], dtype, 'pictures');
  const drawNoise = drawn ? scope.tensor(into.shape, 'float32', 'noise of the draw') : undefined;
  const levelNoise = scope.tensor(into.shape, 'float32', 'noise of the level');
  const operands = { from: graph.input(pictures), noise: drawNoise && graph.input(drawNoise), scaling };
  drawLatents({ ...operands, step: graph.input(step), levelNoise: graph.input(levelNoise) }, graph.input(into));
  return { pictures, drawNoise, levelNoise };
}
