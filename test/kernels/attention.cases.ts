import { alignUp } from '../../src/core/shape.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { type AttentionProblem, attention } from '../../src/kernels/attention.ts';
import type { KernelCall, Storage } from '../../src/kernels/kernel.ts';
import type { Tuning } from '../../src/kernels/op.ts';
import { type AttentionSizes, attentionReference } from '../reference/attention.ts';
import { type Family, stored } from '../support/rows.ts';
import { type Operand, randoms } from '../support/run-kernel.ts';

export interface AttentionCase extends AttentionSizes {
  readonly name: string;
  readonly causal?: boolean;
  readonly queryStart?: number;
  /** Heads of an additive bias: 1 or all. */
  readonly bias?: number;
  /** The bias depends on key - query alone. */
  readonly distances?: boolean;
  readonly keyMask?: boolean;
  readonly kvBatch?: number;
  readonly kvRepeat?: 'consecutive' | 'interleaved';
  /** Rows between batches of k and v. */
  readonly capacity?: number;
  readonly dynamic?: boolean;
  /** q, k and v side by side in one buffer. */
  readonly fused?: boolean;
  /** Multiplies q: large scores make the running maximum move. */
  readonly gain?: number;
}

const one = { batch: 1, heads: 1, queries: 1, keys: 1, width: 1 };

/**
 * Sizes: 1, primes, one below and above the tiles (4, 8 and 64 queries; 8, 16 and 32 keys; 16, 32 and 64 columns), the
 * head widths of models (32, 40, 64, 80, 160, 512), and every option alone and in the combinations that models use.
 */
export const ATTENTION_CASES: readonly AttentionCase[] = [
  { name: 'one of everything', ...one },
  { name: 'a prime of everything', batch: 2, heads: 3, queries: 7, keys: 5, width: 5, gain: 8 },
  { name: 'one below the tiles', batch: 1, heads: 2, queries: 63, keys: 31, width: 31 },
  { name: 'one above the tiles, fused q, k and v', batch: 2, heads: 2, queries: 65, keys: 65, width: 33, fused: true },
  { name: '77 keys, heads of 40', batch: 2, heads: 3, queries: 9, keys: 77, width: 40, gain: 20 },
  { name: 'heads of 64', batch: 1, heads: 5, queries: 17, keys: 17, width: 64, fused: true },
  { name: 'heads of 80', batch: 1, heads: 2, queries: 8, keys: 33, width: 80 },
  { name: 'heads of 160', batch: 1, heads: 2, queries: 10, keys: 15, width: 160 },
  { name: 'one head of 512', batch: 1, heads: 1, queries: 11, keys: 16, width: 512 },
  { name: 'one query', batch: 3, heads: 2, queries: 1, keys: 41, width: 24 },
  { name: 'causal', batch: 1, heads: 2, queries: 67, keys: 67, width: 12, causal: true, gain: 8 },
  {
    name: 'causal from a position on',
    batch: 2,
    heads: 1,
    queries: 3,
    keys: 20,
    width: 16,
    causal: true,
    queryStart: 11,
  },
  { name: 'a bias a head', batch: 2, heads: 3, queries: 13, keys: 19, width: 8, bias: 3 },
  {
    name: 'one bias for all heads and a mask',
    batch: 2,
    heads: 2,
    queries: 9,
    keys: 35,
    width: 8,
    bias: 1,
    keyMask: true,
  },
  { name: 'causal with a mask', batch: 2, heads: 1, queries: 21, keys: 21, width: 8, causal: true, keyMask: true },
  {
    name: 'causal with a bias and a mask',
    ...{ batch: 2, heads: 2, queries: 11, keys: 11, width: 8 },
    ...{ causal: true, bias: 2, keyMask: true },
  },
  { name: 'a mask', batch: 3, heads: 1, queries: 5, keys: 37, width: 20, keyMask: true },
  { name: 'masks of many', batch: 40, heads: 1, queries: 1, keys: 9, width: 8, kvBatch: 2, keyMask: true },
  { name: 'keys repeated in runs', batch: 6, heads: 1, queries: 4, keys: 9, width: 8, kvBatch: 2, keyMask: true },
  {
    name: 'keys repeated in turn',
    batch: 6,
    heads: 1,
    queries: 4,
    keys: 9,
    width: 8,
    kvBatch: 2,
    kvRepeat: 'interleaved',
  },
  {
    name: 'a decoder step on a cache',
    ...{ batch: 4, heads: 2, queries: 1, keys: 18, width: 16, kvBatch: 2, kvRepeat: 'interleaved' },
    ...{ capacity: 40, dynamic: true, causal: true, queryStart: 17, bias: 2 },
  },
  {
    name: 'a prompt on a cache',
    ...{
      batch: 1,
      heads: 2,
      queries: 10,
      keys: 27,
      width: 16,
      capacity: 30,
      dynamic: true,
      causal: true,
      queryStart: 17,
    },
    bias: 2,
  },
  { name: 'a bias by distance', batch: 1, heads: 3, queries: 11, keys: 19, width: 8, bias: 3, distances: true },
  {
    name: 'a decoder step with a bias by distance',
    ...{ batch: 2, heads: 2, queries: 1, keys: 18, width: 16, capacity: 20, dynamic: true, queryStart: 17 },
    ...{ bias: 2, distances: true },
  },
];

