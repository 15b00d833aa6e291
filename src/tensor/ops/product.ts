/** A product as steps of a recording: one call, or sums of parts of its K axis and what adds them up. */
import type { KernelCall } from '../../kernels/kernel.ts';
import type { Split } from '../../kernels/op.ts';
import type { Lowering, Placed, Tensor } from '../tensor.ts';

/** What a product reads and writes, by binding name. */
export interface ProductOperands {
  readonly a: Tensor;
  readonly b: Tensor | Placed;
  readonly bias: Tensor | Placed;
  readonly channel_add: Tensor | Placed;
  readonly residual: Tensor | Placed;
  readonly y: Tensor;
  /** Where one call measures y. */
  readonly moments?: Tensor;
}

/** Records what a product becomes; the partial sums are memory of the plan, as any result between two calls. */
export function emitProduct(l: Lowering, calls: KernelCall | Split, operands: ProductOperands): void {
  if (!('partials' in calls)) {
    l.emit(calls, { ...operands });
    return;
  }
  const { a, b, y, ...behind } = operands;
  const partials = l.temporary([calls.scratch.rows, calls.scratch.width], 'float32');
  l.emit(calls.partials, { a, b, bias: b, channel_add: b, residual: b, y: partials });
  l.emit(calls.sum, { partials, ...behind, y });
}
