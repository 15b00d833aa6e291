import type { DType } from '../core/dtype.ts';
import { groupNorm, layerNorm, rmsNorm } from '../tensor/ops/norm.ts';
import type { Parameter } from '../tensor/parameter.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Module } from './module.ts';
import type { Weights } from './weights.ts';

/**
 * (x - mean) / sqrt(var + eps) * weight + bias over the pixels and channels of each group; statistics in f32.
 *
 * @see Wu & He 2018, https://arxiv.org/abs/1803.08494; torch.nn.GroupNorm
 */
export class GroupNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly groups: number;
  readonly eps: number;

  constructor(w: Weights, o: { readonly channels: number; readonly groups: number; readonly eps: number }) {
    super(w);
    const part = { from: w, outputs: o.channels, inputs: 1 };
    this.weight = w.vector([{ ...part, name: 'weight' }]);
    this.bias = w.vector([part]);
    this.groups = o.groups;
    this.eps = o.eps;
  }

  /** x [N, C, H, W] (or a concatenation on channels) -> the same shape */
  forward(x: Tensor): Tensor {
    return groupNorm(x, { weight: this.weight, bias: this.bias, groups: this.groups, eps: this.eps });
  }
}

/**
 * (x - mean) / sqrt(var + eps) * weight + bias over each row; statistics in f32.
 *
 * @see Ba et al. 2016, https://arxiv.org/abs/1607.06450; torch.nn.LayerNorm
 */
export class LayerNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly eps: number;

  constructor(w: Weights, o: { readonly width: number; readonly eps: number }) {
    super(w);
    const part = { from: w, outputs: o.width, inputs: 1 };
    this.weight = w.vector([{ ...part, name: 'weight' }]);
    this.bias = w.vector([part]);
    this.eps = o.eps;
  }

  /** x [..., D] -> the same shape; `dtype` defaults to the graph's. */
  forward(x: Tensor, dtype?: DType): Tensor {
    return layerNorm(x, { weight: this.weight, bias: this.bias, eps: this.eps }, dtype);
  }
}

/**
 * x / sqrt(mean(x^2) + eps) * weight over each row; statistics in f32.
 *
 * @see Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467; transformers T5LayerNorm
 */
export class RMSNorm extends Module {
  readonly weight: Parameter;
  readonly eps: number;

  constructor(w: Weights, o: { readonly width: number; readonly eps: number }) {
    super(w);
    this.weight = w.vector([{ from: w, name: 'weight', outputs: o.width, inputs: 1 }]);
    this.eps = o.eps;
  }

  /** x [..., D] -> the same shape; `dtype` defaults to the graph's. */
  forward(x: Tensor, dtype?: DType): Tensor {
    return rmsNorm(x, { weight: this.weight, eps: this.eps }, dtype);
  }
}
