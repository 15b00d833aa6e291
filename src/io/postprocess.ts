/** From the VAE's output to what the caller asked for. */
import { InputError } from '../core/errors.ts';
import { checkArray } from '../core/kinds.ts';
import type { NdArray } from '../core/ndarray.ts';
import { dim } from '../core/shape.ts';
import type { GreyImage, RgbImage } from './image.ts';
import { nchwToNhwc } from './preprocess.ts';

/** 'pil' images, 'np' [N, H, W, C] in [0, 1], 'pt' [N, C, H, W] in [0, 1], 'latent' as it is. */
export type OutputType = 'pil' | 'np' | 'pt' | 'latent';

/** What each output type gives. */
export interface OutputOf {
  /** RGB, or grey where there is one channel. */
  pil: (RgbImage | GreyImage)[];
  /** [N, H, W, C] in [0, 1]. */
  np: NdArray;
  /** [N, C, H, W] in [0, 1]. */
  pt: NdArray;
  /** [N, C, H, W] as it came. */
  latent: NdArray;
}

/**
 * Converts decoded pictures: v = clamp(x / 2 + 1/2, 0, 1), then to the output type.
 * @param x [N, C, H, W] in about [-1, 1]
 * @param type what to return
 * @throws InputError for an unknown type
 * @see diffusers VaeImageProcessor.postprocess
 */
export function postprocessImage<T extends OutputType>(x: NdArray, type: T): OutputOf[T];
export function postprocessImage(x: NdArray, type: OutputType): OutputOf[OutputType] {
  switch (type) {
    case 'latent':
      return x;
    case 'pt':
      return denormalize(x);
    case 'np':
      return nchwToNhwc(denormalize(x));
    case 'pil':
      return arrayToImages(nchwToNhwc(denormalize(x)));
    default:
      throw new InputError({
        op: 'postprocessImage',
        problem: 'unknown output type',
        expected: 'pil, np, pt or latent',
        received: type,
      });
  }
}

/** clamp(x / 2 + 1/2, 0, 1), any shape. */
export function denormalize(x: NdArray): NdArray {
  checkArray('denormalize', x);
  return { ...x, data: x.data.map(v => Math.min(1, Math.max(0, v * 0.5 + 0.5))) };
}

/**
 * Values in [0, 1] to bytes: round(255 v), halves to even.
 * @param array [N, H, W, C] with 3 channels (RGB) or 1 (grey)
 * @throws InputError for another number of channels
 * @see diffusers VaeImageProcessor.numpy_to_pil
 */
export function arrayToImages(array: NdArray): (RgbImage | GreyImage)[] {
  checkArray('arrayToImages', array);
  const { data, shape } = array;
  const [height, width, channels] = [dim(shape, -3), dim(shape, -2), dim(shape, -1)];
  if (shape.length !== 4 || (channels !== 1 && channels !== 3)) {
    throw new InputError({
      op: 'arrayToImages',
      problem: 'not pictures',
      expected: '[N, H, W, 1 or 3]',
      received: shape,
    });
  }
  const size = height * width * channels;
  return Array.from({ length: dim(shape, 0) }, (_, n) => {
    const bytes = Uint8Array.from(data.subarray(n * size, (n + 1) * size), toByte);
    return channels === 1 ? { width, height, data: bytes, channels } : { width, height, data: bytes };
  });
}

/** The product is rounded to float32 before it is rounded to a whole number, as the reference does. */
function toByte(v: number): number {
  const x = Math.fround(v * 255);
  const floor = Math.floor(x);
  const up = x - floor > 0.5 || (x - floor === 0.5 && floor % 2 === 1);
  return Math.min(255, Math.max(0, up ? floor + 1 : floor));
}
