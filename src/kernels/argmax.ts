import type { KernelCall, Storage } from './kernel.ts';
import { topK } from './top-k.ts';

/** Rows of scores whose largest index is wanted. */
export interface ArgmaxProblem {
  /** Rows of x, all sequences together. */
  readonly rows: number;
  /** Rows of one sequence, whose ids lie side by side: L of [N, L, V]. Default all rows. */
  readonly length?: number | undefined;
  /** True length of a row. */
  readonly width: number;
  /** Elements from one row of x to the next, a multiple of 8. */
  readonly pitch: number;
  /** Form of x. */
  readonly storage: Storage;
}

/**
 * The column of each row's first maximum. Bindings: x [rows, pitch], ids u32 [N, pitch(L)], which embedding reads, and values f32
 * [N, pitch(L)], the maxima; padding zero.
 *
 * @throws ShapeError for bad sizes or pitch
 * @see torch.argmax
 */
export function argmax({ length, ...problem }: ArgmaxProblem): KernelCall {
  return topK({ ...problem, k: 1, group: length ?? problem.rows });
}
