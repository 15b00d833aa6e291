export interface AttentionSizes {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly width: number;
}

/** What changes plain attention. Arrays are dense: bias [heads or 1, positions, keys], keyMask [batch, keys]. */
export interface AttentionExtras {
  readonly causal?: boolean | undefined;
  /** Position of query row 0. */
  readonly queryStart?: number | undefined;
  readonly bias?: { readonly values: ArrayLike<number>; readonly heads: number } | undefined;
  readonly keyMask?: ArrayLike<number> | undefined;
  /** Which batch of k and v batch n reads. */
  readonly kvOf?: ((batch: number) => number) | undefined;
}

/**
 * softmax(scale * q k^T + bias + mask) v in plain loops, for q, k, v of [batch, rows, heads, width].
 * Additive terms count from -1e30 up; a query that sees no key gives zeros.
 */
export function attentionReference(
  { batch, heads, queries, keys, width }: AttentionSizes,
  q: ArrayLike<number>,
  k: ArrayLike<number>,
  v: ArrayLike<number>,
  scale: number,
  { causal = false, queryStart = 0, bias, keyMask, kvOf = n => n }: AttentionExtras = {},
): Float64Array {
  const out = new Float64Array(batch * queries * heads * width);
  const positions = bias ? bias.values.length / bias.heads / keys : 0;
  for (let n = 0; n < batch; n++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        const qAt = ((n * queries + i) * heads + h) * width;
        const count = causal ? Math.min(keys, queryStart + i + 1) : keys;
        const scores = new Float64Array(count);
        for (let j = 0; j < count; j++) {
          const kAt = ((kvOf(n) * keys + j) * heads + h) * width;
          let dot = 0;
          for (let c = 0; c < width; c++) dot += q[qAt + c] * k[kAt + c];
          let extra = keyMask ? keyMask[n * keys + j] : 0;
          if (bias) extra += bias.values[((bias.heads > 1 ? h : 0) * positions + queryStart + i) * keys + j];
          scores[j] = dot * scale + Math.max(extra, -1e30);
        }
        const largest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
        const sum = scores.reduce((a, s) => a + Math.exp(s - largest), 0);
        for (let j = 0; j < count; j++) {
          const weight = Math.exp(scores[j] - largest) / sum;
          const vAt = ((kvOf(n) * keys + j) * heads + h) * width;
          for (let c = 0; c < width; c++) out[qAt + c] += weight * v[vAt + c];
        }
      }
    }
  }
  return out;
}
