/** Values in another order of their dimensions. */

/**
 * A tensor's values with its dimensions in another order, as numpy's `transpose`.
 * @param values row-major
 * @param dims of the values
 * @param order which dimension comes first, second, ...
 */
export function permuted(
  values: Float32Array,
  dims: readonly number[],
  order: readonly number[],
): Float32Array<ArrayBuffer> {
  const strides = dims.map((_, i) => dims.slice(i + 1).reduce((a, b) => a * b, 1));
  const out = new Float32Array(values.length);
  const shape = order.map(i => dims[i] ?? 1);
  const steps = order.map(i => strides[i] ?? 0);
  const index = shape.map(() => 0);
  let from = 0;
  for (let at = 0; at < out.length; at++) {
    out[at] = values[from] ?? 0;
    for (let d = shape.length - 1; d >= 0; d--) {
      const [next, step, size] = [(index[d] ?? 0) + 1, steps[d] ?? 0, shape[d] ?? 1];
      from += step;
      if (next < size) {
        index[d] = next;
        break;
      }
      index[d] = 0;
      from -= step * size;
    }
  }
  return out;
}
