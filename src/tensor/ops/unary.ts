/** Element-wise functions of one tensor. */
import type { DType } from '../../core/dtype.ts';
import { elementwiseUnary, type UnaryFunction } from '../../kernels/elementwise-unary.ts';
import { ACTIVATION, type Activation } from '../../kernels/libs.ts';
import type { Lowering, Node, Tensor } from '../tensor.ts';

export interface UnaryOptions {
  /** f in y = clamp(f(alpha x + beta)); default the identity. */
  readonly function?: UnaryFunction | undefined;
  readonly alpha?: number | undefined;
  readonly beta?: number | undefined;
  readonly clamp?: readonly [number, number] | undefined;
  /** Of the result; default x's. */
  readonly dtype?: DType | undefined;
}

/** y = clamp(f(alpha x + beta)). */
export class UnaryNode implements Node {
  readonly kind = 'unary';
  readonly output: Tensor;
  readonly #x: Tensor;
  readonly #options: UnaryOptions;

  constructor(x: Tensor, options: UnaryOptions) {
    this.#x = x;
    this.#options = options;
    this.output = x.graph.allocate(x.shape, options.dtype ?? x.dtype);
  }

  /** The activation that this node is and nothing more, so that a producer can do it instead. */
  get activation(): Activation | undefined {
    const { function: f, alpha = 1, beta = 0, clamp } = this.#options;
    return f && f in ACTIVATION && alpha === 1 && beta === 0 && !clamp ? (f as Activation) : undefined;
  }

  inputs(): readonly Tensor[] {
    return [this.#x];
  }

  lower(l: Lowering): void {
    const { dtype: _, ...options } = this.#options;
    const call = elementwiseUnary({
      ...options,
      rows: this.#x.rows,
      width: this.#x.width,
      x: { pitch: this.#x.pitch, storage: l.storage(this.#x.dtype) },
      y: { pitch: this.output.pitch, storage: l.storage(this.output.dtype) },
    });
    l.emit(call, { x: this.#x, y: this.output });
  }
}

/** Records y = clamp(f(alpha x + beta)), element by element, in f32. */
export function unary(x: Tensor, options: UnaryOptions): Tensor {
  return x.graph.push(new UnaryNode(x, options));
}
