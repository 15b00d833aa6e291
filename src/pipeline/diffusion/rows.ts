/** Rows of arrays: entries of their first axis, taken, picked and repeated. */
import type { NdArray } from '../../core/ndarray.ts';
import { dim, sizeOf } from '../../core/shape.ts';
import { concatenate } from '../../io/preprocess.ts';
import type { Embeddings } from './prompt-encoder.ts';

/** Entries [start, end) of the first axis, not copied. */
export function rowsOf(array: NdArray, start: number, end: number): NdArray {
  const size = sizeOf(array.shape.slice(1));
  return { data: array.data.subarray(start * size, end * size), shape: [end - start, ...array.shape.slice(1)] };
}

/** Each entry of the first axis `times` times consecutively. */
export function repeatRows(array: NdArray, times: number): NdArray {
  const size = sizeOf(array.shape.slice(1));
  const [count = 0, ...item] = array.shape;
  const data = new Float32Array(array.data.length * times);
  for (let i = 0; i < count * times; i++) {
    const from = Math.floor(i / times) * size;
    data.set(array.data.subarray(from, from + size), i * size);
  }
  return { data, shape: [count * times, ...item] };
}

/** Entries of the first axis by number. */
export function pickRows(array: NdArray, rows: readonly number[]): NdArray {
  return concatenate(
    rows.map(row => rowsOf(array, row, row + 1)),
    'pickRows',
  );
}

/** The rows of embeddings [B, L, D], each one `times` times consecutively. */
export function embeddingRows(embeds: NdArray, times = 1): NdArray[] {
  return Array.from({ length: dim(embeds.shape, 0) * times }, (_, i) =>
    rowsOf(embeds, Math.floor(i / times), Math.floor(i / times) + 1),
  );
}

/** Rows for the UNet: the unconditional half first. */
export function promptRows({ positive, negative }: Embeddings, times = 1): NdArray[] {
  return [...(negative ? embeddingRows(negative, times) : []), ...embeddingRows(positive, times)];
}
