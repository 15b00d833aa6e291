/** Which pixels of maps the tiles of a convolution touch. */
import type { ConvGeometry } from './gemm.ts';

/** Pixels of a map twice as large whose lines are those of pixels [from, to), `width` to a line. */
export function doubledLines([from, to]: readonly [number, number], width: number): [number, number] {
  return [Math.floor(from / width) * 4 * width, (Math.floor((to - 1) / width) + 1) * 4 * width];
}

/** Input pixels that output pixels [from, to) of a convolution read, counted over the whole batch. */
export function inputPixels(c: ConvGeometry, from: number, to: number): [number, number] {
  const shift = c.upsample ? 2 : 1;
  const phase = c.phases ? 1 : 0;
  const first = (pixel: number) => {
    const line = Math.floor(pixel / c.outWidth);
    const image = Math.floor(line / c.outHeight);
    const top = Math.floor(Math.max(0, (line % c.outHeight) * c.stride - c.padTop) / shift);
    return (image * c.inHeight + Math.min(top, c.inHeight - 1)) * c.inWidth;
  };
  const lastLine = Math.floor((to - 1) / c.outWidth);
  const image = Math.floor(lastLine / c.outHeight);
  const bottom = Math.floor(((lastLine % c.outHeight) * c.stride - c.padTop + c.kernelHeight - 1 + phase) / shift);
  const end = (image * c.inHeight + Math.min(Math.max(bottom, 0) + 1, c.inHeight)) * c.inWidth;
  return [first(from), Math.max(end, first(from) + c.inWidth)];
}
