/** Where the rows of a convolution come from, and which pixels of maps its tiles touch. */

/** Output lines of a doubling that are made at once: all, or those of even or odd numbers. */
export type PhaseLines = 'all' | 'even' | 'odd';

/** Where conv rows come from. Sizes in pixels; `upsample` reads the input as if it were twice as large. */
export interface ConvGeometry {
  /** N: maps of the batch. */
  readonly images: number;
  /** Lines of the input. */
  readonly inHeight: number;
  /** Pixels of its lines. */
  readonly inWidth: number;
  /** Lines of the output. */
  readonly outHeight: number;
  /** Pixels of its lines. */
  readonly outWidth: number;
  /** Taps from top to bottom. */
  readonly kernelHeight: number;
  /** Taps from left to right. */
  readonly kernelWidth: number;
  /** Pixels from one output to the next, on both axes. */
  readonly stride: number;
  /** Lines of zeros above the input. */
  readonly padTop: number;
  /** Pixels of zeros left of it. */
  readonly padLeft: number;
  /** Reads the input twice as large, by nearest neighbour. */
  readonly upsample: boolean;
  /**
   * Writes an output twice as large, of which `outHeight` and `outWidth` are half: `batch` is 4, and product 2 py + px makes the pixels of
   * that parity, by a kernel of its own and with `padTop` and `padLeft` less by py and px; or it is 2, for one py.
   */
  readonly phases?: PhaseLines | undefined;
}

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