/** Attention's texts: those of the two families, and the wide tiles of broadcasts. */
export type AttentionFamily = Family | 'broadcast-wide';

/** Tuning that takes one of them; undefined leaves the choice free. */
export function forceAttention(family: AttentionFamily | undefined): Tuning | undefined {
  return family && { force: { attention: `attention-${family}` } };
}

/** A case ready to run: the call, its operands, and a check of the result in the case's own layout. */
export interface AttentionRun {
  readonly call: KernelCall;
  readonly operands: Record<string, Operand>;
  /** Pitch of an out row and where the heads start and end in it. */
  readonly layout: { readonly pitch: number; readonly offset: number; readonly headWidth: number };
  /** [batch, queries, heads, width] */
  readonly expected: () => Float64Array;
}

const GAP = 3e4; // what unused rows and foreign columns hold: read by mistake, it shows

/** Rows of [rows, heads, width] values as heads of `headWidth` from `offset` on; padding of a head is zero, the rest GAP. */
function layRows(values: Float32Array, heads: number, width: number, headWidth: number, pitch: number, offset: number) {
  const rows = values.length / heads / width;
  const laid = new Float32Array(rows * pitch).fill(GAP);
  for (let r = 0; r < rows; r++) {
    laid.fill(0, r * pitch + offset, r * pitch + offset + heads * headWidth);
    for (let h = 0; h < heads; h++) {
      const at = (r * heads + h) * width;
      laid.set(values.subarray(at, at + width), r * pitch + offset + h * headWidth);
    }
  }
  return laid;
}

/** Batches of `rows` rows of `pitch` -> batches of `capacity` rows, GAP behind them. */
function spaceBatches(laid: Float32Array, pitch: number, rows: number, capacity: number): Float32Array {
  const batches = laid.length / pitch / rows;
  const spaced = new Float32Array(batches * capacity * pitch).fill(GAP);
  for (let b = 0; b < batches; b++)
    spaced.set(laid.subarray(b * rows * pitch, (b + 1) * rows * pitch), b * capacity * pitch);
  return spaced;
}

/** A bias by distance [heads, distances] as [heads, positions, keys]. */
function unrolled(c: AttentionCase, heads: number, distances: Float32Array, origin: number): Float32Array {
  const positions = (c.queryStart ?? 0) + c.queries;
  return Float32Array.from({ length: heads * positions * c.keys }, (_, i) => {
    const head = Math.floor(i / c.keys / positions);
    const distance = (i % c.keys) - (Math.floor(i / c.keys) % positions);
    return distances[(head * distances.length) / heads + origin + distance];
  });
}

