/**
 * From pictures to the arrays that the networks take, and back: the rules of diffusers' image processor on plain
 * arrays. Masks are in mask.ts.
 */
import { InputError, ShapeError } from '../core/errors.ts';
import { checkArray, checkMember } from '../core/kinds.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { type Layout, type NdArray, ndarray } from '../core/ndarray.ts';
import { dim, sameShape } from '../core/shape.ts';
import { type GreyImage, greyToRgb, isGrey, type RgbImage } from './image.ts';
import { type Resample, resize, resizeNearest } from './resize.ts';

/** A picture in any of the accepted forms. */
export type Picture = RgbImage | GreyImage;

/** One picture or several: images, or arrays of values in [0, 1] (or already in [-1, 1]). */
export type PictureInput = Picture | NdArray | readonly Picture[] | readonly NdArray[];

/** How pictures become the VAE's input. */
export interface PreprocessOptions {
  /** Sides are cut down to a multiple of this: the VAE's scale factor. */
  readonly factor: number;
  /** For images; arrays are resized by nearest neighbour. */
  readonly resample?: Resample;
  /** Told when values are taken to be in [-1, 1] already. */
  readonly onWarning?: (message: string) => void;
}

const OPTIONS = namesOf<PreprocessOptions>({ factor: 1, resample: 1, onWarning: 1 });

/**
 * Pictures as the VAE takes them: x = 2 v / 255 - 1 for images, x = 2 v - 1 for arrays.
 * Images are all resized to the first one's sides, cut down to a multiple of the factor. Arrays keep their values if
 * any is negative. Arrays [N, 4, H, W] are latents and returned untouched; pictures with alpha are refused.
 * @param input images [H, W, 3] bytes; arrays HWC, NHWC, CHW or NCHW, told apart by `layout`, else by where 1, 3 or 4 stands
 * @param options factor, filter
 * @returns [N, C, H, W]
 * @throws InputError for an empty or mixed list, alpha, or sides below the factor; ShapeError for unequal arrays
 * @see diffusers VaeImageProcessor.preprocess
 */
export function preprocessImage(input: PictureInput, options: PreprocessOptions): NdArray {
  checkNames('preprocessImage', options, OPTIONS);
  const items = asList(input, 'preprocessImage');
  if (items.every(isPicture)) return doubled(imagesToArray(items, options));
  const arrays = items.map(item => {
    if (isPicture(item)) throw mixed('preprocessImage');
    return toNchw(item);
  });
  const batch = concatenate(arrays, 'preprocessImage');
  if (dim(batch.shape, 1) === 4) return batch;
  const [height, width] = cutSides(dim(batch.shape, 2), dim(batch.shape, 3), options.factor);
  const same = height === dim(batch.shape, 2) && width === dim(batch.shape, 3);
  const sized = same ? batch : resizeNearest(batch, height, width);
  if (!sized.data.some(v => v < 0)) return doubled(sized);
  options.onWarning?.('preprocessImage: negative values: taken to be in [-1, 1] already');
  return sized;
}

/**
 * Images to arrays in [0, 1], all resized to the first one's sides cut down to a multiple of the factor.
 * @returns [N, 3, H, W], v / 255
 */
export function imagesToArray(images: readonly Picture[], options: PreprocessOptions): NdArray {
  checkNames('imagesToArray', options, OPTIONS);
  checkMember('imagesToArray', { images }, 'images', 'list', 'a list of pictures');
  const [first] = images;
  if (!first) throw mixed('imagesToArray');
  const [height, width] = cutSides(first.height, first.width, options.factor);
  const plane = width * height;
  const data = new Float32Array(images.length * 3 * plane);
  for (const [n, image] of images.entries()) {
    const { data: rgb } = resize(
      isGrey(image) ? greyToRgb(image) : image,
      width,
      height,
      options.resample ?? 'lanczos',
    );
    for (let i = 0; i < plane; i++) {
      for (let c = 0; c < 3; c++) data[(n * 3 + c) * plane + i] = (rgb[3 * i + c] ?? 0) / 255;
    }
  }
  return ndarray(data, [images.length, 3, height, width], 'nchw');
}

/**
 * Sides cut down to a multiple of the factor.
 * @returns [height, width]
 * @throws InputError where nothing is left
 */
export function cutSides(height: number, width: number, factor: number): [number, number] {
  const [h, w] = [height - (height % factor), width - (width % factor)];
  if (h > 0 && w > 0) return [h, w];
  const sizes = { expected: `sides of at least ${factor}`, received: `${width} x ${height}` };
  throw new InputError({ op: 'preprocessImage', problem: 'the picture is too small', ...sizes });
}

function doubled(array: NdArray): NdArray {
  return { ...array, data: array.data.map(v => 2 * v - 1) };
}

