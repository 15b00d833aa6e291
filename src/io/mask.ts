/** Masks: what the edit takes (white, or 1, is what changes), and the picture helpers around them. */
import { InputError, ShapeError } from '../core/errors.ts';
import { checkArray } from '../core/kinds.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { type NdArray, ndarray } from '../core/ndarray.ts';
import { dim, sizeOf } from '../core/shape.ts';
import { checkImage, type GreyImage, greyToRgb, isGrey, type RgbImage, rgbToGrey } from './image.ts';
import { asList, concatenate, isPicture, mixed, type Picture } from './preprocess.ts';
import { resize } from './resize.ts';

/** Numbers with a shape; a mask that `generateMask` returned is one. */
export interface NumericArray {
  /** Values in row-major order. */
  readonly data: ArrayLike<number>;
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
}

/**
 * A mask as `edit` takes it: pictures, or numbers in [0, 1] of shape [h, w], [B, h, w] or [B, 1, h, w]; white is what
 * changes.
 */
export type MaskInput = Picture | NumericArray | readonly Picture[] | readonly NumericArray[];

/**
 * A mask as the edit takes it: images become L / 255; everything is cut to 0 (< 1/2) or 1 (>= 1/2), or stays as it is for a soft mask.
 * The input is not changed.
 * @param input images; arrays [H, W], [B, H, W] or [B, 1, H, W] in [0, 1]; lists: 2-D ones are stacked, others joined
 * @param batch number of prompts; one mask is repeated for all
 * @param mode 'soft' keeps values between 0 and 1; default 'binary'
 * @returns [batch, 1, H, W], of zeros and ones where the mode is binary
 * @throws InputError for values outside [0, 1] or NaN, more than one channel, or another number of masks than prompts
 * @see diffusers preprocess_mask
 */
export function preprocessMask(input: MaskInput, batch = 1, mode: 'binary' | 'soft' = 'binary'): NdArray {
  const op = 'preprocessMask';
  if (mode !== 'soft' && mode !== 'binary') {
    throw new InputError({ op, problem: 'no way to read a mask', expected: "'binary' or 'soft'", received: mode });
  }
  const items = asList<Picture | NumericArray>(input, op);
  const joined = items.every(isPicture) ? join(items.map(greyValues), op) : join(items.map(asFloats), op);
  const mask = asBatch(joined);
  const [count, channels] = [dim(mask.shape, 0), dim(mask.shape, 1)];
  if (channels !== 1) {
    throw new InputError({ op, problem: 'a mask has one channel', expected: '[B, 1, H, W]', received: mask.shape });
  }
  const bad = mask.data.findIndex(v => !(v >= 0 && v <= 1));
  if (bad >= 0) {
    const fix = 'Divide bytes by 255.';
    throw new InputError({ op, problem: 'a mask value outside [0, 1]', received: mask.data[bad], fix });
  }
  if (count !== 1 && count !== batch) {
    throw new InputError({
      op,
      problem: 'masks and prompts differ in number',
      expected: `1 or ${batch}`,
      received: count,
    });
  }
  const read = mode === 'soft' ? mask : { ...mask, data: mask.data.map(v => (v < 0.5 ? 0 : 1)) };
  return count === batch ? read : concatenate(new Array<NdArray>(batch).fill(read), op);
}

function greyValues(image: Picture): NdArray {
  const { width, height, data } = rgbToGrey(image);
  return ndarray(
    Float32Array.from(data, v => v / 255),
    [height, width],
  );
}

function asFloats(item: Picture | NumericArray): NdArray {
  if (isPicture(item)) throw mixed('preprocessMask');
  return ndarray(Float32Array.from(item.data), item.shape);
}

function join(arrays: readonly NdArray[], op: string): NdArray {
  if (arrays.length === 1 && arrays[0]) return arrays[0];
  const flat = arrays.every(a => a.shape.length === 2);
  return concatenate(flat ? arrays.map(a => ndarray(a.data, [1, ...a.shape])) : arrays, op);
}

