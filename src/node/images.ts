/** Picture files in Node. Reading is src/io's, with Node's zlib; PNG is written by pngjs, JPEG by jpeg-js. */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { constants, inflateSync } from 'node:zlib';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { InputError } from '../core/errors.ts';
import { checkUint8 } from '../core/kinds.ts';
import { checkNames } from '../core/known-names.ts';
import type { AbortSignalLike } from '../core/platform.ts';
import {
  brokenImage,
  checkImage,
  type GreyImage,
  greyToRgb,
  isGrey,
  notAnImage,
  type RgbImage,
  sniffImage,
} from '../io/image.ts';
import { decodeJpeg } from '../io/jpeg.ts';
import { type ImageInput, loadImage } from '../io/load-image.ts';
import { pngPixels, readPng } from '../io/png.ts';
import { isAddress } from '../io/sources.ts';
import { reason } from './files.ts';

/**
 * Reads a picture from a file, as RGB, upright. Alpha is dropped, grey and palettes become RGB. What is no path or file URL
 * goes to {@link loadImage}.
 * @param input where from
 * @param options `signal` ends a download
 * @throws InputError when there is no file, or it is neither PNG nor JPEG, or it is damaged; the signal's reason
 * @see diffusers.utils.load_image
 */
export async function readImage(
  input: string | ImageInput,
  options: { readonly signal?: AbortSignalLike | undefined } = {},
): Promise<RgbImage> {
  checkNames('readImage', options, ['signal']);
  const isName = typeof input === 'string' || input instanceof URL;
  if (!isName || isAddress(String(input))) return loadImage(input, options);
  return decodeImage(await readPath(input), String(input));
}

/**
 * Writes a picture. The file appears whole or not at all.
 * @param path ends in .png, .jpg or .jpeg
 * @param image RGB, or grey such as a mask
 * @param quality of a JPEG, 1 to 100
 */
export async function saveImage(path: string, image: RgbImage | GreyImage, quality = 95): Promise<void> {
  if (typeof path !== 'string') {
    throw new InputError({ op: 'saveImage', problem: 'no path', expected: 'a string', value: path });
  }
  const extension = extname(path).toLowerCase();
  if (!['.png', '.jpg', '.jpeg'].includes(extension)) {
    throw new InputError({
      op: 'saveImage',
      problem: 'the name does not say how to write the picture',
      expected: '.png, .jpg or .jpeg',
      received: extension || 'no extension',
      path,
    });
  }
  const bytes = extension === '.png' ? encodePng(image) : encodeJpeg(image, quality);
  const part = `${path}.part`;
  try {
    await writeFile(part, bytes);
    await rename(part, path);
  } catch (cause) {
    await rm(part, { force: true }).catch(() => undefined); // the first error tells more
    const problem = 'the picture cannot be written';
    throw new InputError({ op: 'saveImage', problem, received: reason(cause), path, fix: 'Check the folder.', cause });
  }
}

/**
 * Decodes a PNG or JPEG.
 * @param bytes the file
 * @param path name for messages
 * @throws InputError for other kinds, each by name, and for damaged files
 */
export function decodeImage(bytes: Uint8Array, path?: string): RgbImage {
  checkUint8('decodeImage', bytes);
  const kind = sniffImage(bytes);
  if (kind === 'PNG') return decodePng(bytes, path);
  if (kind === 'JPEG') return decodeJpeg(bytes, path);
  throw notAnImage(bytes, path);
}

/** PNG of an RGB or grey picture, 8 bits a sample. */
export function encodePng(image: RgbImage | GreyImage): Uint8Array {
  const { width, height, data } = checkImage(image, 'encodePng');
  const colorType = isGrey(image) ? 0 : 2;
  const png = { width, height, data: Buffer.from(data.buffer, data.byteOffset, data.byteLength) };
  return PNG.sync.write(png as PNG, { colorType, inputColorType: colorType, inputHasAlpha: false });
}

/** JPEG of a picture, quality 1 to 100. */
export function encodeJpeg(image: RgbImage | GreyImage, quality = 95): Uint8Array {
  const { width, height, data } = checkImage(isGrey(image) ? greyToRgb(image) : image, 'encodeJpeg');
  const rgba = new Uint8Array(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) rgba.set(data.subarray(3 * i, 3 * i + 3), 4 * i);
  return jpeg.encode({ width, height, data: rgba }, quality).data;
}

function decodePng(bytes: Uint8Array, path: string | undefined): RgbImage {
  const png = readPng(bytes, path);
  let inflated: Uint8Array;
  try {
    // The length says whether all pixels are there; some programs leave a little behind them.
    const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: png.inflatedBytes + 65536 };
    inflated = inflateSync(Buffer.concat(png.deflated), options);
  } catch (cause) {
    throw brokenImage('PNG', cause, path);
  }
  return pngPixels(png, inflated, path);
}

async function readPath(input: string | URL): Promise<Uint8Array> {
  const path = /^file:/i.test(String(input)) ? fileURLToPath(input) : String(input);
  return readFile(path).catch((cause: unknown) => {
    const fix = 'Check the path.';
    throw new InputError({ op: 'readImage', problem: 'no readable file', received: reason(cause), path, fix, cause });
  });
}
