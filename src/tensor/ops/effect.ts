/** Kernel calls that are recorded for what they do to DeviceTensors. */
import type { KernelCall } from '../../kernels/kernel.ts';
import type { Lowering, Node, Tensor } from '../tensor.ts';

/** A call on tensors, run for its effect. */
export class EffectNode implements Node {
  readonly kind = 'effect';
  readonly output = undefined;
  readonly #buffers: Readonly<Record<string, Tensor>>;
  readonly #call: (l: Lowering) => KernelCall;

  constructor(buffers: Readonly<Record<string, Tensor>>, call: (l: Lowering) => KernelCall) {
    this.#buffers = buffers;
    this.#call = call;
  }

  inputs(): readonly Tensor[] {
    return Object.values(this.#buffers);
  }

  lower(l: Lowering): void {
    l.emit(this.#call(l), this.#buffers);
  }
}