/** A list of one kind; a single item counts as a list of one. */
export function asList<T>(input: T | readonly T[], op: string): readonly T[] {
  const list: readonly T[] = Array.isArray(input) ? input : [input as T];
  if (list.length === 0) throw new InputError({ op, problem: 'an empty list of pictures' });
  for (const item of list) {
    if (typeof item === 'object' && item !== null && 'data' in item && (isPicture(item) || hasShape(item))) continue;
    const received = item === null ? 'null' : typeof item;
    const fix = "Read addresses with loadImage, files with readImage of 'pentimento/node'.";
    throw new InputError({ op, problem: 'not a picture or array', received, fix });
  }
  return list;
}

/** Whether an object says, as arrays do, how its numbers are laid out. */
export function hasShape(item: object): boolean {
  return 'shape' in item && Array.isArray(item.shape);
}

export function isPicture(item: object): item is Picture {
  return 'width' in item && 'height' in item;
}

export function mixed(op: string): InputError {
  return new InputError({
    op,
    problem: 'a list must hold either images or arrays, at least one',
    received: 'a mixture',
  });
}

/**
 * One array as a batch of pictures.
 * @param array 2-D [H, W] (one channel), 3-D HWC or CHW, 4-D NHWC or NCHW
 * @returns [N, C, H, W]
 * @throws ShapeError when rank or channels make no sense; InputError for pictures with alpha
 */
export function toNchw(array: NdArray): NdArray {
  checkArray('toNchw', array);
  const { data, shape } = ndarray(array.data, array.shape);
  const rank = shape.length;
  const fix = 'Pass HWC, NHWC, CHW or NCHW with 1, 3 or 4 channels, or say which by layout.';
  if (rank === 2) return ndarray(data, [1, 1, ...shape], 'nchw');
  if (rank !== 3 && rank !== 4) {
    throw new ShapeError({
      op: 'preprocessImage',
      problem: 'not a picture',
      expected: '2 to 4 axes',
      received: shape,
      fix,
    });
  }
  const layout = array.layout ?? guessLayout(shape);
  if (!layout) throw new ShapeError({ op: 'preprocessImage', problem: 'no axis of channels', received: shape, fix });
  const batched = ndarray(data, rank === 3 ? [1, ...shape] : shape, layout);
  if (layout === 'nchw') return batched;
  if (dim(shape, -1) === 4) {
    throw new InputError({
      op: 'preprocessImage',
      problem: 'a picture with alpha',
      received: shape,
      fix: 'Drop the fourth channel; latents are passed as [N, 4, H, W].',
    });
  }
  return nhwcToNchw(batched);
}

function guessLayout(shape: readonly number[]): Layout | undefined {
  const channels = [1, 3, 4];
  if (channels.includes(dim(shape, -1))) return 'nhwc';
  return channels.includes(dim(shape, -3)) ? 'nchw' : undefined;
}

/** [N, H, W, C] -> [N, C, H, W] */
export function nhwcToNchw(array: NdArray): NdArray {
  checkArray('nhwcToNchw', array);
  const { data, shape } = array;
  const [n, h, w, c] = [0, 1, 2, 3].map(i => dim(shape, i)) as [number, number, number, number];
  return ndarray(swapInner(data, n, h * w, c), [n, c, h, w], 'nchw');
}

/** [N, C, H, W] -> [N, H, W, C] */
export function nchwToNhwc(array: NdArray): NdArray {
  checkArray('nchwToNhwc', array);
  const { data, shape } = array;
  const [n, c, h, w] = [0, 1, 2, 3].map(i => dim(shape, i)) as [number, number, number, number];
  return ndarray(swapInner(data, n, c, h * w), [n, h, w, c], 'nhwc');
}

/** [n, a, b] -> [n, b, a] */
function swapInner(data: Float32Array, n: number, a: number, b: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let k = 0, at = 0; k < n; k++) {
    for (let j = 0; j < b; j++) for (let i = 0; i < a; i++) out[at++] = data[(k * a + i) * b + j] ?? 0;
  }
  return out;
}

/**
 * Joins arrays along the first axis.
 * @throws ShapeError when the other axes differ
 */
export function concatenate(arrays: readonly NdArray[], op: string): NdArray {
  const [first] = arrays;
  if (!first) throw mixed(op);
  for (const { shape } of arrays) {
    if (sameShape(shape.slice(1), first.shape.slice(1))) continue;
    throw new ShapeError({ op, problem: 'arrays of one list differ', expected: first.shape, received: shape });
  }
  const data = new Float32Array(arrays.reduce((sum, a) => sum + a.data.length, 0));
  let at = 0;
  for (const array of arrays) {
    data.set(array.data, at);
    at += array.data.length;
  }
  const count = arrays.reduce((sum, a) => sum + dim(a.shape, 0), 0);
  return ndarray(data, [count, ...first.shape.slice(1)], first.layout);
}
