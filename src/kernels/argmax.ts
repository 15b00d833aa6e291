import type { KernelCall, Storage } from './kernel.ts';
import { topK } from './top-k.ts';

export interface ArgmaxProblem {
  readonly rows: number;
  /** True length of a row. */
  readonly width: number;
  readonly pitch: number;
  readonly storage: Storage;
}

/**
 * The column of each row's first maximum. Bindings: x [rows, pitch], ids u32 [rows], values f32 [rows] (the maxima).
 *
 * @throws ShapeError for bad sizes or pitch
 * @see torch.argmax
 */
export function argmax(problem: ArgmaxProblem): KernelCall {
  return topK({ ...problem, k: 1 });
}
