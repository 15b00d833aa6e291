/** A product as steps of a recording: one call, or sums of parts of its K axis and what adds them up. */
import type { KernelCall } from '../../kernels/kernel.ts';
import { callsOf, measures, normalizes, type Op, type Split } from '../../kernels/op.ts';
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
  /** Where the input is normalised as it is loaded. */
  readonly scale_shift?: Tensor;
}

/** What a call may be asked beside its problem. */
interface Asked {
  readonly moments?: boolean | undefined;
  readonly normalize?: object | undefined;
}

/** A call that is still to be made. */
export interface Product {
  /** Whether it can also measure what it stores. */
  measures(): boolean;
  /** Whether it can also normalise what it loads. */
  normalizes(): boolean;
  /** @param moments measures what it stores */
  calls(moments: boolean): KernelCall | Split;
}

/** The calls of a problem, and what they can do beside it. */
export function product<P extends Asked>(op: Op<P>, l: Lowering, problem: P): Product {
  return {
    measures: () => measures(op, l.caps, problem, l.tuning),
    normalizes: () => normalizes(op, l.caps, problem, l.tuning),
    calls: moments => callsOf(op, l.caps, moments ? { ...problem, moments } : problem, l.tuning),
  };
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
