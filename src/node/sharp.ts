/** Kinds of pictures that the package sharp decodes, an optional peer: decoders of a size that nobody pays for who needs none. */
import { InputError } from '../core/errors.ts';
import type { RgbImage } from '../io/image.ts';
import { brokenImage, checkPixels, type Reading, statedSize } from '../io/picture-file.ts';

/**
 * The first picture of a WebP or AVIF, upright, its numbers as stored: no colour management. Alpha is dropped.
 * @param bytes the file
 * @param kind its name for messages
 * @param reading name for messages, limit
 * @throws InputError where sharp is not installed, the file is damaged, or it has too many pixels
 */
export async function decodeBySharp(bytes: Uint8Array, kind: string, reading: Reading): Promise<RgbImage> {
  const [w, h] = statedSize(bytes, kind) ?? [1, 1];
  checkPixels(w, h, reading);
  const { default: sharp } = await import('sharp').catch((cause: unknown) => {
    throw missing(kind, cause, reading.path);
  });
  try {
    // The limit is checked here, on what the decoder itself has read, so that its own cannot be in the way.
    const options = { failOn: 'error', limitInputPixels: false, ignoreIcc: true, autoOrient: true } as const;
    const picture = sharp(bytes, options);
    const { width = 1, height = 1 } = await picture.metadata();
    checkPixels(width, height, reading);
    const { data, info } = await picture
      .toColourspace('srgb')
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, data: new Uint8Array(data) };
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    throw brokenImage(kind, cause, reading.path);
  }
}

function missing(kind: string, cause: unknown, path: string | undefined): InputError {
  const fix = 'Install it (npm install sharp), or convert the picture to PNG or JPEG first.';
  const problem = `${kind} is read by the package sharp, which is not here`;
  const details = { op: 'loadImage', problem, fix, cause };
  return new InputError(path === undefined ? details : { ...details, path });
}
