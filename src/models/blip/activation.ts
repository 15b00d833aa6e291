import { gelu, geluTanh, quickGelu, relu } from '../../nn/functional.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { BlipActivation } from './config.ts';

const FUNCTIONS: Readonly<Record<BlipActivation, (x: Tensor) => Tensor>> = {
  gelu,
  gelu_new: geluTanh,
  quick_gelu: quickGelu,
  relu,
};

/** The function behind a config's hidden_act. */
export function activation(name: BlipActivation): (x: Tensor) => Tensor {
  return FUNCTIONS[name];
}
