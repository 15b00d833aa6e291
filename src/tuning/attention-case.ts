/** Attention by its formula: softmax(scale q k^T + bias + mask) v, row by row. */
import type { AttentionProblem } from '../kernels/attention.ts';
import type { ProblemCase, Values } from './case-types.ts';

const NOTHING = [4, 'f32'] as const;
/** Additive terms below count as it. */
const LEAST_TERM = -1e30;

/** The case of an attention problem. */
export function attentionCase(p: AttentionProblem): ProblemCase {
  const { batch, queries, keys, kvBatch = batch, kvPitchRows = keys, bias, keyMask } = p;
  let known: { readonly values: Values; readonly key: number; readonly weights: Float64Array } | undefined;
  return {
    buffers: {
      q: [batch * queries * p.q.pitch, p.q.storage],
      k: [kvBatch * kvPitchRows * p.k.pitch, p.k.storage],
      v: [kvBatch * kvPitchRows * p.v.pitch, p.v.storage],
      bias: bias ? [bias.heads * bias.headPitch, 'f32'] : NOTHING,
      key_mask: keyMask ? [batch * keyMask.pitch, 'f32'] : NOTHING,
      lengths: NOTHING,
      out: [batch * queries * p.out.pitch, p.out.storage],
    },
    output: 'out',
    words: { lengths: Uint32Array.of(keys, p.queryStart ?? 0, 0, 0) },
    expected: (values, at) => {
      const { pitch, offset = 0 } = p.out;
      const [row, column] = [Math.floor(at / pitch), (at % pitch) - offset];
      if (column < 0) return Number.NaN;
      const head = Math.floor(column / p.headWidth);
      if (head >= p.heads) return 0;
      const key = row * p.heads + head;
      if (known?.key !== key || known.values !== values)
        known = { values, key, weights: weightsOf(p, values, row, head) };
      const own = known.weights;
      const v = values('v');
      const from = firstKey(p, Math.floor(row / queries)) * p.v.pitch + (p.v.offset ?? 0) + column;
      let sum = 0;
      for (let j = 0; j < own.length; j++) sum += (own[j] ?? 0) * (v[from + j * p.v.pitch] ?? Number.NaN);
      return sum;
    },
  };
}

/** Row of the first key of a batch. */
function firstKey({ batch, keys, kvBatch = batch, kvPitchRows = keys, kvRepeat }: AttentionProblem, n: number): number {
  return (kvRepeat === 'interleaved' ? n % kvBatch : Math.floor((n * kvBatch) / batch)) * kvPitchRows;
}

/** The weights of a query's keys; none where it sees no key. */
function weightsOf(p: AttentionProblem, values: Values, row: number, head: number): Float64Array {
  const { queries, keys, headWidth, scale, causal, queryStart = 0 } = p;
  const [q, k] = [values('q'), values('k')];
  const [n, i] = [Math.floor(row / queries), row % queries];
  const count = causal ? Math.min(keys, queryStart + i + 1) : keys;
  const qAt = row * p.q.pitch + (p.q.offset ?? 0) + head * headWidth;
  const kAt = firstKey(p, n) * p.k.pitch + (p.k.offset ?? 0) + head * headWidth;
  const scores = Float64Array.from({ length: count }, (_, j) => {
    let dot = 0;
    for (let e = 0; e < headWidth; e++) dot += (q[qAt + e] ?? Number.NaN) * (k[kAt + j * p.k.pitch + e] ?? Number.NaN);
    return dot * scale + Math.max(LEAST_TERM, additiveOf(p, values, n, head, queryStart + i, j));
  });
  const top = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const exps = scores.map(score => Math.exp(score - top));
  const total = exps.reduce((a, b) => a + b, 0);
  return exps.map(e => e / total);
}

/** Bias and mask of a key. */
function additiveOf(
  { bias, keyMask }: AttentionProblem,
  values: Values,
  n: number,
  head: number,
  position: number,
  key: number,
): number {
  let sum = keyMask ? (values('key_mask')[n * keyMask.pitch + key] ?? Number.NaN) : 0;
  if (bias) {
    const at = bias.origin === undefined ? position * bias.pitch + key : bias.origin + key - position;
    sum += values('bias')[(bias.heads > 1 ? head : 0) * bias.headPitch + at] ?? Number.NaN;
  }
  return sum;
}
