import { gelu, geluTanh, mish, quickGelu, relu, silu } from '../../nn/functional.ts';
import type { Tensor } from '../../tensor/tensor.ts';

/** Names of the functions in the networks; gelu_new is the tanh approximation, quick_gelu x sigmoid(1.702 x). */
export type StableDiffusionActivation = 'gelu' | 'gelu_new' | 'mish' | 'quick_gelu' | 'relu' | 'silu';

const FUNCTIONS: Readonly<Record<StableDiffusionActivation, (x: Tensor) => Tensor>> = {
  gelu,
  gelu_new: geluTanh,
  mish,
  quick_gelu: quickGelu,
  relu,
  silu,
};

/** The function of a name; SiLU, which all published UNets and autoencoders have, where there is none. */
export function activation(name: StableDiffusionActivation = 'silu'): (x: Tensor) => Tensor {
  return FUNCTIONS[name];
}
