export { activate } from '../../src/tuning/activations-f64.ts';

/** y[r][n] = sum_k a[r][k] * b[n][k], all unpadded, in f64. */
export function matmul(a: ArrayLike<number>, b: ArrayLike<number>, rows: number, n: number, k: number): Float64Array {
  const y = new Float64Array(rows * n);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < n; c++) {
      let sum = 0;
      for (let i = 0; i < k; i++) sum += a[r * k + i] * b[c * k + i];
      y[r * n + c] = sum;
    }
  }
  return y;
}

export interface ConvCase {
  images: number;
  height: number;
  width: number;
  cin: number;
  cout: number;
  /** Height of the kernel, and its width where that is another. */
  kernel: number;
  kernelWidth?: number;
  stride: number;
  /** top, left, bottom, right */
  padding: [number, number, number, number];
  upsample?: boolean;
}

/** x [N, H, W, Cin], w [Cout, Cin, kh, kw] -> [N, OH, OW, Cout], plain loops in f64. */
export function conv2d(
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  c: ConvCase,
): { data: Float64Array; height: number; width: number } {
  const scale = c.upsample ? 2 : 1;
  const across = c.kernelWidth ?? c.kernel;
  const [top, left, bottom, right] = c.padding;
  const height = Math.floor((c.height * scale + top + bottom - c.kernel) / c.stride) + 1;
  const width = Math.floor((c.width * scale + left + right - across) / c.stride) + 1;
  const data = new Float64Array(c.images * height * width * c.cout);
  for (let n = 0; n < c.images; n++)
    for (let oy = 0; oy < height; oy++)
      for (let ox = 0; ox < width; ox++)
        for (let o = 0; o < c.cout; o++) {
          let sum = 0;
          for (let ky = 0; ky < c.kernel; ky++)
            for (let kx = 0; kx < across; kx++) {
              const iy = oy * c.stride + ky - top;
              const ix = ox * c.stride + kx - left;
              if (iy < 0 || ix < 0 || iy >= c.height * scale || ix >= c.width * scale) continue;
              const at = ((n * c.height + Math.floor(iy / scale)) * c.width + Math.floor(ix / scale)) * c.cin;
              for (let i = 0; i < c.cin; i++) sum += x[at + i] * w[((o * c.cin + i) * c.kernel + ky) * across + kx];
            }
          data[((n * height + oy) * width + ox) * c.cout + o] = sum;
        }
  return { data, height, width };
}
