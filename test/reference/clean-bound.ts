/** Quantiles of |x0| of each image, between 1 and `most`, on dense arrays [N, P, C] in f64; the rank is rounded as torch.quantile does. */
export function cleanBound(
  x: ArrayLike<number>,
  e: ArrayLike<number>,
  o: {
    images: number;
    pixels: number;
    channels: number;
    ratio: number;
    most: number;
    x0FromX: number;
    x0FromNoise: number;
  },
): Float64Array {
  const size = o.pixels * o.channels;
  return Float64Array.from({ length: o.images }, (_, n) => {
    const sorted = Float64Array.from({ length: size }, (_, i) =>
      Math.abs(o.x0FromX * x[n * size + i] + o.x0FromNoise * e[n * size + i]),
    ).sort();
    const rank = Math.fround(Math.fround(o.ratio) * (size - 1));
    const [low, high] = [sorted[Math.floor(rank)], sorted[Math.ceil(rank)]];
    return Math.min(Math.max(low + (rank - Math.floor(rank)) * (high - low), 1), o.most);
  });
}
