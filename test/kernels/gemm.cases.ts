import type { Activation } from '../../src/kernels/libs.ts';

export interface MatmulCase {
  rows: number;
  n: number;
  k: number;
  activation?: Activation;
  residual?: boolean;
  /** rows an image */
  channelAdd?: number;
}

/** Sizes: 1, primes, one below and above the tiles (8 and 64 rows; 16, 32 and 64 columns), K of no round number. */
export const MATMUL_CASES: readonly MatmulCase[] = [
  { rows: 1, n: 1, k: 1 },
  { rows: 7, n: 31, k: 13, activation: 'silu' },
  { rows: 8, n: 32, k: 8, residual: true },
  { rows: 9, n: 33, k: 17, activation: 'gelu', residual: true },
  { rows: 63, n: 65, k: 40, activation: 'quickGelu' },
  { rows: 65, n: 63, k: 23, activation: 'geluTanh', channelAdd: 13 },
  { rows: 64, n: 64, k: 64, activation: 'relu', channelAdd: 16, residual: true },
  { rows: 9, n: 17, k: 12, activation: 'mish' },
  { rows: 130, n: 129, k: 100 },
];

export interface ConvShape {
  images: number;
  height: number;
  width: number;
  cin: number;
  cout: number;
  kernel: number;
  kernelWidth?: number;
  stride: number;
  padding: [number, number, number, number];
  upsample?: boolean;
}

export const CONV_CASES: readonly ConvShape[] = [
  { images: 1, height: 1, width: 1, cin: 1, cout: 1, kernel: 3, stride: 1, padding: [1, 1, 1, 1] },
  { images: 2, height: 5, width: 7, cin: 4, cout: 33, kernel: 3, stride: 1, padding: [1, 1, 1, 1] },
  { images: 1, height: 9, width: 8, cin: 17, cout: 6, kernel: 3, stride: 2, padding: [1, 1, 1, 1] },
  { images: 2, height: 8, width: 6, cin: 8, cout: 40, kernel: 3, stride: 2, padding: [0, 0, 1, 1] },
  { images: 1, height: 6, width: 5, cin: 3, cout: 9, kernel: 5, stride: 1, padding: [2, 2, 2, 2] },
  { images: 3, height: 4, width: 4, cin: 24, cout: 24, kernel: 1, stride: 1, padding: [0, 0, 0, 0] },
  { images: 2, height: 3, width: 5, cin: 16, cout: 12, kernel: 3, stride: 1, padding: [1, 1, 1, 1], upsample: true },
  { images: 1, height: 7, width: 9, cin: 5, cout: 6, kernel: 7, stride: 1, padding: [3, 3, 3, 3] },
  { images: 2, height: 3, width: 9, cin: 6, cout: 5, kernel: 1, kernelWidth: 7, stride: 1, padding: [0, 3, 0, 3] },
  { images: 2, height: 6, width: 5, cin: 8, cout: 7, kernel: 1, stride: 2, padding: [0, 0, 0, 0] },
  { images: 1, height: 12, width: 12, cin: 3, cout: 10, kernel: 4, stride: 4, padding: [0, 0, 0, 0] },
];
