/** Row arithmetic of scores: float32 after every operation, as torch computes it on a CPU. */

const f32 = Math.fround;

/** The largest value; -Infinity for an empty row. NaN wins, as in torch. */
export function maximum(row: Float32Array): number {
  let best = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < row.length; i++) {
    const x = row[i] ?? 0;
    if (x > best) best = x;
    else if (Number.isNaN(x)) return x;
  }
  return best;
}

/**
 * Index of the largest value; the first of equal ones, the first NaN where there is one.
 * @see torch.argmax
 */
export function argmax(row: Float32Array): number {
  let best = 0;
  let value = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < row.length; i++) {
    const x = row[i] ?? 0;
    if (Number.isNaN(x)) return i;
    if (x > value) [best, value] = [i, x];
  }
  return best;
}

/**
 * Probabilities e^(x - max) / sum.
 * @returns a new row; NaN throughout where every score is -Infinity
 * @see torch.softmax
 */
export function softmax(row: Float32Array): Float32Array {
  const out = new Float32Array(row.length);
  const inverse = f32(1 / exponentials(row, maximum(row), out));
  for (let i = 0; i < out.length; i++) out[i] = (out[i] ?? 0) * inverse;
  return out;
}

/**
 * Logarithms of the probabilities, (x - max) - ln(sum).
 * @returns a new row
 * @see torch.log_softmax
 */
export function logSoftmax(row: Float32Array): Float32Array {
  const out = new Float32Array(row.length);
  const max = maximum(row);
  const logSum = f32(Math.log(exponentials(row, max, out)));
  for (let i = 0; i < out.length; i++) out[i] = f32((row[i] ?? 0) - max) - logSum;
  return out;
}

/**
 * Indices that sort a row; equal values stay in their order.
 * @see torch.sort with stable = true
 */
export function sortedIndices(row: Float32Array, descending = false): Uint32Array {
  const sign = descending ? -1 : 1;
  // Equal infinities would give NaN as a difference, so values are compared, not subtracted.
  return Uint32Array.from(row, (_, i) => i).sort((a, b) => {
    const [x, y] = [row[a] ?? 0, row[b] ?? 0];
    if (x === y) return a - b;
    return x < y ? -sign : sign;
  });
}

/**
 * Indices of the k largest values, largest first; of equal ones the lower index first.
 * @param k 1 to the row's length
 * @see torch.topk
 */
export function topIndices(row: Float32Array, k: number): number[] {
  const best: number[] = [];
  let worst = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < row.length; i++) {
    const x = row[i] ?? 0;
    if (best.length === k && !(x > worst)) continue;
    let at = best.length;
    while (at > 0 && x > (row[best[at - 1] ?? 0] ?? 0)) at--;
    best.splice(at, 0, i);
    if (best.length > k) best.pop();
    if (best.length === k) worst = row[best[k - 1] ?? 0] ?? 0;
  }
  return best;
}

/**
 * The k-th largest value of a row.
 * @param k 1 or more; the smallest value where the row is shorter
 */
export function kthLargest(row: Float32Array, k: number): number {
  // Insertion is quicker for the few values that sampling keeps, sorting for many.
  if (k >= row.length) return row.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  if (k <= 64) return row[topIndices(row, k)[k - 1] ?? 0] ?? 0;
  const sorted = row.slice().sort();
  return sorted[sorted.length - k] ?? 0;
}

/**
 * Writes e^(x - max) to `out`. The sum is taken in double precision and rounded once: closer to torch's pairwise lanes
 * of float32 than a float32 loop.
 * @returns the sum
 */
function exponentials(row: Float32Array, max: number, out: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < row.length; i++) {
    const distance = f32((row[i] ?? 0) - max);
    // Cut-offs leave almost nothing but -Infinity, for which Math.exp takes its long way.
    if (distance === Number.NEGATIVE_INFINITY) continue;
    const e = f32(Math.exp(distance));
    out[i] = e;
    sum += e;
  }
  return f32(sum);
}