/** Builds a case for one device, storage form and family. q, k and v hold what the storage form keeps of them. */
export function attentionRun(
  gpu: Gpu,
  c: AttentionCase,
  storage: Storage,
  family?: AttentionFamily,
  callOf = (problem: AttentionProblem): KernelCall => attention(gpu.caps, problem, forceAttention(family)),
): AttentionRun {
  const { batch, heads, queries, keys, width, kvBatch = batch, capacity = keys, queryStart = 0, gain = 1 } = c;
  const step = family === 'matrix' ? 8 : 4; // matrix units read eights
  const headWidth = alignUp(width, step);
  const inner = heads * headWidth;
  const q = stored(
    randoms(batch * queries * heads * width, 1).map(x => x * gain),
    storage,
  );
  const k = stored(randoms(kvBatch * keys * heads * width, 2), storage);
  const v = stored(randoms(kvBatch * keys * heads * width, 3), storage);
  const keyMask = c.keyMask ? randoms(batch * keys, 4).map(x => (x > 0.6 ? -3.4e38 : x)) : undefined;
  const positions = queryStart + queries;
  const origin = c.distances ? capacity + queries : undefined;
  const distances = randoms((c.bias ?? 0) * (2 * capacity + queries), 5).map(x => 4 * x);
  const byPosition = () => randoms((c.bias ?? 0) * positions * keys, 5).map(x => 4 * x);
  const bias = c.bias
    ? { values: origin ? unrolled(c, c.bias, distances, origin) : byPosition(), heads: c.bias }
    : undefined;
  const scale = 1 / Math.sqrt(width);

  const offsets = c.fused ? [0, inner, 2 * inner] : [step, 0, 2 * step];
  const pitch = alignUp(c.fused ? 3 * inner : inner + 3 * step, 8);
  const [qRows, kRows, vRows] = [q, k, v].map((x, i) => layRows(x, heads, width, headWidth, pitch, offsets[i]));
  const outPitch = alignUp(inner + 5, 8);
  // In a fused buffer the three lie over each other: every part owns its own columns.
  const merged = qRows.map((x, i) => (i % pitch < inner ? x : i % pitch < 2 * inner ? kRows[i] : vRows[i]));
  const side = (i: number) => ({ pitch, offset: offsets[i], storage });
  const maskPitch = keys + 3;
  const problem: AttentionProblem = {
    ...{ batch, heads, queries, headWidth, scale, kvBatch, kvRepeat: c.kvRepeat, causal: c.causal },
    ...{ keys: c.dynamic ? capacity : keys, queryStart: c.dynamic ? 0 : queryStart, kvPitchRows: capacity },
    ...{ q: side(0), k: side(1), v: side(2), out: { pitch: outPitch, offset: 0, storage } },
    bias: c.bias
      ? {
          heads: c.bias,
          pitch: capacity + 1,
          headPitch: origin ? 2 * capacity + queries : positions * (capacity + 1),
          origin,
        }
      : undefined,
    keyMask: keyMask && { pitch: maskPitch },
    dynamicLength: c.dynamic,
  };
  const tensor = (values: Float32Array): Operand => ({ storage, values });
  const f32 = (values: Float32Array | undefined, from: number, to: number): Operand => ({
    storage: 'f32',
    values: values ? spaceBatches(values, 1, from, to) : new Float32Array(4),
  });
  return {
    call: callOf(problem),
    operands: {
      q: tensor(c.fused ? merged : qRows),
      k: tensor(c.fused ? merged : spaceBatches(kRows, pitch, keys, capacity)),
      v: tensor(c.fused ? merged : spaceBatches(vRows, pitch, keys, capacity)),
      bias: origin ? { storage: 'f32', values: distances } : f32(bias?.values, keys, capacity + 1),
      key_mask: f32(keyMask, keys, maskPitch),
      lengths: { words: new Uint32Array([keys, queryStart, 7, 7]) },
      out: { storage, size: batch * queries * outPitch },
    },
    layout: { pitch: outPitch, offset: 0, headWidth },
    expected: () => {
      const kvOf = (n: number) => (c.kvRepeat === 'interleaved' ? n % kvBatch : Math.floor((n * kvBatch) / batch));
      const extras = { causal: c.causal, queryStart, bias, keyMask, kvOf };
      return attentionReference({ batch, heads, queries, keys, width }, q, k, v, scale, extras);
    },
  };
}
