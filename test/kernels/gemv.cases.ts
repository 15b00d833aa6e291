import type { Activation } from '../../src/kernels/libs.ts';

export interface GemvCase {
  rows: number;
  n: number;
  k: number;
  activation?: Activation;
  bias?: boolean;
  residual?: boolean | 'multiply';
}

/**
 * Rows around the tiles (1, 2, 4, 8, 16), columns around panels of 32, K around the 8 and 128 that a step takes. Activations
 * are few, because each makes another pipeline; all of them are tried with gemm, which shares their library.
 */
export const GEMV_CASES: readonly GemvCase[] = [
  { rows: 1, n: 1, k: 1 },
  { rows: 1, n: 129, k: 131, bias: true },
  { rows: 2, n: 31, k: 13, residual: true },
  { rows: 3, n: 33, k: 127, residual: 'multiply' },
  { rows: 4, n: 32, k: 128, bias: true, residual: true },
  { rows: 5, n: 63, k: 9, bias: true },
  { rows: 7, n: 65, k: 40, activation: 'geluTanh', bias: true, residual: 'multiply' },
  { rows: 8, n: 40, k: 257 },
  { rows: 9, n: 97, k: 24, residual: true },
  { rows: 15, n: 17, k: 100, bias: true, residual: true },
  { rows: 16, n: 64, k: 300, bias: true, residual: 'multiply' },
];

/** What tells storage forms apart. */
export const GEMV_FEW: readonly GemvCase[] = GEMV_CASES.filter(c => [1, 7, 15].includes(c.rows));
