/**
 * What kernels over rows share: argument checks, windows of rows, and the arithmetic of flat tiles. A row is a run of
 * channels padded to a pitch; columns are vec4s of a row.
 */
import { ShapeError } from '../core/errors.ts';
import { ceilDiv, ROW_ALIGN } from '../core/shape.ts';
import type { Access } from '../gpu/pipelines.ts';
import { type KernelBinding, type RowLayout, type Storage, storageBytes } from './kernel.ts';

/** Range [start, end) of rows, or of what else is counted, that tiles [first, end) touch. */
export type RowRange = (first: number, end: number) => readonly [start: number, end: number];

/** Rows of one buffer: true width, pitch in elements, storage form. */
export interface Rows {
  /** True length of a row. */
  readonly width: number;
  /** Elements from one row to the next, a multiple of 8. */
  readonly pitch: number;
  /** Form of the elements. */
  readonly storage: Storage;
}

/** vec4s that one tile of a flat kernel handles: 256 invocations, 4 each. */
export const FLAT_TILE = 1024;

/** @throws ShapeError unless every size is a positive integer */
export function requireSizes(op: string, sizes: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(sizes)) {
    if (!(Number.isSafeInteger(value) && value > 0)) {
      throw new ShapeError({ op, problem: 'a size must be a positive integer', value, path: name });
    }
  }
}

/** @throws ShapeError unless the pitch is a multiple of 8 that holds the width */
export function requirePitch(op: string, name: string, rows: { readonly width: number; readonly pitch: number }): void {
  requireSizes(op, { [`${name}.width`]: rows.width, [`${name}.pitch`]: rows.pitch });
  if (rows.pitch % ROW_ALIGN !== 0 || rows.pitch < rows.width) {
    throw new ShapeError({
      op,
      problem: `a row of ${rows.width} needs a pitch that holds it`,
      expected: `a multiple of ${ROW_ALIGN}, at least ${rows.width}`,
      received: rows.pitch,
      path: `${name}.pitch`,
      fix: `Pad the rows to multiples of ${ROW_ALIGN} elements.`,
    });
  }
}

/**
 * A binding of whole rows that may be larger than one binding allows.
 *
 * @param field of `struct Params` that holds the vec4 at which the window starts
 */
export function rowBinding(
  name: string,
  access: Access,
  rows: RowLayout,
  field: string,
  range: RowRange,
): KernelBinding {
  const columns = rows.pitch / 4;
  return vec4Binding(name, access, rows.storage, field, (first, end) => {
    const [from, to] = range(first, end);
    return [from * columns, to * columns];
  });
}

/**
 * A binding of vec4s that may be larger than one binding allows.
 *
 * @param field of `struct Params` that holds the vec4 at which the window starts
 * @param range vec4s that tiles touch
 */
export function vec4Binding(
  name: string,
  access: Access,
  storage: Storage,
  field: string,
  range: RowRange,
): KernelBinding {
  return { name, access, window: { field, range, elementBytes: 4 * storageBytes(storage) } };
}

/**
 * A binding of words (f32 or u32) that may be larger than one binding allows.
 *
 * @param field of `struct Params` that holds the word at which the window starts
 * @param range words that tiles touch
 */
export function wordBinding(name: string, access: Access, field: string, range: RowRange): KernelBinding {
  return { name, access, window: { field, range, elementBytes: 4 } };
}

/** Items that tiles touch where a tile has `tileItems` neighbouring ones of `count`. */
export function flatItems(count: number, tileItems: number): RowRange {
  return (first, end) => [first * tileItems, Math.min(count, end * tileItems)];
}

/** Rows that tiles touch where item i is column i % columns of row i / columns and a tile has `tileItems` items. */
export function flatRows(rows: number, columns: number, tileItems: number = FLAT_TILE): RowRange {
  return (first, end) => [
    Math.floor((first * tileItems) / columns),
    Math.min(rows, ceilDiv(Math.min(end * tileItems, rows * columns), columns)),
  ];
}
