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

/** Steps along a row whose places in a panel, 16 KiB of them, are written for all rows before the next ones. */
const BLOCK = 128;

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

/** Eight rows at a time. */
function fillColumns(source: Uint32Array, { first, starts, places }: PanelFill, target: Uint32Array): void {
  for (let from = 0; from < places.length; from += BLOCK) {
    const to = Math.min(places.length, from + BLOCK);
    for (let c = 0; c < PANEL; c += 8) {
      const r0 = starts[c] ?? 0;
      const r1 = starts[c + 1] ?? 0;
      const r2 = starts[c + 2] ?? 0;
      const r3 = starts[c + 3] ?? 0;
      const r4 = starts[c + 4] ?? 0;
      const r5 = starts[c + 5] ?? 0;
      const r6 = starts[c + 6] ?? 0;
      const r7 = starts[c + 7] ?? 0;
      for (let e = from; e < to; e++) {
        const at = first + c + (places[e] ?? 0) * PANEL;
        target[at] = source[r0 + e] ?? 0;
        target[at + 1] = source[r1 + e] ?? 0;
        target[at + 2] = source[r2 + e] ?? 0;
        target[at + 3] = source[r3 + e] ?? 0;
        target[at + 4] = source[r4 + e] ?? 0;
        target[at + 5] = source[r5 + e] ?? 0;
        target[at + 6] = source[r6 + e] ?? 0;
        target[at + 7] = source[r7 + e] ?? 0;
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

/** Two elements of eight rows at a time become four words of two places. */
function fillInWords(source: Uint32Array, { first, starts, places }: PanelFill, target: Uint32Array): void {
  const words = places.length >> 1;
  for (let from = 0; from < words; from += BLOCK) {
    const to = Math.min(words, from + BLOCK);
    for (let c = 0; c < PANEL; c += 8) {
      const r0 = (starts[c] ?? 0) >> 1;
      const r1 = (starts[c + 1] ?? 0) >> 1;
      const r2 = (starts[c + 2] ?? 0) >> 1;
      const r3 = (starts[c + 3] ?? 0) >> 1;
      const r4 = (starts[c + 4] ?? 0) >> 1;
      const r5 = (starts[c + 5] ?? 0) >> 1;
      const r6 = (starts[c + 6] ?? 0) >> 1;
      const r7 = (starts[c + 7] ?? 0) >> 1;
      const at = (first + c) >> 1;
      for (let w = from; w < to; w++) {
        const even = at + (places[2 * w] ?? 0) * (PANEL / 2);
        const odd = at + (places[2 * w + 1] ?? 0) * (PANEL / 2);
        let low = source[r0 + w] ?? 0;
        let high = source[r1 + w] ?? 0;
        target[even] = (low & 0xffff) | (high << 16);
        target[odd] = (low >>> 16) | (high & 0xffff0000);
        low = source[r2 + w] ?? 0;
        high = source[r3 + w] ?? 0;
        target[even + 1] = (low & 0xffff) | (high << 16);
        target[odd + 1] = (low >>> 16) | (high & 0xffff0000);
        low = source[r4 + w] ?? 0;
        high = source[r5 + w] ?? 0;
        target[even + 2] = (low & 0xffff) | (high << 16);
        target[odd + 2] = (low >>> 16) | (high & 0xffff0000);
        low = source[r6 + w] ?? 0;
        high = source[r7 + w] ?? 0;
        target[even + 3] = (low & 0xffff) | (high << 16);
        target[odd + 3] = (low >>> 16) | (high & 0xffff0000);
      }
    }
  }
}

/** Rows of a table, or of a matrix whose columns lie along K. */
export interface RowsFill {
  /** By row of the table: the element at which it starts in the source, or -1 for a row of zeros. */
  readonly starts: Int32Array;
  /** By element of a stored row: its place in the table's. */
  readonly places: Int32Array;
  /** Elements of the table's rows. */
  readonly pitch: number;
  /** Places of a convolution kernel, between which a stored row goes round: input i of tap t is element i * taps + t. */
  readonly taps: number;
}

/** Rows one after another, what they leave of their pitch as zeros. */
export function fillRows<T extends Uint16Array | Uint32Array>(source: T, fill: RowsFill, target: T): void {
  const { starts, places, pitch, taps } = fill;
  const length = places.length;
  const inputs = length / taps;
  const isSpread = length > 0 && places[length - 1] !== (pitch / taps) * (taps - 1) + inputs - 1;
  starts.forEach((start, row) => {
    const own = target.subarray(row * pitch, (row + 1) * pitch);
    if (start < 0 || length < pitch) own.fill(0);
    if (start < 0) return;
    if (isSpread) for (let e = 0; e < length; e++) own[places[e] ?? 0] = source[start + e] ?? 0;
    else if (taps === 1) own.set(source.subarray(start, start + length));
    else fillTaps(source.subarray(start, start + length), taps, own);
  });
}

/** A stored row of a kernel [inputs][taps] as [taps][pitch / taps]. */
function fillTaps<T extends Uint16Array | Uint32Array>(source: T, taps: number, own: T): void {
  const [inputs, k] = [source.length / taps, own.length / taps];
  for (let tap = 0; tap < taps; tap++) {
    for (let i = 0, at = tap * k, e = tap; i < inputs; i++, at++, e += taps) own[at] = source[e] ?? 0;
  }
}
