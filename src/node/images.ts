/** Pictures in Node: PNG through pngjs, JPEG through jpeg-js. The page's twin is src/io/image-page.ts. */

import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { InputError } from '../core/errors.ts';
import type { AbortSignalLike, BlobLike, UrlLike } from '../core/platform.ts';
import { tiffOrientation } from '../io/exif.ts';
import {
  applyOrientation,
  checkImage,
  type GreyImage,
  greyToRgb,
  isGrey,
  notAnImage,
  type RgbImage,
  rgbaToRgb,
  sniffImage,
} from '../io/image.ts';
import { readJpegInfo } from '../io/jpeg-markers.ts';
import { reason } from './files.ts';
import { decodeJpegPixels } from './jpeg.ts';

/** What `loadImage` takes: a path, a URL (http, https, file, data), a Blob or the file's bytes. */
export type ImageInput = string | UrlLike | BlobLike | ArrayBuffer | Uint8Array;

/** A file that unpacks to more pixels than this is taken for an attack. */
const MAX_PIXELS = 178_956_970;

/**
 * Loads a picture as RGB, upright. Alpha is dropped, grey and palettes become RGB.
 * @param input where from
 * @param options `signal` ends a download
 * @throws InputError when there is no file, or it is neither PNG nor JPEG, or it is damaged; the signal's reason
 * @see diffusers.utils.load_image
 */
export async function loadImage(
  input: ImageInput,
  options: { readonly signal?: AbortSignalLike | undefined } = {},
): Promise<RgbImage> {
  if (input instanceof Uint8Array) return decodeImage(input);
  if (input instanceof ArrayBuffer) return decodeImage(new Uint8Array(input));
  if (input instanceof Blob) return decodeImage(new Uint8Array(await input.arrayBuffer()));
  const label = String(input);
  const bytes = /^(https?|data):/.test(label) ? await download(label, options.signal) : await readPath(input);
  return decodeImage(bytes, label.startsWith('data:') ? 'data URL' : label);
}

/**
 * Writes a picture. The file appears whole or not at all.
 * @param path ends in .png, .jpg or .jpeg
 * @param image RGB, or grey such as a mask
 * @param quality of a JPEG, 1 to 100
 */
export async function saveImage(path: string, image: RgbImage | GreyImage, quality = 95): Promise<void> {
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

/**
 * Depths of 16 bits keep their high byte, as Pillow does for colour (its grey clips at 255, which is not copied).
 */
function decodePng(bytes: Uint8Array, path: string | undefined): RgbImage {
  const { file, orientation } = essentialChunks(bytes, path);
  const view = new DataView(file.buffer);
  checkPixels(view.getUint32(16), view.getUint32(20), path);
  let png: { width: number; height: number; data: ArrayLike<number>; depth?: number; palette?: boolean };
  try {
    png = PNG.sync.read(Buffer.from(file.buffer), { skipRescale: true });
  } catch (cause) {
    throw broken('PNG', cause, path);
  }
  const depth = file[24] ?? 8;
  const indexed = file[25] === 3;
  const { width, height, data } = png;
  const image = rgbaToRgb(width, height, indexed || depth === 8 ? data : scaleSamples(data, depth));
  return applyOrientation(image, orientation);
}

function scaleSamples(data: ArrayLike<number>, depth: number): Uint8Array {
  const factor = 255 / (2 ** depth - 1); // a whole number for 1, 2 and 4 bits
  return Uint8Array.from(data, depth === 16 ? v => v >> 8 : v => v * factor);
}

/**
 * The chunks that make the pixels, and the orientation. tRNS is left out because pngjs blackens the pixels that it
 * makes transparent; so is whatever follows IEND.
 */
function essentialChunks(
  bytes: Uint8Array,
  path: string | undefined,
): { file: Uint8Array<ArrayBuffer>; orientation: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kept: Uint8Array[] = [bytes.subarray(0, 8)];
  let orientation = 1;
  for (let at = 8; ; ) {
    const length = at + 12 <= bytes.length ? view.getUint32(at) : Number.POSITIVE_INFINITY;
    if (at + 12 + length > bytes.length) throw broken('PNG', 'the file is cut short', path);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (at === 8 && (type !== 'IHDR' || length !== 13)) throw broken('PNG', 'no IHDR at the start', path);
    if (type === 'eXIf') orientation = tiffOrientation(bytes.subarray(at + 8, at + 8 + length)) ?? 1;
    if (/^[A-Z]/.test(type)) kept.push(bytes.subarray(at, at + 12 + length)); // critical chunks
    at += 12 + length;
    if (type === 'IEND') break;
  }
  const file = new Uint8Array(kept.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of kept) {
    file.set(part, end);
    end += part.length;
  }
  return { file, orientation };
}

function decodeJpeg(bytes: Uint8Array, path: string | undefined): RgbImage {
  const info = readJpegInfo(bytes, path);
  checkPixels(info.width, info.height, path);
  try {
    return applyOrientation(decodeJpegPixels(bytes, info), info.orientation);
  } catch (cause) {
    throw broken('JPEG', cause, path);
  }
}

function checkPixels(width: number, height: number, path: string | undefined): void {
  if (width * height <= MAX_PIXELS) return;
  const sizes = { expected: `at most ${MAX_PIXELS} pixels`, received: `${width} x ${height}` };
  const details = { op: 'loadImage', problem: 'the picture is too large', ...sizes, fix: 'Make it smaller first.' };
  throw new InputError(path === undefined ? details : { ...details, path });
}

async function readPath(input: string | URL): Promise<Uint8Array> {
  const path = /^file:/.test(String(input)) ? fileURLToPath(input) : String(input);
  return readFile(path).catch((cause: unknown) => {
    const fix = 'Check the path.';
    throw new InputError({ op: 'loadImage', problem: 'no readable file', received: reason(cause), path, fix, cause });
  });
}

async function download(url: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const fix = 'Check the address and the connection.';
  const path = url.slice(0, 200);
  const failed =
    (problem: string) =>
    (cause: unknown): never => {
      signal?.throwIfAborted();
      throw new InputError({ op: 'loadImage', problem, path, fix, cause });
    };
  const response = await fetch(url, signal ? { signal } : {}).catch(failed('no answer'));
  if (!response.ok) {
    await response.body?.cancel();
    throw new InputError({ op: 'loadImage', problem: 'no picture', received: `status ${response.status}`, path, fix });
  }
  return new Uint8Array(await response.arrayBuffer().catch(failed('the download broke off')));
}

function broken(kind: string, cause: unknown, path: string | undefined): InputError {
  const details = { op: 'loadImage', problem: `the ${kind} is damaged`, received: reason(cause), cause };
  const fix = 'Download or save it again.';
  return new InputError(path === undefined ? { ...details, fix } : { ...details, path, fix });
}
