import type { DType } from '../core/dtype.ts';
import { alignUp, ROW_ALIGN } from '../core/shape.ts';
import { linear } from '../tensor/ops/contraction.ts';
import type { Parameter } from '../tensor/parameter.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Module } from './module.ts';
import type { Weights } from './weights.ts';

export interface LinearOptions {
  readonly in: number;
  readonly out: number;
  /** Default true. */
  readonly bias?: boolean;
}

/**
 * y = x W^T + b over the channels. Weight [out, in] or, as a 1x1 convolution, [out, in, 1, 1]; sums in f32.
 *
 * @see torch.nn.Linear
 */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  readonly out: number;

  constructor(w: Weights, o: LinearOptions) {
    super(w);
    const part = { from: w, outputs: o.out, inputs: o.in };
    this.weight = w.matrix([part]);
    this.bias = o.bias === false ? undefined : w.vector([{ ...part, inputs: 1 }]);
    this.out = o.out;
  }

  /** x [..., in] (or a map [N, in, H, W]) -> [..., out]; `dtype` defaults to the graph's. */
  forward(x: Tensor, dtype?: DType): Tensor {
    return linear(x, this.out, { weight: this.weight, bias: this.bias }, dtype);
  }
}

/** One of the layers of a `StackedLinear`. */
export interface StackedPart {
  /** Where its weight and bias lie. */
  readonly from: Weights;
  readonly out: number;
}

/** Linear layers with biases that meet the same input, as one product: y_i = x W_i^T + b_i. */
export class StackedLinear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly parts: readonly StackedPart[];

  constructor(w: Weights, o: { readonly in: number; readonly parts: readonly StackedPart[] }) {
    super(w);
    const parts = o.parts.map(({ from, out }) => ({ from, outputs: out, inputs: o.in }));
    this.weight = w.matrix(parts);
    this.bias = w.vector(parts.map(part => ({ ...part, inputs: 1 })));
    this.parts = o.parts;
  }

  /** x [N, in] -> [N, out] of each layer; what is added to a map behind a convolution is read where it lies. */
  forward(x: Tensor): Tensor[] {
    const all = linear(x, this.weight.columns, { weight: this.weight, bias: this.bias });
    let end = 0;
    return this.parts.map(({ out }) => {
      const first = end;
      end += alignUp(out, ROW_ALIGN);
      return all.slice(1, first, first + out);
    });
  }
}

/**
 * y = value * gelu(gate), where x W^T + b = [value, gate]. Weight [2 * out, in]; gelu by erf. The two halves are never stored.
 *
 * @see Shazeer 2020, GLU Variants Improve Transformer; diffusers GEGLU
 */
export class GegluLinear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly out: number;

  constructor(w: Weights, o: { readonly in: number; readonly out: number }) {
    super(w);
    const part = { from: w, outputs: 2 * o.out, inputs: o.in, geglu: true };
    this.weight = w.matrix([part]);
    this.bias = w.vector([{ ...part, inputs: 1 }]);
    this.out = o.out;
  }

  /** x [..., in] -> [..., out] */
  forward(x: Tensor): Tensor {
    return linear(x, this.out, { weight: this.weight, bias: this.bias, geglu: true });
  }
}