function asBatch({ data, shape }: NdArray): NdArray {
  if (shape.length === 4) return ndarray(data, shape, 'nchw');
  if (shape.length === 2) return ndarray(data, [1, 1, ...shape], 'nchw');
  if (shape.length === 3) return ndarray(data, [dim(shape, 0), 1, ...shape.slice(1)], 'nchw');
  throw new ShapeError({ op: 'preprocessMask', problem: 'not a mask', expected: '2 to 4 axes', received: shape });
}

/**
 * Masks or maps in [0, 1] as grey pictures, each value a square of `scale` pixels.
 * @param mask [H, W], [B, H, W] or [B, 1, H, W]
 * @param scale pixels a value, such as the VAE's factor
 */
export function maskToImages(mask: NumericArray, scale = 1): GreyImage[] {
  checkArray('maskToImages', mask);
  const { shape } = mask;
  const [h, w] = [dim(shape, -2), dim(shape, -1)];
  if (sizeOf(shape) !== mask.data.length || !(Number.isInteger(scale) && scale > 0)) {
    throw new InputError({ op: 'maskToImages', problem: 'not a mask and a whole scale', received: [shape, scale] });
  }
  const [width, height] = [w * scale, h * scale];
  return Array.from({ length: h * w === 0 ? 0 : sizeOf(shape) / (h * w) }, (_, n) => {
    const data = new Uint8Array(width * height);
    for (let i = 0; i < data.length; i++) {
      const [x, y] = [Math.floor((i % width) / scale), Math.floor(Math.floor(i / width) / scale)];
      data[i] = Math.round(255 * Math.min(1, Math.max(0, mask.data[(n * h + y) * w + x] ?? 0)));
    }
    return { width, height, data, channels: 1 };
  });
}

/**
 * The one mask of a batch of one as a picture.
 * @throws InputError when there are several
 */
export function maskToImage(mask: NumericArray, scale = 1): GreyImage {
  const [image, ...more] = maskToImages(mask, scale);
  if (image && more.length === 0) return image;
  const fix = 'Use maskToImages for a batch.';
  throw new InputError({ op: 'maskToImage', problem: 'not one mask', received: mask.shape, fix });
}

/**
 * Widens the light areas: each value becomes the largest within `radius` in both directions (a square).
 * @param map [..., H, W]
 * @param radius whole, >= 0
 * @see Pillow ImageFilter.MaxFilter(2 radius + 1)
 */
export function dilateMap(map: NdArray, radius: number): NdArray {
  checkArray('dilate', map);
  if (!(Number.isInteger(radius) && radius >= 0)) {
    throw new InputError({ op: 'dilate', problem: 'the radius is no whole number >= 0', received: radius });
  }
  const filter: LineFilter = (at, size, index) => {
    let largest = Number.NEGATIVE_INFINITY;
    const last = Math.min(size - 1, index + radius);
    for (let i = Math.max(0, index - radius); i <= last; i++) largest = Math.max(largest, at(i));
    return largest;
  };
  return alongBothAxes(map, filter, filter);
}

/**
 * Gaussian blur; values beyond the edge repeat the edge's. w(d) = exp(-d^2 / (2 sigma^2)), cut at 4 sigma, sum 1.
 * @param map [..., H, W]
 * @param sigma in pixels, >= 0; or one along each row and one along each column
 * @see scipy.ndimage.gaussian_filter(mode="nearest")
 */
export function blurMap(map: NdArray, sigma: number | readonly [alongRows: number, alongColumns: number]): NdArray {
  checkArray('blur', map);
  const [x, y] = typeof sigma === 'number' ? [sigma, sigma] : sigma;
  for (const one of [x, y]) {
    if (one >= 0 && Number.isFinite(one)) continue;
    throw new InputError({ op: 'blur', problem: 'sigma is no number >= 0', received: one });
  }
  return alongBothAxes(map, gaussian(x, dim(map.shape, -1)), gaussian(y, dim(map.shape, -2)));
}

/**
 * Undefined where it changes nothing. Of a sigma that reaches beyond a line's other end, what lies outside is read at the ends: no value costs
 * more than the line is long.
 * @param size of the lines
 */
