/** exp(scale * x - max) / sum over rows of `width`, in f64. */
export function softmax(x: ArrayLike<number>, width: number, scale: number): Float64Array {
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    let top = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < width; c++) top = Math.max(top, scale * x[start + c]);
    let sum = 0;
    for (let c = 0; c < width; c++) sum += Math.exp(scale * x[start + c] - top);
    for (let c = 0; c < width; c++) y[start + c] = Math.exp(scale * x[start + c] - top) / sum;
  }
  return y;
}
