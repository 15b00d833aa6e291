/** y = (x - mean) / sqrt(var + eps) * weight + bias for rows of `width`; without `bias`: x / sqrt(mean(x^2) + eps) * weight. */
export function rowNorm(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number> | undefined,
  width: number,
  eps: number,
): Float64Array {
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    let mean = 0;
    if (bias) for (let c = 0; c < width; c++) mean += x[start + c] / width;
    let variance = 0;
    for (let c = 0; c < width; c++) variance += (x[start + c] - mean) ** 2 / width;
    for (let c = 0; c < width; c++)
      y[start + c] = ((x[start + c] - mean) / Math.sqrt(variance + eps)) * weight[c] + (bias?.[c] ?? 0);
  }
  return y;
}
