/** What latents look like without the VAE: an affine map from a latent's channels to a colour, fitted to a picture whose latents are known. */
import { InputError, ShapeError } from '../core/errors.ts';
import { checkArray, checkMember } from '../core/kinds.ts';
import type { NdArray } from '../core/ndarray.ts';
import { checkImage, type RgbImage } from './image.ts';
import { resize } from './resize.ts';

/** Rows: red, green and blue; columns: the channels, and a constant. */
export type LatentColours = readonly (readonly number[])[];

interface Sides {
  readonly count: number;
  readonly channels: number;
  readonly width: number;
  readonly height: number;
}

/** Of the normal equations, so that flat pictures have a solution. */
const RIDGE = 1e-3;

/**
 * Fits colours to latents that show a picture, by least squares.
 * @param latents [1, C, h, w], the nearer to the picture's own the better
 * @param picture what they show, of any size
 * @throws ShapeError for latents of several pictures; InputError for what are none
 */
export function fitLatentColours(latents: NdArray, picture: RgbImage): LatentColours {
  const { channels, width, height } = sidesOf('fitLatentColours', latents);
  const { data: colours } = resize(checkImage(picture, 'fitLatentColours'), width, height, 'box');
  const [n, plane] = [channels + 1, width * height];
  const [products, sums] = [new Float64Array(n * n), new Float64Array(3 * n)];
  const x = new Float64Array(n).fill(1);
  for (let at = 0; at < plane; at++) {
    for (let c = 0; c < channels; c++) x[c] = latents.data[c * plane + at] ?? 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) products[i * n + j] = (products[i * n + j] ?? 0) + (x[i] ?? 0) * (x[j] ?? 0);
      for (let c = 0; c < 3; c++) sums[c * n + i] = (sums[c * n + i] ?? 0) + (x[i] ?? 0) * (colours[3 * at + c] ?? 0);
    }
  }
  for (let i = 0; i < n; i++) products[i * n + i] = (products[i * n + i] ?? 0) + RIDGE * plane;
  return [0, 1, 2].map(c => solve(products, sums.subarray(c * n, (c + 1) * n)));
}

/**
 * Pictures of latents, one pixel for each of theirs.
 * @param latents [N, C, h, w]
 * @param colours of `fitLatentColours`
 * @throws InputError for what are no latents or colours, and for colours of another number of channels
 */
export function latentPictures(latents: NdArray, colours: LatentColours): RgbImage[] {
  const op = 'latentPictures';
  const { count, channels, width, height } = sidesOf(op, latents, true);
  checkMember(op, colours, '0', 'list', 'colours of fitLatentColours');
  const columns = colours[0]?.length ?? 0;
  if (colours.length !== 3 || columns !== channels + 1) {
    const [problem, expected] = ['colours of other latents', `3 rows of ${channels + 1} numbers`];
    throw new InputError({ op, problem, expected, received: `${colours.length} of ${columns}`, path: 'colours' });
  }
  const plane = width * height;
  return Array.from({ length: count }, (_, n) => {
    const data = new Uint8ClampedArray(3 * plane);
    for (let at = 0; at < plane; at++) {
      colours.forEach((row, c) => {
        let value = row[channels] ?? 0;
        for (let k = 0; k < channels; k++)
          value += (row[k] ?? 0) * (latents.data[(n * channels + k) * plane + at] ?? 0);
        data[3 * at + c] = value;
      });
    }
    return { width, height, data };
  });
}

function sidesOf(op: string, latents: NdArray, several = false): Sides {
  checkArray(op, latents, 'latents');
  const { data, shape } = latents;
  const [count = 0, channels = 0, height = 0, width = 0] = shape;
  const size = count * channels * height * width;
  if (shape.length === 4 && data.length === size && (several || count === 1)) return { count, channels, width, height };
  const expected = `[${several ? 'N' : '1'}, C, h, w]`;
  throw new ShapeError({ op, problem: 'not latents', expected, received: shape, path: 'latents' });
}

/** Solves A x = b for a positive definite A, by Gauss. */
function solve(products: Float64Array, sums: Float64Array): number[] {
  const n = sums.length;
  const rows = Array.from({ length: n }, (_, i) => [...products.subarray(i * n, (i + 1) * n), sums[i] ?? 0]);
  rows.forEach((pivot, i) => {
    const by = pivot[i] ?? 1;
    for (let j = i; j <= n; j++) pivot[j] = (pivot[j] ?? 0) / by;
    rows.forEach((row, k) => {
      const times = row[i] ?? 0;
      if (k === i || times === 0) return;
      for (let j = i; j <= n; j++) row[j] = (row[j] ?? 0) - times * (pivot[j] ?? 0);
    });
  });
  return rows.map(row => row[n] ?? 0);
}
