/**
 * Pictures from addresses, files, bytes and what a page shows, in any runtime. PNG, GIF and BMP are read here; JPEG by the browser's
 * decoder or, where there is none, by jpeg.ts; other kinds only where the browser knows them. Canvases are in canvas.ts, paths
 * in src/node/images.ts.
 */

import { InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { loadPart } from '../core/load-part.ts';
import type { AbortSignalLike, BlobLike, PagePicture, UrlLike } from '../core/platform.ts';
import { hasCanvas, pixelsOf } from './canvas.ts';
import { applyOrientation, type RgbImage, rgbaToRgb } from './image.ts';
import {
  checkPixels,
  notAnImage,
  PICTURE_LIMITS,
  type PictureLimits,
  type Reading,
  readingOf,
  sniffImage,
  statedSize,
} from './picture-file.ts';
import { isAddress } from './sources.ts';

/** What {@link loadImage} takes: an address (http, https, data, blob), a file's Blob or bytes, or a picture that a page shows. */
export type ImageInput = string | UrlLike | BlobLike | ArrayBuffer | Uint8Array | PagePicture;

/** How a picture is loaded. */
export interface LoadImageOptions extends PictureLimits {
  /** Ends a download. */
  readonly signal?: AbortSignalLike | undefined;
}

/** Names of {@link LoadImageOptions}. */
export const LOAD_IMAGE: readonly string[] = [
  ...namesOf<Omit<LoadImageOptions, keyof PictureLimits>>({ signal: 1 }),
  ...PICTURE_LIMITS,
];

/**
 * Loads a picture as RGB, upright. Alpha is dropped: the colour under it counts. The bitmap of a canvas or an
 * ImageBitmap may have been multiplied by its alpha already.
 * @param input where from; PNG, JPEG, GIF and BMP are read everywhere, other kinds where the browser decodes them
 * @param options `signal` ends a download, `maxPixels` caps what a file may claim, `onWarning` is told of damage
 * @throws InputError when there is no file, it is damaged, it claims more pixels than it may or its bytes can hold, or nothing
 * here decodes it; the signal's reason
 * @see diffusers.utils.load_image
 */
export async function loadImage(input: ImageInput, options: LoadImageOptions = {}): Promise<RgbImage> {
  checkNames('loadImage', options, LOAD_IMAGE);
  const file = await pictureBytes(input, options.signal);
  if (file) return decode(file.bytes, readingOf('loadImage', options, file.path));
  if (typeof ImageData !== 'undefined' && input instanceof ImageData)
    return rgbaToRgb(input.width, input.height, input.data);
  if (typeof input === 'object' && input !== null && isDrawable(input))
    return pixelsOf(await createImageBitmap(input, UNTOUCHED));
  const expected = 'an address, a Blob, bytes, or an ImageData, bitmap, canvas or image of a page';
  const received = input === null ? 'null' : typeof input;
  throw new InputError({ op: 'loadImage', problem: 'nothing that holds a picture', expected, received });
}

/** A picture file, and its name for messages. */
export interface PictureBytes {
  readonly bytes: Uint8Array;
  readonly path: string | undefined;
}

/**
 * The file that an input names or holds.
 * @returns undefined for what is no file, such as a canvas
 * @throws InputError when there is none; the signal's reason
 */
export async function pictureBytes(
  input: ImageInput,
  signal: AbortSignalLike | undefined,
): Promise<PictureBytes | undefined> {
  if (typeof input === 'string' || input instanceof URL) return download(String(input), signal);
  if (input instanceof ArrayBuffer) return { bytes: new Uint8Array(input), path: undefined };
  if (input instanceof Uint8Array) return { bytes: input, path: undefined };
  if (input instanceof Blob) return { bytes: await blobBytes(input), path: undefined };
  return undefined;
}

async function blobBytes(file: Blob): Promise<Uint8Array> {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch (cause) {
    throw new InputError({
      op: 'loadImage',
      problem: 'the file cannot be read',
      received: String(cause),
      ...('name' in file && { path: String(file.name) }),
      fix: 'It was changed or moved since it was chosen: choose it again.',
      cause,
    });
  }
}

/** The file's own numbers: no colour management, no multiplication by alpha, turned upright. */
const UNTOUCHED = { colorSpaceConversion: 'none', premultiplyAlpha: 'none', imageOrientation: 'from-image' } as const;

function isDrawable(input: object): input is HTMLImageElement | HTMLCanvasElement | OffscreenCanvas | ImageBitmap {
  return ['HTMLImageElement', 'HTMLCanvasElement', 'OffscreenCanvas', 'ImageBitmap'].some(name => {
    const known: unknown = Reflect.get(globalThis, name);
    return typeof known === 'function' && input instanceof known;
  });
}

async function decode(bytes: Uint8Array, reading: Reading): Promise<RgbImage> {
  const kind = sniffImage(bytes);
  const { path } = reading;
  if (kind === 'PNG') {
    const { inflateDamaged, pngPixels, readPng } = await loadPart('the decoder of PNG', () => import('./png.ts'));
    const png = readPng(bytes, reading);
    // A stream that throws takes with it what it had read before, which may be all that is needed.
    const inflated = await inflate(png.deflated, png.inflatedBytes).catch(() => inflateDamaged(png, reading));
    return pngPixels(png, inflated, reading);
  }
  if (kind === 'BMP') {
    const { decodeBmp } = await loadPart('the decoder of BMP', () => import('./bmp.ts'));
    return decodeBmp(bytes, reading);
  }
  if (kind === 'GIF') {
    const { decodeGif } = await loadPart('the decoder of GIF', () => import('./gif.ts'));
    return decodeGif(bytes, reading);
  }
  if (hasCanvas()) return decodeByBrowser(bytes, kind, reading);
  if (kind !== 'JPEG') throw notAnImage(bytes, path, undefined, isForOthers(kind) ? ELSEWHERE : undefined);
  const { decodeJpeg } = await loadPart('the decoder of JPEG', () => import('./jpeg.ts'));
  return decodeJpeg(bytes, reading);
}

const ELSEWHERE =
  "In Node readImage of 'pentimento/node' reads it where the package sharp is installed; else convert it to PNG or JPEG first.";

/** Whether a kind is one that the package sharp decodes in Node. */
export function isForOthers(kind: string | undefined): boolean {
  return kind !== undefined && ['WebP', 'AVIF'].includes(kind);
}

/** The first `size` bytes of a zlib stream, fewer where it has no more; throws what the runtime throws for damage. */
async function inflate(stream: Uint8Array<ArrayBuffer>, size: number): Promise<Uint8Array> {
  const reader = new Blob([stream]).stream().pipeThrough(new DecompressionStream('deflate')).getReader();
  const chunks: Uint8Array[] = [];
  let end = 0;
  while (end < size) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    end += value.length;
  }
  // What follows the pixels does not matter, and neither does an error in it.
  await reader.cancel().catch(() => undefined);
  const out = new Uint8Array(Math.min(size, end));
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk.subarray(0, out.length - at), at);
    at += chunk.length;
  }
  return out;
}

