/** From latents to what the caller asked for. */
import type { NdArray } from '../../core/ndarray.ts';
import type { RgbImage } from '../../io/image.ts';
import { type OutputType, postprocessImage } from '../../io/postprocess.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { LatentModel } from './latent-model.ts';

const TYPES: readonly unknown[] = ['pil', 'np', 'pt', 'latent'];

/** The output type, 'np' with a warning for one that nobody knows. */
export function outputTypeOf(type: OutputType, warn: (message: string) => void): OutputType {
  if (TYPES.includes(type)) return type;
  warn(`outputType "${type}" is unknown, "np" is returned; known are ${TYPES.join(', ')}`);
  return 'np';
}

/** Latents [N, 4, h, w] as the output type says. */
export async function toOutput(
  call: DeviceCall,
  model: Pick<LatentModel, 'autoencoder'>,
  latents: NdArray,
  type: OutputType,
): Promise<RgbImage[] | NdArray> {
  if (type === 'latent') return latents;
  const pictures = await model.autoencoder.decode(call, latents);
  return postprocessImage(pictures, type) as RgbImage[] | NdArray;
}
