/**
 * Picture files in Node. PNG, JPEG, GIF and BMP are read by src/io, with Node's zlib; WebP and AVIF by the package sharp where
 * that is installed. PNG is written by pngjs, JPEG by jpeg-js.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { constants, inflateSync } from 'node:zlib';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { InputError } from '../core/errors.ts';
import { checkUint8 } from '../core/kinds.ts';
import { checkNames } from '../core/known-names.ts';
import { decodeBmp } from '../io/bmp.ts';
import { decodeGif } from '../io/gif.ts';
import { checkImage, type GreyImage, greyToRgb, isGrey, type RgbImage } from '../io/image.ts';
import { decodeJpeg } from '../io/jpeg.ts';
import {
  type ImageInput,
  isForOthers,
  LOAD_IMAGE,
  type LoadImageOptions,
  loadImage,
  pictureBytes,
} from '../io/load-image.ts';
import {
  notAnImage,
  PICTURE_LIMITS,
  type PictureLimits,
  type Reading,
  readingOf,
  sniffImage,
} from '../io/picture-file.ts';
import { inflateDamaged, pngPixels, readPng } from '../io/png.ts';
import { isAddress } from '../io/sources.ts';
import { reason } from './files.ts';
import { decodeBySharp } from './sharp.ts';

/**
 * Reads a picture from a file, an address or bytes, as RGB, upright: the first of those that it holds. Alpha is dropped, grey
 * and palettes become RGB.
 * @param input where from: a path, a file URL, or whatever {@link loadImage} takes
 * @param options `signal` ends a download, `maxPixels` caps what a file may claim, `onWarning` is told of damage
 * @throws InputError when there is no file, it is of a kind that is not read (WebP and AVIF need the package sharp), it is
 * damaged, or it claims more pixels than it may or its bytes can hold; the signal's reason
 * @see diffusers.utils.load_image
 */
export async function readImage(input: string | ImageInput, options: LoadImageOptions = {}): Promise<RgbImage> {
  checkNames('readImage', options, LOAD_IMAGE);
  const isName = typeof input === 'string' || input instanceof URL;
  const isPath = isName && !isAddress(String(input));
  const file = isPath
    ? { bytes: await readPath(input), path: String(input) }
    : await pictureBytes(input, options.signal);
  if (!file) return loadImage(input, options);
  const reading = readingOf('readImage', options, file.path);
  const kind = sniffImage(file.bytes);
  if (kind !== undefined && isForOthers(kind)) return decodeBySharp(file.bytes, kind, reading);
  return decode(file.bytes, reading, 'PNG, JPEG, GIF, BMP, WebP or AVIF');
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
 * Decodes a PNG, JPEG, GIF or BMP. Other kinds take time of their own: {@link readImage} reads them.
 * @param bytes the file
 * @param path name for messages
 * @param limits `maxPixels` caps what the file may claim, `onWarning` is told of damage
 * @throws InputError for other kinds, each by name, for damaged files, and for too many pixels
 */
export function decodeImage(bytes: Uint8Array, path?: string, limits: PictureLimits = {}): RgbImage {
  checkUint8('decodeImage', bytes);
  checkNames('decodeImage', limits, PICTURE_LIMITS);
  return decode(bytes, readingOf('decodeImage', limits, path));
}

function decode(bytes: Uint8Array, reading: Reading, readable?: string): RgbImage {
  const kind = sniffImage(bytes);
  if (kind === 'PNG') return decodePng(bytes, reading);
  if (kind === 'JPEG') return decodeJpeg(bytes, reading);
  if (kind === 'GIF') return decodeGif(bytes, reading);
  if (kind === 'BMP') return decodeBmp(bytes, reading);
  const fix = isForOthers(kind) ? 'Read it with readImage, or convert it to PNG or JPEG first.' : undefined;
  throw notAnImage(bytes, reading.path, readable, fix);
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

function decodePng(bytes: Uint8Array, reading: Reading): RgbImage {
  const png = readPng(bytes, reading);
  let inflated: Uint8Array;
  try {
    // The length says whether all pixels are there; some programs leave a little behind them.
    const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: png.inflatedBytes + 65536 };
    inflated = inflateSync(png.deflated, options);
  } catch {
    inflated = inflateDamaged(png, reading);
  }
  return pngPixels(png, inflated, reading);
}

async function readPath(input: string | URL): Promise<Uint8Array> {
  const path = /^file:/i.test(String(input)) ? fileURLToPath(input) : String(input);
  return readFile(path).catch((cause: unknown) => {
    const fix = 'Check the path.';
    throw new InputError({ op: 'readImage', problem: 'no readable file', received: reason(cause), path, fix, cause });
  });
}
