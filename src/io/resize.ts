/**
 * Resizing as Pillow does it to the bit (8-bit samples, fixed-point weights, horizontal pass first, 8 bits between
 * the passes), and nearest-neighbour resizing of float arrays as torch does it.
 */
import { InputError } from '../core/errors.ts';
import { checkArray } from '../core/kinds.ts';
import type { NdArray } from '../core/ndarray.ts';
import { dim } from '../core/shape.ts';
import { checkImage, type GreyImage, isGrey, type RgbImage } from './image.ts';

/** Pillow's filters that are built. */
export type Resample = 'box' | 'bilinear' | 'bicubic' | 'lanczos';

interface Filter {
  /** Half width in source pixels at scale 1. */
  readonly support: number;
  readonly weight: (x: number) => number;
}

const FILTERS: Readonly<Record<Resample, Filter>> = {
  box: { support: 0.5, weight: x => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: x => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: x => cubic(Math.abs(x)) },
  lanczos: { support: 3, weight: x => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** Keys' cubic convolution with a = -1/2. */
function cubic(x: number): number {
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

/**
 * Resizes a picture, the aspect ratio being the caller's business.
 * out = clip8((2^21 + sum_k w_k p_k) >> 22) in each pass, with w_k = round(2^22 f((k - c + 1/2) / s) / sum f).
 * @param image RGB or grey
 * @param width new width, pixels
 * @param height new height, pixels
 * @param resample filter; Pillow's own default is bicubic, diffusers' image processor takes lanczos
 * @returns a new picture of the same kind
 * @throws InputError when a side is no positive whole number, or the filter is unknown
 * @see Pillow Image.resize (same bytes)
 */
export function resize<T extends RgbImage | GreyImage>(
  image: T,
  width: number,
  height: number,
  resample: Resample = 'bicubic',
): T {
  return { ...image, width, height, data: resizedRows(image, width, height, resample)(0, height) };
}

/**
 * The same for callers that take the result in bands of rows and never hold all of it.
 * @returns gives rows [from, to) of what {@link resize} returns, in an array of their own
 * @throws as {@link resize}
 */
export function resizedRows(
  image: RgbImage | GreyImage,
  width: number,
  height: number,
  resample: Resample = 'bicubic',
): (from: number, to: number) => Uint8Array<ArrayBuffer> {
  checkImage(image, 'resize');
  if (![width, height].every(side => Number.isInteger(side) && side > 0)) {
    throw new InputError({ op: 'resize', problem: 'sides must be positive whole', received: `${width} x ${height}` });
  }
  if (!Object.hasOwn(FILTERS, resample)) {
    const expected = Object.keys(FILTERS).join(', ');
    throw new InputError({ op: 'resize', problem: 'unknown filter', expected, value: resample, path: 'resample' });
  }
  const channels = isGrey(image) ? 1 : 3;
  let data: Samples = image.data;
  if (width !== image.width) {
    const taps = fixedPointTaps(image.width, width, FILTERS[resample]);
    data = pass(data, taps, {
      lines: image.height,
      line: image.width * channels,
      step: channels,
      channels,
      out: width,
    });
  }
  const row = width * channels;
  const [wide, same] = [data, height === image.height];
  if (same) return (from, to) => new Uint8Array(wide.subarray(from * row, to * row));
  const taps = fixedPointTaps(image.height, height, FILTERS[resample]);
  return (from, to) => passVertical(wide, taps, row, from, to);
}

type Samples = Uint8Array | Uint8ClampedArray;

interface Taps {
  /** First source index of each output index. */
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** `size` weights an output index, scaled by 2^22. */
  readonly weights: Int32Array;
  readonly size: number;
}

function fixedPointTaps(from: number, to: number, { support, weight }: Filter): Taps {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  const size = Math.ceil(reach) * 2 + 1;
  const taps = { first: new Int32Array(to), count: new Int32Array(to), weights: new Int32Array(to * size), size };
  for (let i = 0; i < to; i++) {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const count = Math.min(from, Math.trunc(center + reach + 0.5)) - first;
    const values = Array.from({ length: count }, (_, k) => weight((k + first - center + 0.5) * (1 / stretch)));
    const sum = values.reduce((a, b) => a + b, 0);
    taps.first[i] = first;
    taps.count[i] = count;
    for (const [k, value] of values.entries()) {
      const w = sum === 0 ? value : value / sum;
      taps.weights[i * size + k] = Math.trunc(w * 2 ** 22 + (w < 0 ? -0.5 : 0.5));
    }
  }
  return taps;
}

interface Lines {
  readonly lines: number;
  readonly line: number;
  readonly step: number;
  readonly channels: number;
  readonly out: number;
}

function pass(data: Samples, taps: Taps, { lines, line, step, channels, out }: Lines): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(lines * out * channels);
  let at = 0;
  for (let y = 0; y < lines; y++) {
    for (let x = 0; x < out; x++) {
      const start = y * line + (taps.first[x] ?? 0) * step;
      const weights = x * taps.size;
      const count = taps.count[x] ?? 0;
      for (let c = 0; c < channels; c++) {
        let sum = 1 << 21;
        for (let k = 0; k < count; k++) sum += (data[start + k * step + c] ?? 0) * (taps.weights[weights + k] ?? 0);
        result[at++] = clip8(sum >> 22);
      }
    }
  }
  return result;
}

/** Whole rows at a time: the innermost loop walks along memory. */
function passVertical(data: Samples, taps: Taps, row: number, from: number, to: number): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(row * (to - from));
  const sums = new Int32Array(row);
  for (let y = from; y < to; y++) {
    sums.fill(1 << 21);
    for (let k = 0; k < (taps.count[y] ?? 0); k++) {
      const weight = taps.weights[y * taps.size + k] ?? 0;
      const start = ((taps.first[y] ?? 0) + k) * row;
      for (let i = 0; i < row; i++) sums[i] = (sums[i] ?? 0) + weight * (data[start + i] ?? 0);
    }
    for (let i = 0; i < row; i++) result[(y - from) * row + i] = clip8((sums[i] ?? 0) >> 22);
  }
  return result;
}

function clip8(value: number): number {
  return Math.min(255, Math.max(0, value));
}

/**
 * Nearest-neighbour resizing of the last two axes: source = min(floor(i * fround(in / out)), in - 1).
 * @param array [..., H, W]
 * @param height new H
 * @param width new W
 * @returns [..., height, width]
 * @see torch.nn.functional.interpolate(mode="nearest")
 */
export function resizeNearest(array: NdArray, height: number, width: number): NdArray {
  checkArray('resizeNearest', array);
  const [h, w] = [dim(array.shape, -2), dim(array.shape, -1)];
  const planes = array.data.length / (h * w);
  const [rows, columns] = [nearestIndices(h, height), nearestIndices(w, width)];
  const data = new Float32Array(planes * height * width);
  let at = 0;
  for (let p = 0; p < planes; p++) {
    for (const y of rows) for (const x of columns) data[at++] = array.data[(p * h + y) * w + x] ?? 0;
  }
  return { ...array, data, shape: [...array.shape.slice(0, -2), height, width] };
}

function nearestIndices(from: number, to: number): Int32Array {
  const scale = Math.fround(from / to);
  return Int32Array.from({ length: to }, (_, i) => Math.min(Math.floor(Math.fround(i * scale)), from - 1));
}
