/** The arithmetic of DiffEdit masks on dense arrays [N, P, C], in f64. */

/** weight * sum over perMap of the channel mean of |T - S|, per pixel, for blocks [a, b, c, d] or [S, T]. */
export function differenceMap(
  prediction: ArrayLike<number>,
  s: { maps: number; perMap: number; pixels: number; channels: number; guidance?: number; weight: number },
): Float64Array {
  const guided = s.guidance !== undefined;
  const g = s.guidance ?? 0;
  const block = prediction.length / (guided ? 4 : 2);
  const map = new Float64Array(s.maps * s.pixels);
  for (let i = 0; i < block; i++) {
    const row = Math.floor(i / s.channels);
    const image = Math.floor(row / s.pixels);
    const v = (k: number) => prediction[k * block + i];
    const source = guided ? v(0) + g * (v(1) - v(0)) : v(0);
    const target = guided ? v(2) + g * (v(3) - v(2)) : v(1);
    map[Math.floor(image / s.perMap) * s.pixels + (row % s.pixels)] +=
      (Math.abs(target - source) / s.channels) * s.weight;
  }
  return map;
}

/** The mask rule: 1 unless clamp(map, 0, cut) / cut <= threshold, cut = ratio * mean; `continuous` gives the quotient (NaN as 1). */
export function threshold(map: ArrayLike<number>, ratio: number, limit: number, continuous: boolean): Float64Array {
  let mean = 0;
  for (let i = 0; i < map.length; i++) mean += map[i] / map.length;
  const cut = mean * ratio;
  return Float64Array.from({ length: map.length }, (_, i) => {
    const m = Math.min(Math.max(map[i], 0), cut) / cut;
    if (Number.isNaN(m)) return 1;
    return continuous ? m : m <= limit ? 0 : 1;
  });
}
