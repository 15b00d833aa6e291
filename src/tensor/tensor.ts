/**
 * Symbolic tensors, as model code handles them, and the vocabulary of a recording: values, nodes, what a node is recorded into
 * and what it is lowered to. The operations are in ops/, the recorder in graph.ts, memory comes in with plan.ts.
 */
import type { DType } from '../core/dtype.ts';
import { ShapeError } from '../core/errors.ts';
import { dim, type Shape, sameShape, sizeOf } from '../core/shape.ts';
import type { BufferSlice } from '../gpu/buffer.ts';
import type { Caps } from '../gpu/caps.ts';
import type { KernelCall, Storage } from '../kernels/kernel.ts';
import type { Tuning } from '../kernels/op.ts';
import type { DeviceTensor } from './device-tensor.ts';
import { type Layout, layoutOf } from './layout.ts';
import type { Parameter } from './parameter.ts';

/** Fixed values on the host, as padded rows in memory order; every plan uploads and frees its own copy. */
export interface Constant {
  /** Rows padded to their pitch, in the dtype of the value. */
  readonly bytes: ArrayBufferView<ArrayBuffer>;
}

/** Rows of memory. Without `device` and `constant` a node writes them and a plan finds them a place. */
export interface Value {
  /** Where its elements lie. */
  readonly layout: Layout;
  /** Type of its elements. */
  readonly dtype: DType;
  /** The tensor whose memory this is. */
  readonly device?: DeviceTensor;
  /** The fixed values that lie there. */
  readonly constant?: Constant;
}

/** Memory with a place already: a Parameter, or part of one. */
export interface Placed {
  /** Its bytes on the device. */
  readonly slice: BufferSlice;
  /** The weight whose bytes they are: who streams weights asks it of every step. */
  readonly parameter: Parameter;
}

/** What a node may do when it is turned into kernel calls: all that it learns of the device and of the plan's options. */
export interface Lowering {
  /** What the device grants. */
  readonly caps: Caps;
  /** What the plan's maker says about the choice of variants. */
  readonly tuning?: Tuning | undefined;
  /** How a dtype is stored on this device. */
  storage(dtype: DType): Storage;
  /** Memory for this node's own use. */
  temporary(shape: Shape, dtype: DType): Tensor;
  /** Pixels of an image of a value of which a norm wants to know mean and variance; undefined where none does. */
  measuredPixels(value: Value): number | undefined;
  /** What its producer measured of a value, by the rows of `MOMENT_ROWS` neighbouring ones. */
  readonly moments: Map<Value, Tensor>;
  /** Appends a call; buffers by binding name. */
  emit(call: KernelCall, buffers: Readonly<Record<string, Tensor | Placed>>): void;
}

/** One recorded operation: a description that nothing changes, so that a graph can be compiled again and again. */
export interface Node {
  /** Name of the operation, such as 'contraction', for fusion and messages. */
  readonly kind: string;
  /** Tensors it reads, for lifetimes. */
  inputs(): readonly Tensor[];
  /** What it writes. Nodes with effects on DeviceTensors have none. */
  readonly output: Tensor | undefined;
  /** Turns itself into kernel calls. */
  lower(l: Lowering): void;
  /** Tensors whose producers may measure them, as images of so many pixels, so that this node need not read them once more. */
  measured?(): {
    /** They; none where they cannot be measured. */
    readonly tensors: readonly Tensor[];
    /** Of one image. */
    readonly pixels: number;
  };
  /** A node that does the work of this one and of `consumer`, the only reader of its output; undefined where it cannot. */
  absorb?(consumer: Node): Node | undefined;
  /** A node that does the work of this one and of `producer`, whose output it alone reads; undefined where it cannot. */
  swallow?(producer: Node): Node | undefined;
}

