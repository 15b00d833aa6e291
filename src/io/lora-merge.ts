/**
 * Low-rank adapters merged into a checkpoint while it is read: W + s_1 B_1 A_1 + s_2 B_2 A_2 + ..., a few rows at a time. Nothing
 * is computed before a tensor is asked for, and nothing of it is kept but the factors of the tensor that is being read.
 *
 * Hu et al. 2021, LoRA: Low-Rank Adaptation of Large Language Models, https://arxiv.org/abs/2106.09685, section 4.1.
 */

import { WeightsError } from '../core/errors.ts';
import { checkRange, readManyOfView, type StoredTensor, type TensorSource } from '../core/tensor-source.ts';
import { widened } from '../core/widened-source.ts';
import { readFloatRange } from './float-range.ts';

/** What one adapter adds to one weight. */
export interface LowRankProduct {
  /** Where the factors are. */
  readonly file: TensorSource;
  /** Key of A: rank rows, each as long as a row of the weight; with `mid`, one place of it. */
  readonly down: string;
  /** Key of B: as many rows as the weight, each rank long. */
  readonly up: string;
  /** Key of the middle, [rank, rank, kh, kw]: A is then mid * down. */
  readonly mid?: string | undefined;
  /** Rows of A. */
  readonly rank: number;
  /** The factor of the product: weight of the adapter times alpha / rank. */
  readonly scale: number;
}

/** Weights that are worked on at once. */
const BLOCK = 2 ** 20;

/** Factors on the host. */
interface Factors {
  /** [rank, width] */
  readonly down: Float32Array;
  /** [rows, rank] */
  readonly up: Float32Array;
  readonly rank: number;
  readonly scale: number;
}

/**
 * The same checkpoint with products added to some of its weights. Those are F32 then, whatever they were: a small change would be
 * lost to the rounding of halves.
 * @param checkpoint with 64-bit and 8-bit floats as `widened` shows them, scales multiplied in
 * @param products by the weight's key; shapes have been checked
 * @throws WeightsError from `read` for a weight that is not of floats
 */
export function mergeLora(
  checkpoint: TensorSource,
  products: ReadonlyMap<string, readonly LowRankProduct[]>,
): TensorSource {
  const source = widened(checkpoint);
  const tensors = new Map<string, StoredTensor>(source.tensors);
  for (const name of products.keys()) {
    const stored = source.tensors.get(name);
    if (stored) tensors.set(name, { ...stored, dtype: 'F32', byteLength: 4 * countOf(stored) });
  }
  let latest: { readonly name: string; readonly factors: Promise<readonly Factors[]> } | undefined;
  const factorsOf = (
    name: string,
    own: readonly LowRankProduct[],
    stored: StoredTensor,
  ): Promise<readonly Factors[]> => {
    if (latest?.name !== name)
      latest = { name, factors: Promise.all(own.map(product => readFactors(product, stored))) };
    return latest.factors;
  };
  const view: TensorSource = {
    label: source.label,
    tensors,
    async read(name, start, into): Promise<void> {
      const [own, stored] = [products.get(name), source.tensors.get(name)];
      if (!own || !stored) return source.read(name, start, into);
      checkRange(source.label, name, tensors.get(name)?.byteLength, start, into.byteLength);
      try {
        await readMerged(source, stored, await factorsOf(name, own, stored), start, into);
      } catch (error) {
        latest = undefined;
        throw error;
      }
      if (start + into.byteLength === tensors.get(name)?.byteLength) latest = undefined;
    },
    close: async () => source.close?.(),
  };
  return { ...view, ...readManyOfView(source, name => products.has(name), view.read) };
}

