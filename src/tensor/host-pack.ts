/**
 * Rows of a checkpoint laid into panels by the host: on software adapters a hundredth of what a kernel costs there, because
 * blocks of rows stay in the cache and no driver looks at every lane of every load (docs/decisions/0018).
 */
import { PANEL } from '../kernels/gemm.ts';

/** Columns of one panel that come out of rows of one length. */
export interface PanelFill {
  /** First element of the panel in the target. */
  readonly first: number;
  /** By column: the element at which its row starts in the source, or -1 where this fill has none. */
  readonly starts: Int32Array;
  /** By element of a row: its place along the panel's K. */
  readonly places: Int32Array;
  /** Elements of the panel. */
  readonly size: number;
  /** Whether columns or places are left that must become zeros first. */
  readonly clear: boolean;
}

/** Elements of a row whose places in a panel, 4 to 8 KiB of them, are written before the next ones. */
const BLOCK = 64;

/** Elements of 32 bits. */
export function fillPanel32(source: Uint32Array, fill: PanelFill, target: Uint32Array): void {
  const { first, starts, size, clear } = fill;
  if (clear) target.fill(0, first, first + size);
  if (starts.every(start => start >= 0)) fillColumns(source, fill, target);
  else scatter(source, fill, target);
}

/** Column by column, and only those that there are. */
function scatter<T extends Uint16Array | Uint32Array>(
  source: T,
  { first, starts, places }: PanelFill,
  target: T,
): void {
  for (let c = 0; c < PANEL; c++) {
    const start = starts[c] ?? -1;
    if (start < 0) continue;
    const at = first + c;
    for (let e = 0; e < places.length; e++) target[at + (places[e] ?? 0) * PANEL] = source[start + e] ?? 0;
  }
}

/** Four rows at a time. */
function fillColumns(source: Uint32Array, { first, starts, places }: PanelFill, target: Uint32Array): void {
  for (let from = 0; from < places.length; from += BLOCK) {
    const to = Math.min(places.length, from + BLOCK);
    for (let c = 0; c < PANEL; c += 4) {
      const r0 = starts[c] ?? 0;
      const r1 = starts[c + 1] ?? 0;
      const r2 = starts[c + 2] ?? 0;
      const r3 = starts[c + 3] ?? 0;
      for (let e = from; e < to; e++) {
        const at = first + c + ((places[e] ?? 0) << 5);
        target[at] = source[r0 + e] ?? 0;
        target[at + 1] = source[r1 + e] ?? 0;
        target[at + 2] = source[r2 + e] ?? 0;
        target[at + 3] = source[r3 + e] ?? 0;
      }
    }
  }
}

/** Elements of 16 bits; offsets count these. Whole panels of even rows are moved in words. */
export function fillPanel16(source: Uint16Array, fill: PanelFill, target: Uint16Array): void {
  const { first, starts, places, size, clear } = fill;
  if (clear) target.fill(0, first, first + size);
  if (places.length % 2 === 0 && starts.every(start => start >= 0 && start % 2 === 0)) {
    fillInWords(wordsOf(source), fill, wordsOf(target));
  } else {
    scatter(source, fill, target);
  }
}

function wordsOf(halves: Uint16Array): Uint32Array {
  return new Uint32Array(halves.buffer, halves.byteOffset, halves.length >> 1);
}

/** Two elements of four rows at a time become two words of two places. */
function fillInWords(source: Uint32Array, { first, starts, places }: PanelFill, target: Uint32Array): void {
  const words = places.length >> 1;
  for (let from = 0; from < words; from += BLOCK) {
    const to = Math.min(words, from + BLOCK);
    for (let c = 0; c < PANEL; c += 4) {
      const r0 = (starts[c] ?? 0) >> 1;
      const r1 = (starts[c + 1] ?? 0) >> 1;
      const r2 = (starts[c + 2] ?? 0) >> 1;
      const r3 = (starts[c + 3] ?? 0) >> 1;
      const at = (first + c) >> 1;
      for (let w = from; w < to; w++) {
        const v = source[r0 + w] ?? 0;
        const x = source[r1 + w] ?? 0;
        const y = source[r2 + w] ?? 0;
        const z = source[r3 + w] ?? 0;
        const even = at + ((places[2 * w] ?? 0) << 4);
        const odd = at + ((places[2 * w + 1] ?? 0) << 4);
        target[even] = (v & 0xffff) | (x << 16);
        target[even + 1] = (y & 0xffff) | (z << 16);
        target[odd] = (v >>> 16) | (x & 0xffff0000);
        target[odd + 1] = (y >>> 16) | (z & 0xffff0000);
      }
    }
  }
}

/** Rows of a table. */
export interface RowsFill {
  /** By row of the table: the element at which it starts in the source, or -1 for a row of zeros. */
  readonly starts: Int32Array;
  /** By element of a stored row: its place in the table's. */
  readonly places: Int32Array;
  /** Elements of the table's rows. */
  readonly pitch: number;
}

/** Rows one after another, what they leave of their pitch as zeros. */
export function fillRows<T extends Uint16Array | Uint32Array>(source: T, fill: RowsFill, target: T): void {
  const { starts, places, pitch } = fill;
  const length = places.length;
  const isSpread = length > 0 && places[length - 1] !== length - 1;
  starts.forEach((start, row) => {
    const own = target.subarray(row * pitch, (row + 1) * pitch);
    if (start < 0 || length < pitch) own.fill(0);
    if (start < 0) return;
    if (!isSpread) own.set(source.subarray(start, start + length));
    else for (let e = 0; e < length; e++) own[places[e] ?? 0] = source[start + e] ?? 0;
  });
}