function gaussian(sigma: number, size: number): LineFilter | undefined {
  // Beyond this a line is the mean of its ends to 1/8000, whatever sigma is.
  const most = Math.min(sigma, 1000 * size);
  const reach = Math.floor(4 * most + 0.5);
  if (reach === 0) return undefined;
  const kept = Math.min(reach, size - 1);
  const weight = (distance: number): number => Math.exp(-0.5 * (distance / most) ** 2);
  const weights = Array.from({ length: 2 * kept + 1 }, (_, i) => weight(i - kept));
  let beyond = 0;
  for (let distance = reach; distance > kept; distance--) beyond += weight(distance);
  weights[0] = (weights[0] ?? 0) + beyond;
  weights[2 * kept] = (weights[2 * kept] ?? 0) + beyond;
  const sum = weights.reduce((a, b) => a + b, 0);
  return (at, length, index) => {
    let value = 0;
    for (let k = 0; k < weights.length; k++)
      value += (weights[k] ?? 0) * at(Math.min(length - 1, Math.max(0, index + k - kept)));
    return value / sum;
  };
}

type LineFilter = (at: (i: number) => number, size: number, index: number) => number;

function alongBothAxes(map: NdArray, alongRows?: LineFilter, alongColumns?: LineFilter): NdArray {
  if (!alongRows && !alongColumns) return map;
  const [h, w] = [dim(map.shape, -2), dim(map.shape, -1)];
  const rows = map.data.map((v, i) => {
    const x = i % w;
    return alongRows ? alongRows(k => map.data[i - x + k] ?? 0, w, x) : v;
  });
  const data = rows.map((v, i) => {
    const y = Math.floor(i / w) % h;
    return alongColumns ? alongColumns(k => rows[i + (k - y) * w] ?? 0, h, y) : v;
  });
  return { ...map, data };
}

/** `dilateMap` on a grey picture. */
export function dilate(image: GreyImage, radius: number): GreyImage {
  return onBytes(image, map => dilateMap(map, radius));
}

/** `blurMap` on a grey picture: the soft edge of a mask. */
export function gaussianBlur(
  image: GreyImage,
  sigma: number | readonly [alongRows: number, alongColumns: number],
): GreyImage {
  return onBytes(image, map => blurMap(map, sigma));
}

function onBytes(image: GreyImage, filter: (map: NdArray) => NdArray): GreyImage {
  const { width, height, data } = checkImage(image, 'mask');
  const result = filter(ndarray(Float32Array.from(data), [height, width]));
  return { width, height, data: Uint8Array.from(result.data, v => Math.round(v)), channels: 1 };
}

/** How pictures are laid side by side. */
export interface SheetOptions {
  /** Pixels between and around the pictures; 8 by default. */
  readonly gap?: number;
  /** R, G, B of the paper; white by default. */
  readonly background?: readonly [number, number, number];
}

const SHEET = namesOf<SheetOptions>({ gap: 1, background: 1 });

/**
 * Pictures in one row, all brought to the first one's height.
 * @param pictures RGB or grey, from left to right
 */
export function sideBySide(pictures: readonly Picture[], options: SheetOptions = {}): RgbImage {
  checkNames('sideBySide', options, SHEET);
  const { gap = 8, background = [255, 255, 255] } = options;
  const height = asList(pictures, 'sideBySide')[0]?.height ?? 0;
  const columns = pictures.map(picture => {
    const rgb = checkImage(isGrey(picture) ? greyToRgb(picture) : picture, 'sideBySide');
    return resize(rgb, Math.max(1, Math.round((rgb.width * height) / rgb.height)), height);
  });
  const width = columns.reduce((sum, c) => sum + c.width + gap, gap);
  const sheet = { width, height: height + 2 * gap, data: new Uint8Array(width * (height + 2 * gap) * 3) };
  for (let i = 0; i < sheet.data.length; i++) sheet.data[i] = background[i % 3] ?? 0;
  let left = gap;
  for (const column of columns) {
    for (let y = 0; y < height; y++) {
      const row = column.data.subarray(y * column.width * 3, (y + 1) * column.width * 3);
      sheet.data.set(row, ((y + gap) * width + left) * 3);
    }
    left += column.width + gap;
  }
  return sheet;
}