/** Reads, adds and hands on, block by block. */
async function readMerged(
  source: TensorSource,
  stored: StoredTensor,
  factors: readonly Factors[],
  start: number,
  into: Uint8Array,
): Promise<void> {
  const width = countOf(stored) / (stored.shape[0] ?? 1);
  const [first, end] = [Math.floor(start / 4), Math.ceil((start + into.byteLength) / 4)];
  const step = Math.max(1, Math.floor(BLOCK / width)) * width; // whole rows
  let done = 0;
  for (let from = first; from < end; ) {
    const to = Math.min(end, (Math.floor(from / step) + 1) * step);
    const values = await readFloatRange(source, stored.name, from, to);
    addProducts(values, from, width, factors);
    const skip = from === first ? start - 4 * first : 0;
    const bytes = new Uint8Array(values.buffer).subarray(skip, skip + into.byteLength - done);
    into.set(bytes, done);
    done += bytes.byteLength;
    from = to;
  }
}

/** Adds the products to elements [from, from + values.length) of the weight. */
function addProducts(values: Float32Array, from: number, width: number, factors: readonly Factors[]): void {
  const sum = new Float64Array(width);
  for (let at = 0; at < values.length; ) {
    const [row, left] = [Math.floor((from + at) / width), (from + at) % width];
    const count = Math.min(width - left, values.length - at);
    sum.fill(0);
    for (const one of factors) addRow(sum, row, one);
    for (let j = 0; j < count; j++) values[at + j] = (values[at + j] as number) + (sum[left + j] as number);
    at += count;
  }
}

/** One row of scale * up * down, four ranks at a time. */
function addRow(sum: Float64Array, row: number, { down, up, rank, scale }: Factors): void {
  const width = sum.length;
  const factor = (k: number): number => (k < rank ? scale * (up[row * rank + k] as number) : 0);
  for (let k = 0; k < rank; k += 4) {
    const [a, b, c, d] = [factor(k), factor(k + 1), factor(k + 2), factor(k + 3)];
    const p = k * width;
    // Beyond the last rank the factors are 0; the rows that they meet are the last one again.
    const [q, r, s] = [
      Math.min(k + 1, rank - 1) * width,
      Math.min(k + 2, rank - 1) * width,
      Math.min(k + 3, rank - 1) * width,
    ];
    for (let j = 0; j < width; j++) {
      sum[j] =
        (sum[j] as number) +
        a * (down[p + j] as number) +
        b * (down[q + j] as number) +
        c * (down[r + j] as number) +
        d * (down[s + j] as number);
    }
  }
}

async function readFactors(
  { file, down, up, mid, rank, scale }: LowRankProduct,
  stored: StoredTensor,
): Promise<Factors> {
  const [a, b] = [await readWhole(file, down), await readWhole(file, up)];
  if (mid === undefined) return { down: a, up: b, rank, scale };
  const taps = stored.shape.slice(2).reduce((x, y) => x * y, 1);
  return { down: throughMiddle(await readWhole(file, mid), a, rank, taps), up: b, rank, scale };
}

/** mid [rank, inner, taps] and down [inner, in] -> [rank, in * taps], as a convolution's kernel lies. */
function throughMiddle(mid: Float32Array, down: Float32Array, rank: number, taps: number): Float32Array {
  const inner = mid.length / (rank * taps);
  const inputs = down.length / inner;
  const out = new Float32Array(rank * inputs * taps);
  for (let a = 0; a < rank; a++) {
    for (let i = 0; i < inputs; i++) {
      for (let tap = 0; tap < taps; tap++) {
        let sum = 0;
        for (let b = 0; b < inner; b++) {
          sum += (mid[(a * inner + b) * taps + tap] as number) * (down[b * inputs + i] as number);
        }
        out[(a * inputs + i) * taps + tap] = sum;
      }
    }
  }
  return out;
}

/** @throws WeightsError for a factor that would make every picture black */
async function readWhole(file: TensorSource, name: string): Promise<Float32Array> {
  const stored = file.tensors.get(name);
  const values = await readFloatRange(file, name, 0, stored ? countOf(stored) : 0);
  const broken = values.findIndex(value => !Number.isFinite(value));
  if (broken < 0) return values;
  throw new WeightsError({
    op: 'LoRA',
    problem: 'the adapter is damaged',
    expected: 'finite numbers',
    received: values[broken],
    path: `${file.label}: ${name}`,
    fix: 'Download or save the file again, or leave this adapter out.',
  });
}

function countOf({ shape }: StoredTensor): number {
  return shape.reduce((a, b) => a * b, 1);
}
