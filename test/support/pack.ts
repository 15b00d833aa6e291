import { alignUp } from '../../src/core/shape.ts';
import { PANEL } from '../../src/kernels/gemm.ts';

/** Rows padded to a multiple of 8 with zeros. */
export function padRows(values: ArrayLike<number>, rows: number, width: number): Float32Array {
  const pitch = alignUp(width, 8);
  const out = new Float32Array(rows * pitch);
  for (let r = 0; r < rows; r++) for (let c = 0; c < width; c++) out[r * pitch + c] = values[r * width + c];
  return out;
}

/** Takes the padding off again and throws where it is not zero. */
export function unpadRows(values: ArrayLike<number>, rows: number, width: number): Float32Array {
  const pitch = alignUp(width, 8);
  const out = new Float32Array(rows * width);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < pitch; c++) {
      const v = values[r * pitch + c];
      if (c < width) out[r * width + c] = v;
      else if (v !== 0) throw new Error(`padding lane ${c} of row ${r} holds ${v}`);
    }
  }
  return out;
}

/** Weights [N, K, taps] -> rows [Npadded][taps * Kpadded]. */
export function packColumns(w: ArrayLike<number>, n: number, k: number, taps = 1): Float32Array {
  const kp = alignUp(k, 8);
  const out = new Float32Array(alignUp(n, 8) * taps * kp);
  for (let o = 0; o < n; o++)
    for (let i = 0; i < k; i++) for (let t = 0; t < taps; t++) out[(o * taps + t) * kp + i] = w[(o * k + i) * taps + t];
  return out;
}

/** Weights [N, K, taps] -> panels [N/32][taps * Kpadded][32], by plain loops: what pack-weight does on the device. */
export function packPanels(w: ArrayLike<number>, n: number, k: number, taps = 1): Float32Array {
  const kp = alignUp(k, 8);
  const out = new Float32Array((alignUp(n, PANEL) / PANEL) * taps * kp * PANEL);
  for (let o = 0; o < n; o++)
    for (let i = 0; i < k; i++)
      for (let t = 0; t < taps; t++) {
        const at = (Math.floor(o / PANEL) * taps * kp + t * kp + i) * PANEL + (o % PANEL);
        out[at] = w[(o * k + i) * taps + t];
      }
  return out;
}
