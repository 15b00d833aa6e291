/** What products measure of what they store, for a group norm that reads it next: wgsl/lib/moments.wgsl. */
import { alignUp, ceilDiv, ROW_ALIGN } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { type GemmProblem, tapsOf } from './gemm-problem.ts';
import type { KernelBinding, KernelCall } from './kernel.ts';
import type { RowRange } from './rows.ts';

/** Pixels of an image that are measured together. One number for all variants and tiles, so that no bit depends on them. */
export const MOMENT_ROWS = 16;

/** Parities of the pixels of a doubling, each of which has slabs of its own, side by side. */
const PARITIES = 4;

/**
 * Multiply-adds of an image from which on software measures: a pipeline of its own costs a quarter of a second to compile, and saves a
 * hundredth to a fortieth of a product's time.
 */
const LEAST_MEASURED = 2 ** 29;

/** Elements from one measured slab to the next: three numbers for every pair of channels. */
export function momentsPitch(pitch: number): number {
  return alignUp((3 * pitch) / 2, ROW_ALIGN);
}

/** Whether rows that lie back to back, without gates, are whole slabs, and worth it: what variants ask before they measure. */
export function hasSlabs({ software }: Pick<Caps, 'software'>, problem: GemmProblem): boolean {
  const { batch, rows, k, y, conv, epilogue, itemRows = 1 } = problem;
  const imageRows = conv ? conv.outHeight * conv.outWidth : itemRows;
  const parities = conv?.phases ? PARITIES : 1;
  if (software && parities * imageRows * y.pitch * k * tapsOf(conv) < LEAST_MEASURED) return false;
  const whole = (conv?.phases ? imageRows : rows) % MOMENT_ROWS === 0;
  return whole && (batch === 1 || conv?.phases !== undefined) && !epilogue?.geglu && y.batch === undefined;
}

/** The binding of what is measured, of rows [from, to) of a product that tiles touch; none where nothing is. */
export function momentsBindings({ y, conv, moments }: GemmProblem, rowRange: RowRange): readonly KernelBinding[] {
  if (!moments) return [];
  const slabPairs = (momentsPitch(y.pitch) / 2) * (conv?.phases ? PARITIES : 1);
  const range: RowRange = (first, end) => {
    const [from, to] = rowRange(first, end);
    return [Math.floor(from / MOMENT_ROWS) * slabPairs, ceilDiv(to, MOMENT_ROWS) * slabPairs];
  };
  return [{ name: 'moments', access: 'write', window: { field: 'moments_base', range, elementBytes: 8 } }];
}

/** The words of lib/moments, in pairs of numbers. */
export function momentsWords({ y, conv, moments }: GemmProblem): KernelCall['params'] {
  const pairs = momentsPitch(y.pitch) / 2;
  return {
    moments_pitch: pairs,
    // y_offset counts lines of the map too, where odd ones are made alone.
    moments_offset: (3 * ((y.offset ?? 0) % y.pitch)) / 4 + (conv?.phases === 'odd' ? 2 * pairs : 0),
    ...(moments ? {} : { moments_base: 0 }),
  };
}
