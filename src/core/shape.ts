import { ShapeError } from './errors.ts';

/** Logical sizes, outermost first. Pictures and feature maps are [N, C, H, W], tokens [N, L, D]. */
export type Shape = readonly number[];

/** Rows are padded to this many elements, so that every row starts on a whole vec4 pair. Padding is always zero. */
export const ROW_ALIGN = 8;

/** Size of dimension `i`, negative from the end. Throws a ShapeError where there is none. */
export function dim(shape: Shape, i: number): number {
  const size = shape[i < 0 ? shape.length + i : i];
  if (size === undefined) throw new ShapeError({ op: 'dim', problem: `no dimension ${i}`, received: shape });
  return size;
}

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Same rank and sizes. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

export function ceilDiv(a: number, b: number): number {
  return Math.ceil(a / b);
}

/** `n` rounded up to a multiple of `step`. */
export function alignUp(n: number, step: number): number {
  return Math.ceil(n / step) * step;
}
