/** Symbolic tensors, as model code handles them. Memory comes in with plan.ts, the operations are in ops/. */
import type { DType } from '../core/dtype.ts';
import { ShapeError } from '../core/errors.ts';
import { dim, type Shape, sameShape, sizeOf } from '../core/shape.ts';
import type { Graph, Node, Value } from './graph.ts';
import { layoutOf } from './layout.ts';
import { binary } from './ops/binary.ts';
import { copyChannels, repeatBatch, sliceRows } from './ops/copy.ts';
import { unary } from './ops/unary.ts';

/**
 * A symbolic tensor: a logical shape over rows that a recorded node will write. Shapes are [N, C, H, W] for maps (stored
 * channels last) and [N, L, D] for tokens. Views are free; arithmetic records nodes.
 */
export class Tensor {
  readonly graph: Graph;
  readonly value: Value;
  readonly shape: Shape;
  /** First row of the value that this view covers. */
  readonly rowOffset: number;
  /** The tensors that this one concatenates on channels, for consumers that can read several sources. */
  readonly parts: readonly Tensor[] | undefined;

  constructor(graph: Graph, value: Value, shape: Shape, rowOffset = 0, parts?: readonly Tensor[]) {
    this.graph = graph;
    this.value = value;
    this.shape = shape;
    this.rowOffset = rowOffset;
    this.parts = parts;
  }

  get dtype(): DType {
    return this.value.dtype;
  }

  /** Stored channels, without padding. */
  get width(): number {
    return this.value.layout.width;
  }

  /** Elements from one row to the next. */
  get pitch(): number {
    return this.value.layout.pitch;
  }

  /** Rows that this view covers. */
  get rows(): number {
    return sizeOf(this.shape) / this.width;
  }

  /** Size of dimension `i`, negative from the end. */
  dim(i: number): number {
    return dim(this.shape, i);
  }

  /** this + b. b has the same shape, or broadcasts as [N, C, 1, 1], [1, C, 1, 1], [N, 1, D], [1, L, D] or [1, 1, D]. */
  add(b: Tensor): Tensor {
    return binary('add', this, b);
  }

  /** this - b, broadcasting as add. */
  sub(b: Tensor): Tensor {
    return binary('sub', this, b);
  }

  /** this * b, broadcasting as add. */
  mul(b: Tensor): Tensor {
    return binary('mul', this, b);
  }

  /** factor * this. */
  scale(factor: number): Tensor {
    return unary(this, { alpha: factor });
  }

  /** The same numbers in another float dtype. */
  cast(dtype: 'float32' | 'float16'): Tensor {
    return dtype === this.dtype ? this : unary(this, { dtype });
  }

  /**
   * A free view with the same rows and channels: [N, C] as [N, C, 1, 1], [N, L, D] as [N * L, D], ...
   *
   * @throws ShapeError where the channels (the innermost stored dimension) would change
   */
  reshape(shape: Shape): Tensor {
    const layout = layoutOf(shape);
    if (layout.width !== this.width || layout.rows !== this.rows) {
      throw new ShapeError({
        op: 'reshape',
        problem: 'a view keeps rows and channels',
        expected: `${this.rows} rows of ${this.width}`,
        received: `[${shape}], ${layout.rows} rows of ${layout.width}`,
        fix: 'Reshape only leading dimensions; use tokens() and image() between maps and tokens.',
      });
    }
    return this.view(shape, this.rowOffset, this.parts);
  }

  /** Another look at the same memory; the caller vouches that it fits. */
  view(shape: Shape, rowOffset: number, parts?: readonly Tensor[]): Tensor {
    return new Tensor(this.graph, this.value, shape, rowOffset, parts);
  }

  /** [N, C, H, W] -> [N, H * W, C], free. */
  tokens(): Tensor {
    return this.reshape([this.dim(0), this.dim(2) * this.dim(3), this.dim(1)]);
  }

  /** [N, H * W, C] -> [N, C, H, W], free. */
  image(height: number, width: number): Tensor {
    return this.reshape([this.dim(0), this.dim(2), height, width]);
  }

  /** Entries [start, end) of a dimension: 0 (a free view where memory alignment allows, else a copy) or the channels (a copy). */
  slice(axis: number, start: number, end: number): Tensor {
    if (!(start >= 0 && end > start && end <= this.dim(axis))) {
      throw new ShapeError({
        op: 'slice',
        problem: 'range outside the dimension',
        expected: `within 0..${this.dim(axis)}`,
        received: [start, end],
      });
    }
    if (axis === 0) return sliceRows(this, start, end);
    return copyChannels(this, start, end);
  }

  /** Repeats dimension 0: [a, b] -> [a, a, b, b] (consecutive, torch's repeat_interleave) or [a, b, a, b] (interleaved, torch's repeat). */
  repeat(times: number, order: 'consecutive' | 'interleaved' = 'interleaved'): Tensor {
    return times === 1 ? this : repeatBatch(this, times, order);
  }

  /** The node that writes this tensor, if one does. */
  producer(): Node | undefined {
    return this.graph.nodes.find(n => n.output?.value === this.value);
  }

  /** Whether all sizes are equal; nothing is broadcast. */
  sameShape(other: Tensor): boolean {
    return sameShape(this.shape, other.shape);
  }
}