/** The operations behind Tensor's methods. */
export interface TensorMethods {
  /** a op b, element by element; b may broadcast as in {@link Tensor.add}. */
  binary(op: 'add' | 'sub' | 'mul', a: Tensor, b: Tensor): Tensor;
  /** alpha x, in another dtype where one is given. */
  unary(x: Tensor, options: { readonly alpha?: number; readonly dtype?: DType }): Tensor;
  /** Rows [start, end) of the first dimension, without a copy. */
  sliceRows(x: Tensor, start: number, end: number): Tensor;
  /** Channels [start, end), copied. */
  copyChannels(x: Tensor, start: number, end: number): Tensor;
  /** The batch `times` over: entry by entry, or as a whole. */
  repeatBatch(x: Tensor, times: number, order: 'consecutive' | 'interleaved'): Tensor;
}

/** What operations are recorded into: a Graph, as its tensors know it. */
export interface Recorder {
  /** Dtype of activations, in which operations store their results. */
  readonly dtype: 'float32' | 'float16';
  /** The operations behind Tensor's methods. */
  readonly methods: TensorMethods;
  /** A DeviceTensor as an operand. */
  input(device: DeviceTensor): Tensor;
  /** Fixed values as an operand, in torch's order; dtype float32 by default. */
  constant(data: ArrayLike<number>, shape: Shape, dtype?: DType): Tensor;
  /** Planned memory for a node's result. */
  allocate(shape: Shape, dtype: DType): Tensor;
  /** Appends a node and returns its output. */
  push(node: Node & { readonly output: Tensor }): Tensor;
  /** Appends a node that changes DeviceTensors and has no output of its own. */
  effect(node: Node): void;
}

/**
 * A symbolic tensor: a logical shape over rows that a recorded node will write. Shapes are [N, C, H, W] for maps (stored
 * channels last) and [N, L, D] for tokens. Views are free; arithmetic records nodes.
 */
export class Tensor {
  /** What its operations are recorded into. */
  readonly graph: Recorder;
  /** The memory that it looks at. */
  readonly value: Value;
  /** Logical sizes: [N, C, H, W] or [..., D]. */
  readonly shape: Shape;
  /** First row of the value that this view covers. */
  readonly rowOffset: number;
  /** The tensors that this one concatenates on channels, for consumers that can read several sources. */
  readonly parts: readonly Tensor[] | undefined;

  constructor(graph: Recorder, value: Value, shape: Shape, rowOffset = 0, parts?: readonly Tensor[]) {
    this.graph = graph;
    this.value = value;
    this.shape = shape;
    this.rowOffset = rowOffset;
    this.parts = parts;
  }

  /** Type of its elements. */
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
    return this.graph.methods.binary('add', this, b);
  }

  /** this - b, broadcasting as add. */
  sub(b: Tensor): Tensor {
    return this.graph.methods.binary('sub', this, b);
  }

  /** this * b, broadcasting as add. */
  mul(b: Tensor): Tensor {
    return this.graph.methods.binary('mul', this, b);
  }

  /** factor * this, as a new tensor. */
  scale(factor: number): Tensor {
    return this.graph.methods.unary(this, { alpha: factor });
  }

  /** The same numbers in another float dtype. */
  cast(dtype: 'float32' | 'float16'): Tensor {
    return dtype === this.dtype ? this : this.graph.methods.unary(this, { dtype });
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
    if (axis === 0) return this.graph.methods.sliceRows(this, start, end);
    return this.graph.methods.copyChannels(this, start, end);
  }

  /** Repeats dimension 0: [a, b] -> [a, a, b, b] (consecutive, torch's repeat_interleave) or [a, b, a, b] (interleaved, torch's repeat). */
  repeat(times: number, order: 'consecutive' | 'interleaved' = 'interleaved'): Tensor {
    return times === 1 ? this : this.graph.methods.repeatBatch(this, times, order);
  }

  /** Whether all sizes are equal; nothing is broadcast. */
  sameShape(other: Tensor): boolean {
    return sameShape(this.shape, other.shape);
  }
}
