import { convolution, type Padding } from '../tensor/ops/contraction.ts';
import type { Parameter } from '../tensor/parameter.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Module } from './module.ts';
import type { Weights } from './weights.ts';

export interface Conv2dOptions {
  readonly in: number;
  readonly out: number;
  /** Side of a square kernel. */
  readonly kernel: number;
  /** Default 1. */
  readonly stride?: number;
  /** Pixels of zeros on every side, or by side. Default 0. */
  readonly padding?: number | Padding;
  /** Default true. */
  readonly bias?: boolean;
}

/**
 * Cross-correlation of a map with [out, in, kernel, kernel]; sums in f32.
 *
 * @see torch.nn.Conv2d
 */
export class Conv2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  readonly out: number;
  readonly conv: { readonly kernel: readonly [number, number]; readonly stride: number; readonly padding: Padding };

  constructor(w: Weights, o: Conv2dOptions) {
    super(w);
    const part = { from: w, outputs: o.out, inputs: o.in };
    this.weight = w.matrix([{ ...part, kernel: [o.kernel, o.kernel] }]);
    this.bias = o.bias === false ? undefined : w.vector([{ ...part, inputs: 1 }]);
    this.out = o.out;
    const side = o.padding ?? 0;
    const padding = typeof side === 'number' ? { top: side, right: side, bottom: side, left: side } : side;
    this.conv = { kernel: [o.kernel, o.kernel], stride: o.stride ?? 1, padding };
  }

  /** x [N, in, H, W] -> [N, out, OH, OW] */
  forward(x: Tensor): Tensor {
    return convolution(x, this.out, { weight: this.weight, bias: this.bias, conv: this.conv });
  }
}
