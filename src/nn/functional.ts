/** Layers without weights, as functions. */
import { concat } from '../tensor/ops/copy.ts';
import { unary } from '../tensor/ops/unary.ts';
import { upsample } from '../tensor/ops/upsample.ts';
import type { Tensor } from '../tensor/tensor.ts';

export { concat };

/** x / (1 + e^-x). @see Elfwing et al. 2017, https://arxiv.org/abs/1702.03118 */
export function silu(x: Tensor): Tensor {
  return unary(x, { function: 'silu' });
}

/** 0.5 x (1 + erf(x / sqrt 2)). @see Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415 */
export function gelu(x: Tensor): Tensor {
  return unary(x, { function: 'gelu' });
}

/** gelu by its tanh approximation, transformers' gelu_new. */
export function geluTanh(x: Tensor): Tensor {
  return unary(x, { function: 'geluTanh' });
}

/** x / (1 + e^(-1.702 x)), the gelu of OpenAI's CLIP. */
export function quickGelu(x: Tensor): Tensor {
  return unary(x, { function: 'quickGelu' });
}

/** max(x, 0). */
export function relu(x: Tensor): Tensor {
  return unary(x, { function: 'relu' });
}

/** x tanh(log(1 + e^x)). @see Misra 2019, https://arxiv.org/abs/1908.08681 */
export function mish(x: Tensor): Tensor {
  return unary(x, { function: 'mish' });
}

/** x [N, C, H, W] -> [N, C, height, width] by nearest neighbour: pixel floor(i * H / height). */
export function upsampleNearest(x: Tensor, size: readonly [height: number, width: number]): Tensor {
  return upsample(x, size);
}
