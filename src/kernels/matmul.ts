import type { Caps } from '../gpu/caps.ts';
import { checkGemm, type Epilogue, GEMM_VARIANTS, type GemmProblem } from './gemm.ts';
import { GEMM_MATRIX } from './gemm-matrix.ts';
import type { KernelCall, Storage } from './kernel.ts';
import { callOf, type Op, type Tuning, through } from './op.ts';

/** Batches of [M, K] times [K, N], both activations. */
export interface MatmulProblem {
  /** Independent products, one after the other in memory. */
  readonly batch: number;
  /** Rows of a and y in one product. */
  readonly rows: number;
  /** Padded columns of b and y, and padded columns of a: multiples of 8. */
  readonly columns: number;
  /** Padded columns of a, and rows of b. */
  readonly k: number;
  /** Multiplies the product; default 1. */
  readonly scale?: number | undefined;
  /** Form of a. */
  readonly a: Storage;
  /** Form of b. */
  readonly b: Storage;
  /** Form of y. */
  readonly y: Storage;
  /** One b serves the whole batch. */
  readonly sharedB?: boolean | undefined;
  /** What follows a sum; default a bias. */
  readonly epilogue?: Epilogue | undefined;
}

/** Products of two tensors of activations. */
export const MATMUL: Op<MatmulProblem> = {
  name: 'matmul',
  check: problem => checkGemm('matmul', asGemm(problem)),
  tunedBy: ['rows', 'columns', 'k', 'a', 'b', 'y', 'sharedB'],
  variants: [...GEMM_VARIANTS, ...GEMM_MATRIX].map(variant => through(variant, asGemm)),
};

/**
 * y[n] = act(scale * a[n] b[n] + bias) ..., two tensors of activations: a [batch, rows, k], b [batch, k, columns], y [batch, rows,
 * columns], rows padded with zeros, b's rows beyond the true k zero or met by zeros of a. Sums in f32. Bindings as gemm.
 *
 * @throws ShapeError for sizes off their multiples
 * @see torch.matmul, torch.baddbmm
 */
export function matmul(caps: Caps, problem: MatmulProblem, tuning?: Tuning): KernelCall {
  return callOf(MATMUL, caps, problem, tuning);
}

/** The product behind it. */
export function asGemm(p: MatmulProblem): GemmProblem {
  return {
    batch: p.batch,
    rows: p.rows,
    columns: p.columns,
    k: p.k,
    scale: p.scale,
    a: { pitch: p.k, storage: p.a },
    b: { layout: 'plain', pitch: p.columns, batch: p.sharedB ? 0 : p.k * p.columns, storage: p.b },
    y: { pitch: p.columns, storage: p.y },
    epilogue: p.epilogue,
  };
}
