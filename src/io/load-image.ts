/**
 * Pictures from addresses, files, bytes and what a page shows, in any runtime. PNG is read here; JPEG by the browser's decoder or, where
 * there is none, by jpeg-js; other kinds only where the browser knows them. Canvases are in canvas.ts, paths in src/node/images.ts.
 */
import { InputError } from '../core/errors.ts';
import { checkNames } from '../core/known-names.ts';
import type { AbortSignalLike, BlobLike, PagePicture, UrlLike } from '../core/platform.ts';
import { hasCanvas, pixelsOf } from './canvas.ts';
import { brokenImage, notAnImage, type RgbImage, rgbaToRgb, sniffImage } from './image.ts';
import { isAddress } from './sources.ts';

/** What {@link loadImage} takes: an address (http, https, data, blob), a file's Blob or bytes, or a picture that a page shows. */
export type ImageInput = string | UrlLike | BlobLike | ArrayBuffer | Uint8Array | PagePicture;

/**
 * Loads a picture as RGB, upright. Alpha is dropped: the colour under it counts. The bitmap of a canvas or an
 * ImageBitmap may have been multiplied by its alpha already.
 * @param input where from; PNG and JPEG are read everywhere, other kinds where the browser decodes them
 * @param options `signal` ends a download
 * @throws InputError when there is no file, it is damaged, or nothing here decodes it; the signal's reason
 * @see diffusers.utils.load_image
 */
export async function loadImage(
  input: ImageInput,
  options: { readonly signal?: AbortSignalLike | undefined } = {},
): Promise<RgbImage> {
  checkNames('loadImage', options, ['signal']);
  if (typeof input === 'string' || input instanceof URL) return download(String(input), options.signal);
  if (input instanceof ArrayBuffer) return decode(new Uint8Array(input));
  if (input instanceof Uint8Array) return decode(input);
  if (input instanceof Blob) return decode(new Uint8Array(await input.arrayBuffer()));
  if (typeof ImageData !== 'undefined' && input instanceof ImageData)
    return rgbaToRgb(input.width, input.height, input.data);
  if (!isDrawable(input)) {
    const expected = 'an address, a Blob, bytes, or an ImageData, bitmap, canvas or image of a page';
    throw new InputError({
      op: 'loadImage',
      problem: 'nothing that holds a picture',
      expected,
      received: input === null ? 'null' : typeof input,
    });
  }
  return pixelsOf(await createImageBitmap(input, UNTOUCHED));
}

/** The file's own numbers: no colour management, no multiplication by alpha, turned upright. */
const UNTOUCHED = { colorSpaceConversion: 'none', premultiplyAlpha: 'none', imageOrientation: 'from-image' } as const;

function isDrawable(input: object): input is HTMLImageElement | HTMLCanvasElement | OffscreenCanvas | ImageBitmap {
  return ['HTMLImageElement', 'HTMLCanvasElement', 'OffscreenCanvas', 'ImageBitmap'].some(name => {
    const known: unknown = Reflect.get(globalThis, name);
    return typeof known === 'function' && input instanceof known;
  });
}

async function decode(bytes: Uint8Array, path?: string): Promise<RgbImage> {
  const kind = sniffImage(bytes);
  if (kind === 'PNG') {
    const { pngPixels, readPng } = await import('./png.ts');
    const png = readPng(bytes, path);
    return pngPixels(png, await inflate(png.deflated, png.inflatedBytes, path), path);
  }
  if (hasCanvas()) return decodeByBrowser(bytes, kind, path);
  if (kind !== 'JPEG') throw notAnImage(bytes, path);
  const { decodeJpeg } = await import('./jpeg.ts');
  return decodeJpeg(bytes, path);
}

/** The first `size` bytes of a zlib stream. */
async function inflate(parts: readonly Uint8Array<ArrayBuffer>[], size: number, path?: string): Promise<Uint8Array> {
  const reader = new Blob([...parts]).stream().pipeThrough(new DecompressionStream('deflate')).getReader();
  const out = new Uint8Array(size);
  let end = 0;
  try {
    while (end < size) {
      const { done, value } = await reader.read();
      if (done) break;
      out.set(value.subarray(0, size - end), end);
      end += value.length;
    }
  } catch (cause) {
    throw brokenImage('PNG', cause, path);
  }
  // What follows the pixels does not matter, and neither does an error in it.
  await reader.cancel().catch(() => undefined);
  return out.subarray(0, end);
}

async function decodeByBrowser(bytes: Uint8Array, kind: string | undefined, path?: string): Promise<RgbImage> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(new Blob([Uint8Array.from(bytes)]), UNTOUCHED);
  } catch (cause) {
    throw kind === 'JPEG'
      ? brokenImage(kind, cause, path)
      : notAnImage(bytes, path, 'a picture that this browser can decode');
  }
  return pixelsOf(bitmap);
}

async function download(address: string, signal: AbortSignalLike | undefined): Promise<RgbImage> {
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
  return decode(new Uint8Array(bytes), /^data:/i.test(address) ? 'data URL' : path);
}
