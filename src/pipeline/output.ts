/** From latents to what the caller asked for. */
import type { NdArray } from '../core/ndarray.ts';
import { dim } from '../core/shape.ts';
import type { RgbImage } from '../io/image.ts';
import { gaussianBlur, maskToImages, pasteBack } from '../io/mask.ts';
import { type OutputType, postprocessImage } from '../io/postprocess.ts';
import { rowsOf } from './autoencoder.ts';
import type { Parts } from './parts.ts';
import type { Session } from './session.ts';
import type { PasteBack } from './types.ts';

const TYPES: readonly unknown[] = ['pil', 'np', 'pt', 'latent'];

/** The output type, 'np' with a warning for one that nobody knows. */
export function outputTypeOf(type: OutputType | undefined, warn: (message: string) => void): OutputType {
  if (type === undefined || TYPES.includes(type)) return type ?? 'pil';
  warn(`outputType "${type}" is unknown, "np" is returned; known are ${TYPES.join(', ')}`);
  return 'np';
}

/** Latents [N, 4, h, w] as the output type says. */
export async function toOutput(
  session: Session,
  parts: Parts,
  latents: NdArray,
  type: OutputType,
): Promise<RgbImage[] | NdArray> {
  if (type === 'latent') return latents;
  const pictures = await parts.vae.decode(session, latents);
  return postprocessImage(pictures, type) as RgbImage[] | NdArray;
}

/** Puts what lies under the mask into a picture, image n under its own mask. */
export function pasteAll(
  images: readonly RgbImage[],
  mask: NdArray,
  into: PasteBack,
  o: { readonly factor: number; readonly order: 'tiled' | 'consecutive' },
): RgbImage[] {
  const masks = dim(mask.shape, 0);
  return images.map((edited, n) => {
    const which = o.order === 'tiled' ? n % masks : Math.floor((n * masks) / images.length);
    const [hard] = maskToImages(rowsOf(mask, which, which + 1), o.factor);
    if (!hard) return edited;
    const sigma = into.blur === undefined ? o.factor / 2 : (into.blur * hard.width) / into.image.width;
    return pasteBack(into.image, edited, gaussianBlur(hard, sigma));
  });
}