async function decodeByBrowser(bytes: Uint8Array, kind: string | undefined, reading: Reading): Promise<RgbImage> {
  if (kind === 'JPEG') return decodeJpegByBrowser(bytes, reading);
  const [width, height] = statedSize(bytes, kind) ?? [1, 1];
  checkPixels(width, height, reading);
  let plain = Uint8Array.from(bytes);
  let orientation = 1;
  if (kind === 'WebP') {
    const { withoutOrientation } = await loadPart('what turns WebP upright', () => import('./webp.ts'));
    ({ bytes: plain, orientation } = withoutOrientation(bytes));
  }
  const bitmap = await createImageBitmap(new Blob([plain]), UNTOUCHED).catch(() => {
    throw notAnImage(bytes, reading.path, 'a picture that this browser can decode');
  });
  return applyOrientation(pixelsOf(bitmap), orientation);
}

/** The browser is faster; what it refuses, and what browsers take for different colours, is read here. */
async function decodeJpegByBrowser(bytes: Uint8Array, reading: Reading): Promise<RgbImage> {
  const { decodeJpeg, readJpegInfo } = await loadPart('the decoder of JPEG', () => import('./jpeg.ts'));
  const { width, height, color } = readJpegInfo(bytes, reading.path);
  checkPixels(width, height, reading);
  const inked = color === 'cmyk' || color === 'ycck';
  const file = new Blob([Uint8Array.from(bytes)]);
  const bitmap = inked ? undefined : await createImageBitmap(file, UNTOUCHED).catch(() => undefined);
  return bitmap ? pixelsOf(bitmap) : decodeJpeg(bytes, reading);
}

async function download(address: string, signal: AbortSignalLike | undefined): Promise<PictureBytes> {
  const path = address.slice(0, 200); // a data URL holds the whole picture
  const failed =
    (problem: string, fix = 'Check the address, and that its server allows other origins (CORS).') =>
    (cause: unknown): never => {
      signal?.throwIfAborted();
      throw new InputError({ op: 'loadImage', problem, path, fix, cause });
    };
  const inPage = typeof location !== 'undefined'; // what an address without a scheme is relative to
  if (!(inPage || isAddress(address)))
    failed('not an address', "Read files with readImage of 'pentimento/node'.")(undefined);
  const response = await fetch(address, signal ? { signal } : {}).catch(failed('no answer'));
  if (!response.ok) {
    await response.body?.cancel();
    const received = `status ${response.status}`;
    throw new InputError({ op: 'loadImage', problem: 'no picture', received, path, fix: 'Check the address.' });
  }
  const bytes = await response.arrayBuffer().catch(failed('the download broke off'));
  return { bytes: new Uint8Array(bytes), path: /^data:/i.test(address) ? 'data URL' : path };
}
