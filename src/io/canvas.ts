/** Pictures on canvases and back, in a page or worker. Elsewhere these say what to use instead. */
import { InputError } from '../core/errors.ts';
import type { BlobLike, OffscreenCanvasLike } from '../core/platform.ts';
import { checkImage, type GreyImage, greyToRgb, isGrey, type RgbImage, rgbaToRgb } from './image.ts';

/** Whether this runtime has bitmaps and canvases that need no document. Deno has bitmaps alone. */
export function hasCanvas(): boolean {
  return typeof OffscreenCanvas !== 'undefined' && typeof createImageBitmap !== 'undefined';
}

/**
 * A picture on a canvas, to be shown.
 * @param image RGB, or grey such as a mask
 * @returns a canvas of the picture's size, opaque
 * @throws InputError where the runtime has no OffscreenCanvas
 */
export function toCanvas(image: RgbImage | GreyImage): OffscreenCanvasLike {
  return draw(image, 'toCanvas');
}

/**
 * Encodes a picture as the browser does.
 * @param image RGB, or grey such as a mask
 * @param type MIME type, such as image/png (the default) or image/jpeg
 * @param quality of a JPEG, 1 to 100; default 95
 * @throws InputError where the runtime has no OffscreenCanvas, or its encoder does not know the type
 */
export async function encodeImage(image: RgbImage | GreyImage, type = 'image/png', quality = 95): Promise<BlobLike> {
  const blob = await draw(image, 'encodeImage').convertToBlob({ type, quality: quality / 100 });
  if (blob.type === type) return blob;
  throw new InputError({
    op: 'encodeImage',
    problem: 'the browser cannot write that kind',
    value: type,
    fix: 'Use image/png.',
  });
}

function draw(image: RgbImage | GreyImage, op: string): OffscreenCanvas {
  const { width, height, data } = checkImage(isGrey(image) ? greyToRgb(image) : image, op);
  const [canvas, context] = blank(width, height, op);
  const pixels = new ImageData(width, height);
  for (let i = 0, o = 0; i < data.length; i += 3, o += 4) {
    for (let c = 0; c < 3; c++) pixels.data[o + c] = data[i + c] ?? 0;
    pixels.data[o + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/**
 * Pixels of a bitmap, which is closed. A 2D canvas multiplies by alpha and loses what is transparent, so a bitmap with
 * alpha goes through WebGL, which hands its numbers through.
 */
export function pixelsOf(bitmap: ImageBitmap): RgbImage {
  try {
    const { width, height } = bitmap;
    const [, flat] = blank(width, height, 'loadImage');
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

function blank(width: number, height: number, op: string): [OffscreenCanvas, OffscreenCanvasRenderingContext2D] {
  const canvas = typeof OffscreenCanvas === 'undefined' ? undefined : new OffscreenCanvas(width, height);
  const context = canvas?.getContext('2d', { willReadFrequently: true });
  if (canvas && context) return [canvas, context];
  throw new InputError({
    op,
    problem: canvas ? 'the runtime refused a 2D canvas of this size' : 'this runtime has no canvas',
    expected: canvas ? undefined : 'OffscreenCanvas, as pages and workers have it',
    received: `${width} x ${height}`,
    fix: canvas
      ? 'Make the picture smaller.'
      : "In Node, Deno or Bun use encodePng, encodeJpeg or saveImage of 'pentimento/node', or the picture's data as it is.",
  });
}
