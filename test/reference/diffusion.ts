/** The arithmetic of posterior draws and DiffEdit masks on dense arrays [N, P, C], in f64. */

/** scaling * (mean + std * noise) for moments [N, P, 2C] and noise [N * repeat, P, C]. */
export function posterior(
  moments: ArrayLike<number>,
  noise: ArrayLike<number>,
  s: { pixels: number; channels: number; repeat: number; scaling: number },
  take: 'sample' | 'mean' | 'deviation' = 'sample',
): Float64Array {
  return Float64Array.from({ length: noise.length }, (_, i) => {
    const c = i % s.channels;
    const row = Math.floor(i / s.channels);
    const from = (Math.floor(row / s.pixels / s.repeat) * s.pixels + (row % s.pixels)) * 2 * s.channels;
    const deviation = Math.exp(0.5 * Math.min(Math.max(moments[from + s.channels + c], -30), 20));
    const mean = moments[from + c];
    return s.scaling * (take === 'mean' ? mean : take === 'deviation' ? deviation : mean + deviation * noise[i]);
  });
}

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

/** Maximum or minimum over a square or disc inside the picture. */
export function morphology(
  x: ArrayLike<number>,
  h: number,
  w: number,
  r: number,
  disc: boolean,
  dilate: boolean,
): Float64Array {
  return Float64Array.from({ length: x.length }, (_, i) => {
    const py = Math.floor(i / w) % h;
    const px = i % w;
    const origin = Math.floor(i / (h * w)) * h * w;
    const seen: number[] = [];
    for (let qy = py - r; qy <= py + r; qy++) {
      for (let qx = px - r; qx <= px + r; qx++) {
        if (qy < 0 || qy >= h || qx < 0 || qx >= w) continue;
        if (!disc || Math.hypot(qx - px, qy - py) <= r) seen.push(x[origin + qy * w + qx]);
      }
    }
    return dilate ? Math.max(...seen) : Math.min(...seen);
  });
}

/** Gaussian blur on both axes at once, weights to four deviations on each axis, edges repeated. */
export function blur(x: ArrayLike<number>, h: number, w: number, sigma: number): Float64Array {
  const r = Math.floor(4 * sigma + 0.5);
  const inside = (v: number, size: number) => Math.min(Math.max(v, 0), size - 1);
  return Float64Array.from({ length: x.length }, (_, i) => {
    const origin = Math.floor(i / (h * w)) * h * w;
    let sum = 0;
    let weights = 0;
    for (let dy = -r; dy <= r; dy++) {
      for (let dx = -r; dx <= r; dx++) {
        const weight = Math.exp(-(dx * dx + dy * dy) / (2 * sigma * sigma));
        sum += weight * x[origin + inside((Math.floor(i / w) % h) + dy, h) * w + inside((i % w) + dx, w)];
        weights += weight;
      }
    }
    return sum / weights;
  });
}
