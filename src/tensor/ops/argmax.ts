/** The likeliest ids as a recorded node. */
import { argmax as argmaxCall } from '../../kernels/argmax.ts';
import type { Lowering, Node, Tensor } from '../tensor.ts';

class ArgmaxNode implements Node {
  readonly kind = 'argmax';
  readonly output: Tensor;
  readonly #x: Tensor;

  constructor(x: Tensor) {
    this.#x = x;
    this.output = x.graph.allocate(x.shape.slice(0, -1), 'uint32');
  }

  inputs(): readonly Tensor[] {
    return [this.#x];
  }

  lower(l: Lowering): void {
    const x = this.#x;
    const call = argmaxCall({
      rows: x.rows,
      length: x.dim(-2),
      width: x.width,
      pitch: x.pitch,
      storage: l.storage(x.dtype),
    });
    l.emit(call, { x, ids: this.output, values: l.temporary(this.output.shape, 'float32') });
  }
}

/** x [N, L, V] -> uint32 [N, L]: the column of each row's largest value, of equal ones the first. @see torch.argmax */
export function argmax(x: Tensor): Tensor {
  return x.graph.push(new ArgmaxNode(x));
}
