/** How a timestep conditions the UNet: one vector, and what each residual block takes of it. */
import { Linear, type StackedPart } from '../../nn/linear.ts';
import { Module } from '../../nn/module.ts';
import type { Weights } from '../../nn/weights.ts';
import type { Tensor } from '../../tensor/tensor.ts';

/** Two linear layers that turn the sinusoids of the timestep into the vector that conditions every residual block. */
export class TimeEmbedding extends Module {
  readonly linear1: Linear;
  readonly linear2: Linear;

  constructor(w: Weights, features: number, width: number) {
    super(w);
    this.linear1 = new Linear(w.at('linear_1'), { in: features, out: width });
    this.linear2 = new Linear(w.at('linear_2'), { in: width, out: width });
  }

  /** features [N, C0], the config's function -> [N, T] */
  forward(features: Tensor, activate: (x: Tensor) => Tensor): Tensor {
    return this.linear2.forward(activate(this.linear1.forward(features)));
  }
}

/** The part of the timestep's vector that conditions one residual block. Its weights lie in one product with those of all others. */
export class TimeProjection extends Module {
  readonly part: StackedPart;

  constructor(w: Weights, out: number) {
    super(w);
    this.part = { from: w, out };
  }

  /** Takes its own [1 or N, out] off the queue of all blocks' */
  forward(projections: Tensor[]): Tensor {
    const [own] = projections.splice(0, 1) as [Tensor];
    return own;
  }
}
