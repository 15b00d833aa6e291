/** Arithmetic of two tensors, the second broadcast where it is smaller. */
import { ShapeError } from '../../core/errors.ts';
import { dim, type Shape } from '../../core/shape.ts';
import { type Broadcast, elementwiseBinary } from '../../kernels/elementwise-binary.ts';
import type { Lowering, Node, Tensor } from '../tensor.ts';

export type BinaryOp = 'add' | 'sub' | 'mul';

const OPERATION = { add: 'add', sub: 'subtract', mul: 'multiply' } as const;

/** y = a op b. */
export class BinaryNode implements Node {
  readonly kind = 'binary';
  readonly output: Tensor;
  readonly #op: BinaryOp;
  readonly #a: Tensor;
  readonly #b: Tensor;
  readonly #broadcast: Broadcast | undefined;

  constructor(op: BinaryOp, a: Tensor, b: Tensor) {
    this.#op = op;
    this.#a = a;
    this.#b = b;
    this.#broadcast = broadcastOf(op, a, b);
    this.output = a.graph.allocate(a.shape, a.dtype);
  }

  inputs(): readonly Tensor[] {
    return [this.#a, this.#b];
  }

  /** In an addition, the operand beside `one`; undefined where a producer cannot add it. */
  otherAddend(one: Tensor): Tensor | undefined {
    if (this.#op !== 'add' || this.#a.value === this.#b.value) return undefined; // nobody adds to itself what it is only making
    if (this.#a.value === one.value) return this.#b;
    return this.#b.value === one.value && this.#a.rows === this.#b.rows ? this.#a : undefined;
  }

  /** In a product of equal shapes, the operand beside `one`; undefined where a producer cannot multiply by it. */
  otherFactor(one: Tensor): Tensor | undefined {
    if (this.#op !== 'mul' || this.#a.rows !== this.#b.rows || this.#a.value === this.#b.value) return undefined;
    if (this.#a.value === one.value) return this.#b;
    return this.#b.value === one.value ? this.#a : undefined;
  }

  lower(l: Lowering): void {
    const rows = (t: Tensor) => ({ pitch: t.pitch, storage: l.storage(t.dtype) });
    const call = elementwiseBinary({
      operation: OPERATION[this.#op],
      rows: this.#a.rows,
      width: this.#a.width,
      a: rows(this.#a),
      b: { ...rows(this.#b), broadcast: this.#broadcast },
      y: rows(this.output),
    });
    l.emit(call, { a: this.#a, b: this.#b, y: this.output });
  }
}

/** Records a op b with b's shape equal to a's or broadcast over the batch, over the positions, or both. */
export function binary(op: BinaryOp, a: Tensor, b: Tensor): Tensor {
  return a.graph.push(new BinaryNode(op, a, b));
}

/** [batch, positions]: maps have H * W positions, tokens L. */
function outer(shape: Shape): [number, number] {
  if (shape.length === 4) return [dim(shape, 0), dim(shape, 2) * dim(shape, 3)];
  return shape.length === 3 ? [dim(shape, 0), dim(shape, 1)] : [1, shape.slice(0, -1).reduce((x, y) => x * y, 1)];
}

function broadcastOf(op: string, a: Tensor, b: Tensor): Broadcast | undefined {
  const [batch, positions] = outer(a.shape);
  const [bBatch, bPositions] = outer(b.shape);
  const fits = a.width === b.width && [1, batch].includes(bBatch) && [1, positions].includes(bPositions);
  if (!fits || (a.shape.length !== b.shape.length && a.rows !== b.rows)) {
    throw new ShapeError({
      op,
      problem: 'the second operand does not broadcast to the first',
      expected: `[${a.shape}], or 1 for the batch or all positions`,
      received: `[${b.shape}]`,
    });
  }
  if (a.rows === b.rows) return undefined;
  return { rows: b.rows, divide: bPositions === 1 && bBatch > 1 ? positions : 1 };
}
