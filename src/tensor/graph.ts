/**
 * Recording: ops append nodes to a Graph, nothing runs. A Tensor is a view of a Value (rows of memory that a node will write, or
 * a DeviceTensor). `compile` turns the graph into a Plan.
 */
import type { DType } from '../core/dtype.ts';
import { ShapeError } from '../core/errors.ts';
import { type Shape, sameShape } from '../core/shape.ts';
import type { BufferSlice } from '../gpu/buffer.ts';
import type { Caps } from '../gpu/caps.ts';
import type { Gpu } from '../gpu/device.ts';
import type { KernelCall, Storage } from '../kernels/kernel.ts';
import type { Tuning } from '../kernels/op.ts';
import { DeviceTensor } from './device-tensor.ts';
import { type Layout, layoutOf } from './layout.ts';
import { Plan, type PlanOptions } from './plan.ts';
import { Tensor } from './tensor.ts';

/** Rows of memory: planned into an arena, or a DeviceTensor's own. */
export interface Value {
  readonly id: number;
  readonly layout: Layout;
  readonly dtype: DType;
  readonly device: DeviceTensor | undefined;
}

/** Memory with a place already: a Parameter, or part of one. */
export interface Placed {
  readonly slice: BufferSlice;
}

/** What a node may do when it is turned into kernel calls. */
export interface Lowering {
  readonly caps: Caps;
  /** What the plan's maker says about the choice of variants. */
  readonly tuning: Tuning | undefined;
  storage(dtype: DType): Storage;
  /** Memory for this node's own use. */
  temporary(shape: Shape, dtype: DType): Tensor;
  /** Appends a call; buffers by binding name. */
  emit(call: KernelCall, buffers: Readonly<Record<string, Tensor | Placed>>): void;
}

/** One recorded operation. */
export interface Node {
  readonly kind: string;
  /** Tensors it reads, for lifetimes. */
  inputs(): readonly Tensor[];
  /** What it writes. Fusion may replace it. Nodes with effects on DeviceTensors have none. */
  output: Tensor | undefined;
  lower(l: Lowering): void;
  /** Takes over the only consumer of its output, or refuses. Called when fusion is on. */
  absorb?(consumer: Node): boolean;
  /** Takes over the producer of one of its inputs, or refuses; `only` says whether this node alone reads it. */
  swallow?(producer: Node): boolean;
}

export interface GraphOptions {
  /** Dtype of activations: float32, or float16 (stored so, computed in f32). */
  readonly dtype?: 'float32' | 'float16' | undefined;
}

/** A recording in progress. */
export class Graph {
  readonly gpu: Gpu;
  readonly dtype: 'float32' | 'float16';
  readonly nodes: Node[] = [];
  readonly stores: { tensor: Tensor; target: DeviceTensor }[] = [];
  /** Tensors with fixed values that the plan takes over and frees. */
  readonly constants: DeviceTensor[] = [];
  readonly #inputs = new Map<DeviceTensor, Tensor>();
  #ids = 0;

  constructor(gpu: Gpu, options: GraphOptions = {}) {
    this.gpu = gpu;
    this.dtype = options.dtype ?? 'float32';
  }

  /** A DeviceTensor as an operand. The plan reads its values afresh on each run. */
  input(device: DeviceTensor): Tensor {
    const known = this.#inputs.get(device);
    if (known) return known;
    const value: Value = { id: this.#ids++, layout: layoutOf(device.shape), dtype: device.dtype, device };
    const tensor = new Tensor(this, value, device.shape);
    this.#inputs.set(device, tensor);
    return tensor;
  }

  /** Fixed values, in torch's order, uploaded now; they belong to the plan. */
  constant(data: ArrayLike<number>, shape: Shape, dtype: DType = 'float32'): Tensor {
    const device = DeviceTensor.from(this.gpu, data, shape, dtype, 'constant');
    this.constants.push(device);
    return this.input(device);
  }

  /** Fresh planned memory for a node's result. */
  allocate(shape: Shape, dtype: DType): Tensor {
    return new Tensor(this, { id: this.#ids++, layout: layoutOf(shape), dtype, device: undefined }, shape);
  }

  /** Appends a node and returns its output. */
  push<T extends Node & { output: Tensor }>(node: T): Tensor {
    this.nodes.push(node);
    return node.output;
  }

  /** Appends a node that changes DeviceTensors and has no output of its own. */
  effect(node: Node): void {
    this.nodes.push(node);
  }

  /** The plan writes `tensor` into `target` on each run. */
  store(tensor: Tensor, target: DeviceTensor): void {
    if (!sameShape(tensor.shape, target.shape) || tensor.dtype !== target.dtype) {
      throw new ShapeError({
        op: 'Graph.store',
        problem: 'the target has another shape or dtype',
        expected: `${tensor.dtype} [${tensor.shape}]`,
        received: `${target.dtype} [${target.shape}]`,
      });
    }
    this.stores.push({ tensor, target });
  }

  /** Plans memory, compiles pipelines and builds bind groups. */
  compile(options: PlanOptions = {}): Promise<Plan> {
    return Plan.compile(this, options);
  }
}
