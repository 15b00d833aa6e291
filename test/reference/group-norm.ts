export interface GroupNormShape {
  images: number;
  pixels: number;
  channels: number;
  groups: number;
  eps: number;
}

/** mean and rstd of each image and group of x [N, P, C], in f64. */
export function groupStatistics(x: ArrayLike<number>, s: GroupNormShape): { mean: Float64Array; rstd: Float64Array } {
  const mean = new Float64Array(s.images * s.groups);
  const rstd = new Float64Array(s.images * s.groups);
  const width = s.channels / s.groups;
  for (let n = 0; n < s.images; n++) {
    for (let g = 0; g < s.groups; g++) {
      let sum = 0;
      for (let p = 0; p < s.pixels; p++)
        for (let c = 0; c < width; c++) sum += x[(n * s.pixels + p) * s.channels + g * width + c];
      const m = sum / (s.pixels * width);
      let squares = 0;
      for (let p = 0; p < s.pixels; p++) {
        for (let c = 0; c < width; c++) squares += (x[(n * s.pixels + p) * s.channels + g * width + c] - m) ** 2;
      }
      mean[n * s.groups + g] = m;
      rstd[n * s.groups + g] = 1 / Math.sqrt(squares / (s.pixels * width) + s.eps);
    }
  }
  return { mean, rstd };
}

/** y = act((x - mean) * rstd * weight + bias) for x [N, P, C], in f64. */
export function groupNorm(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  s: GroupNormShape,
  silu: boolean,
): Float64Array {
  const { mean, rstd } = groupStatistics(x, s);
  const width = s.channels / s.groups;
  const y = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) {
    const c = i % s.channels;
    const image = Math.floor(i / s.channels / s.pixels);
    const at = image * s.groups + Math.floor(c / width);
    const v = (x[i] - mean[at]) * rstd[at] * weight[c] + bias[c];
    y[i] = silu ? v / (1 + Math.exp(-v)) : v;
  }
  return y;
}
