/** What latents look like, without the VAE: an affine map from a latent's channels to a colour, fitted to the picture itself. */
import type { NdArray, RgbImage } from 'pentimento';
import { context } from '../../shared/elements.ts';

/** Rows: three colours; columns: the channels, and a constant. */
export type Colours = readonly (readonly number[])[];

/** Of the normal equations, so that flat pictures have a solution. */
const RIDGE = 1e-3;

/**
 * Fits colours to latents that show a picture.
 * @param latents [1, C, h, w], the nearer to the picture's own the better
 * @param picture of a multiple of that size
 */
export function fitColours(latents: NdArray, picture: RgbImage): Colours {
  const [, channels = 0, h = 0, w = 0] = latents.shape;
  const n = channels + 1;
  const [products, sums] = [new Float64Array(n * n), new Float64Array(3 * n)];
  for (let at = 0; at < h * w; at++) {
    const x = Array.from({ length: n }, (_, c) => (c < channels ? (latents.data[c * h * w + at] ?? 0) : 1));
    const colour = meanColour(picture, at % w, Math.floor(at / w), { w, h });
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) products[i * n + j] = (products[i * n + j] ?? 0) + (x[i] ?? 0) * (x[j] ?? 0);
      for (let c = 0; c < 3; c++) sums[c * n + i] = (sums[c * n + i] ?? 0) + (x[i] ?? 0) * (colour[c] ?? 0);
    }
  }
  for (let i = 0; i < n; i++) products[i * n + i] = (products[i * n + i] ?? 0) + RIDGE * h * w;
  return [0, 1, 2].map(c => solve(products, sums.subarray(c * n, (c + 1) * n)));
}

/** Draws latents. @param latents [1, C, h, w] */
export function drawLatents(canvas: HTMLCanvasElement, latents: NdArray, colours: Colours): void {
  const [, channels = 0, height = 0, width = 0] = latents.shape;
  Object.assign(canvas, { width, height });
  const pixels = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    colours.forEach((row, c) => {
      let v = row[channels] ?? 0;
      for (let k = 0; k < channels; k++) v += (row[k] ?? 0) * (latents.data[k * width * height + at] ?? 0);
      pixels.data[4 * at + c] = v;
    });
    pixels.data[4 * at + 3] = 255;
  }
  context(canvas).putImageData(pixels, 0, 0);
}

function meanColour(
  { width, height, data }: RgbImage,
  x: number,
  y: number,
  { w, h }: { w: number; h: number },
): readonly number[] {
  const sums = [0, 0, 0];
  const [right, bottom] = [((x + 1) * width) / w, ((y + 1) * height) / h];
  let count = 0;
  for (let row = Math.floor((y * height) / h); row < bottom; row++) {
    for (let column = Math.floor((x * width) / w); column < right; column++, count++) {
      for (let c = 0; c < 3; c++) sums[c] = (sums[c] ?? 0) + (data[3 * (row * width + column) + c] ?? 0);
    }
  }
  return sums.map(sum => sum / count);
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
