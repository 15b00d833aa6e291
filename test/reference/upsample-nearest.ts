/** x [N, h, w, C] to [N, h2, w2, C] by the pixel at floor(out * in / size). */
export function upsampleNearest(
  x: ArrayLike<number>,
  n: number,
  h: number,
  w: number,
  h2: number,
  w2: number,
  c: number,
): Float64Array {
  const y = new Float64Array(n * h2 * w2 * c);
  for (let i = 0; i < n; i++)
    for (let oy = 0; oy < h2; oy++)
      for (let ox = 0; ox < w2; ox++)
        for (let k = 0; k < c; k++) {
          const from = (i * h + Math.floor((oy * h) / h2)) * w + Math.floor((ox * w) / w2);
          y[((i * h2 + oy) * w2 + ox) * c + k] = x[from * c + k];
        }
  return y;
}
