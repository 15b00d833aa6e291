import type { Caps } from '../gpu/caps.ts';
import { type Epilogue, gemm } from './gemm.ts';
import type { Family, KernelCall, Storage } from './kernel.ts';

/** Batches of [M, K] times [K, N], both activations. */
export interface MatmulProblem {
  readonly batch: number;
  readonly rows: number;
  /** Padded columns of b and y, and padded columns of a: multiples of 8. */
  readonly columns: number;
  readonly k: number;
  /** Multiplies the product; default 1. */
  readonly scale?: number | undefined;
  readonly a: Storage;
  readonly b: Storage;
  readonly y: Storage;
  /** One b serves the whole batch. */
  readonly sharedB?: boolean | undefined;
  readonly epilogue?: Epilogue | undefined;
  readonly family?: Family | undefined;
}

/**
 * y[n] = act(scale * a[n] b[n] + bias) ..., two tensors of activations: a [batch, rows, k], b [batch, k, columns], y [batch, rows,
 * columns], rows padded with zeros, b's rows beyond the true k zero or met by zeros of a. Sums in f32. Bindings as gemm.
 *
 * @throws ShapeError for sizes off their multiples
 * @see torch.matmul, torch.baddbmm
 */
export function matmul(caps: Caps, p: MatmulProblem): KernelCall {
  return gemm(caps, {
    batch: p.batch,
    rows: p.rows,
    columns: p.columns,
    k: p.k,
    scale: p.scale,
    a: { pitch: p.k, storage: p.a },
    b: { layout: 'rows', pitch: p.columns, batch: p.sharedB ? 0 : p.k * p.columns, storage: p.b },
    y: { pitch: p.columns, storage: p.y },
    epilogue: p.epilogue,
    family: p.family,
  });
}
