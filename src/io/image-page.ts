/** Pictures in a page or worker, through the browser's own decoders. Node's twin is src/node/images.ts. */

import { InputError } from '../core/errors.ts';
import type { AbortSignalLike, BlobLike, OffscreenCanvasLike, PagePicture, UrlLike } from '../core/platform.ts';
import {
  checkImage,
  type GreyImage,
  greyToRgb,
  isGrey,
  notAnImage,
  type RgbImage,
  rgbaToRgb,
  sniffImage,
} from './image.ts';

/** What `loadImage` takes in a page: a URL, a file, its bytes, or a picture that the page already shows. */
export type ImageInput = string | UrlLike | BlobLike | ArrayBuffer | Uint8Array | PagePicture;

/**
 * Loads a picture as RGB, upright. Alpha is dropped: the colour under it counts. The bitmap of a canvas or an
 * ImageBitmap may have been multiplied by its alpha already.
 * @param input where from; any kind of file that the browser can decode
 * @param options `signal` ends a download
 * @throws InputError when there is no file or the browser cannot decode it; the signal's reason
 * @see diffusers.utils.load_image
 */
export async function loadImage(
  input: ImageInput,
  options: { readonly signal?: AbortSignalLike | undefined } = {},
): Promise<RgbImage> {
  if (typeof input === 'string' || input instanceof URL)
    return decodeBlob(await download(String(input), options.signal), String(input));
  if (input instanceof ArrayBuffer || input instanceof Uint8Array) return decodeImage(input);
  if (input instanceof Blob) return decodeBlob(input);
  if (input instanceof ImageData) return rgbaToRgb(input.width, input.height, input.data);
  const bitmap = await createImageBitmap(input, UNTOUCHED);
  return readAndClose(bitmap);
}

/** Decodes a picture file of any kind that the browser knows. */
export async function decodeImage(bytes: ArrayBuffer | Uint8Array): Promise<RgbImage> {
  return decodeBlob(new Blob([bytes instanceof Uint8Array ? Uint8Array.from(bytes) : bytes]));
}

/**
 * Encodes a picture.
 * @param image RGB, or grey such as a mask
 * @param type MIME type, such as image/png or image/jpeg
 * @param quality of a JPEG, 1 to 100
 */
export async function encodeImage(image: RgbImage | GreyImage, type = 'image/png', quality = 95): Promise<BlobLike> {
  const blob = await toCanvas(image).convertToBlob({ type, quality: quality / 100 });
  if (blob.type === type) return blob;
  throw new InputError({
    op: 'encodeImage',
    problem: 'the browser cannot write that kind',
    received: type,
    fix: 'Use image/png.',
  });
}

/** PNG bytes of a picture. */
export async function encodePng(image: RgbImage | GreyImage): Promise<Uint8Array> {
  return new Uint8Array(await (await encodeImage(image)).arrayBuffer());
}

/**
 * Offers a picture to the user as a download.
 * @param name file name; its ending (.png, .jpg, .jpeg) says how to write it
 */
export async function saveImage(name: string, image: RgbImage | GreyImage, quality = 95): Promise<void> {
  const blob = await encodeImage(image, /\.jpe?g$/i.test(name) ? 'image/jpeg' : 'image/png', quality);
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The click only starts the download.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A picture on a canvas, to be shown. */
export function toCanvas(image: RgbImage | GreyImage): OffscreenCanvasLike {
  const { width, height, data } = checkImage(isGrey(image) ? greyToRgb(image) : image, 'toCanvas');
  const pixels = new ImageData(width, height);
  for (let i = 0, o = 0; i < data.length; i += 3, o += 4) {
    for (let c = 0; c < 3; c++) pixels.data[o + c] = data[i + c] ?? 0;
    pixels.data[o + 3] = 255;
  }
  const canvas = new OffscreenCanvas(width, height);
  context(canvas).putImageData(pixels, 0, 0);
  return canvas;
}

/** The file's own numbers: no colour management, no multiplication by alpha, turned upright. */
const UNTOUCHED: ImageBitmapOptions = {
  colorSpaceConversion: 'none',
  premultiplyAlpha: 'none',
  imageOrientation: 'from-image',
};

async function decodeBlob(blob: Blob, path?: string): Promise<RgbImage> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(blob, UNTOUCHED);
  } catch (cause) {
    const head = new Uint8Array(await blob.slice(0, 64).arrayBuffer());
    const kind = sniffImage(head);
    if (kind !== 'PNG' && kind !== 'JPEG') throw notAnImage(head, path, 'a picture that this browser can decode');
    const details = { op: 'loadImage', problem: `the ${kind} is damaged`, fix: 'Download or save it again.', cause };
    throw new InputError(path === undefined ? details : { ...details, path });
  }
  return readAndClose(bitmap);
}

/**
 * Pixels of a bitmap. A 2D canvas multiplies by alpha and loses what is transparent, so a bitmap with alpha goes
 * through WebGL, which hands its numbers through.
 */
function readAndClose(bitmap: ImageBitmap): RgbImage {
  try {
    const { width, height } = bitmap;
    const flat = context(new OffscreenCanvas(width, height));
    flat.drawImage(bitmap, 0, 0);
    const { data } = flat.getImageData(0, 0, width, height);
    const opaque = data.every((v, i) => i % 4 !== 3 || v === 255);
    return rgbaToRgb(width, height, opaque ? data : (readUnmultiplied(bitmap) ?? data));
  } finally {
    bitmap.close();
  }
}

function readUnmultiplied(bitmap: ImageBitmap): Uint8Array | undefined {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext('webgl');
  if (!gl || width > gl.getParameter(gl.MAX_TEXTURE_SIZE) || height > gl.getParameter(gl.MAX_TEXTURE_SIZE))
    return undefined;
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE) return undefined;
  const rgba = new Uint8Array(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
  gl.getExtension('WEBGL_lose_context')?.loseContext();
  return rgba;
}

function context(canvas: OffscreenCanvas): OffscreenCanvasRenderingContext2D {
  const found = canvas.getContext('2d', { willReadFrequently: true });
  if (found) return found;
  const fix = 'Use a browser with OffscreenCanvas.';
  throw new InputError({
    op: 'loadImage',
    problem: 'no 2D canvas',
    received: `${canvas.width} x ${canvas.height}`,
    fix,
  });
}

async function download(url: string, signal: AbortSignal | undefined): Promise<Blob> {
  const fix = 'Check the address, and that its server allows other origins (CORS).';
  const failed =
    (problem: string) =>
    (cause: unknown): never => {
      signal?.throwIfAborted();
      throw new InputError({ op: 'loadImage', problem, path: url, fix, cause });
    };
  const response = await fetch(url, signal ? { signal } : {}).catch(failed('no answer'));
  if (!response.ok) {
    await response.body?.cancel();
    throw new InputError({
      op: 'loadImage',
      problem: 'no picture',
      received: `status ${response.status}`,
      path: url,
      fix,
    });
  }
  return response.blob().catch(failed('the download broke off'));
}
