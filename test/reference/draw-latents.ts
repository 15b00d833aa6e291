/** z = scaling (mean + exp(clamp(log variance, -30, 20) / 2) noise), y = signal z + sigma level noise, on dense arrays [N, P, C] in f64. */
export function drawLatents(
  x: ArrayLike<number>,
  o: {
    images: number;
    pictures: number;
    pixels: number;
    channels: number;
    scaling: number;
    noise?: ArrayLike<number> | undefined;
    level?: { signal: number; sigma: number; noise: ArrayLike<number> } | undefined;
  },
): Float64Array {
  const { images, pictures, pixels, channels, scaling, noise, level } = o;
  const width = noise ? 2 * channels : channels;
  return Float64Array.from({ length: images * pixels * channels }, (_, i) => {
    const [row, channel] = [Math.floor(i / channels), i % channels];
    const from = ((Math.floor(row / pixels) % pictures) * pixels + (row % pixels)) * width + channel;
    let z = x[from];
    if (noise) {
      const logVariance = Math.min(20, Math.max(-30, x[from + channels]));
      z = scaling * (z + Math.exp(logVariance / 2) * noise[i]);
    }
    return level ? level.signal * z + level.sigma * level.noise[i] : z;
  });
}
