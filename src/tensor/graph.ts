/**
 * Recording: ops append nodes to a Graph, nothing runs. A Tensor is a view of a Value (rows of memory that a node will write,
 * a DeviceTensor, or a constant). `compile` turns the graph into a Plan, as often as wanted.
 */
import { BYTES, type DType } from '../core/dtype.ts';
import { InputError, ShapeError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { type Shape, sameShape } from '../core/shape.ts';
import type { Gpu } from '../gpu/device.ts';
import type { DeviceTensor } from './device-tensor.ts';
import { encode, layoutOf, toMemory } from './layout.ts';
import { binary } from './ops/binary.ts';
import { copyChannels, repeatBatch, sliceRows } from './ops/copy.ts';
import { unary } from './ops/unary.ts';
import { Plan, type PlanOptions } from './plan.ts';
import type { Recording, Store } from './recording.ts';
import { type Constant, type Node, type Recorder, Tensor, type TensorMethods } from './tensor.ts';

/** How a graph is recorded. */
export interface GraphOptions {
  /** Dtype of activations: float32, or float16 (stored so, computed in f32). */
  readonly dtype?: 'float32' | 'float16' | undefined;
}

const OPTIONS = namesOf<GraphOptions>({ dtype: 1 });
const PLAN_OPTIONS = namesOf<PlanOptions>({ label: 1, fuse: 1, tuning: 1, onPipeline: 1 });

/** A recording in progress. Compiling leaves it as it is: two plans of one graph give the same numbers. */
export class Graph implements Recorder, Recording {
  /** The device that plans run on. */
  readonly gpu: Gpu;
  /** Dtype of activations, as asked for; operations store their results in it. */
  readonly dtype: 'float32' | 'float16';
  /** The operations behind Tensor's methods. */
  readonly methods: TensorMethods = { binary, unary, sliceRows, copyChannels, repeatBatch };
  readonly #nodes: Node[] = [];
  readonly #stores: Store[] = [];
  readonly #constants: Constant[] = [];
  readonly #inputs = new Map<DeviceTensor, Tensor>();

  /** @throws InputError for unknown names, or a dtype of which no activations are */
  constructor(gpu: Gpu, options: GraphOptions = {}) {
    checkNames('new Graph', options, OPTIONS);
    const { dtype = 'float32' } = options;
    if (dtype !== 'float32' && dtype !== 'float16') {
      const expected = 'float32 or float16';
      throw new InputError({ op: 'Graph', problem: 'unknown dtype', expected, value: dtype, path: 'dtype' });
    }
    this.gpu = gpu;
    this.dtype = dtype;
  }

  /** Recorded operations, in order. */
  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  /** What each run of a plan leaves in DeviceTensors, in recorded order. */
  get stores(): readonly Store[] {
    return this.#stores;
  }

  /** Fixed values, on the host; each plan uploads its own copy. */
  get constants(): readonly Constant[] {
    return this.#constants;
  }

  /** A DeviceTensor as an operand. The plan reads its values afresh on each run. */
  input(device: DeviceTensor): Tensor {
    const known = this.#inputs.get(device);
    if (known) return known;
    const value = { layout: layoutOf(device.shape), dtype: device.dtype, device };
    const tensor = new Tensor(this, value, device.shape);
    this.#inputs.set(device, tensor);
    return tensor;
  }

  /**
   * Fixed values, in torch's order, copied now and uploaded by each plan, which owns what it uploads.
   *
   * @throws ShapeError for another number of values than the shape has
   */
  constant(data: ArrayLike<number>, shape: Shape, dtype: DType = 'float32'): Tensor {
    const constant = { bytes: encode(toMemory(data, shape, dtype), dtype) };
    this.#constants.push(constant);
    return new Tensor(this, { layout: layoutOf(shape), dtype, constant }, shape);
  }

  /** Planned memory for a node's result. */
  allocate(shape: Shape, dtype: DType): Tensor {
    return new Tensor(this, { layout: layoutOf(shape), dtype }, shape);
  }

  /** Appends a node and returns its output. @throws InputError for operands of another graph */
  push(node: Node & { readonly output: Tensor }): Tensor {
    this.#checkOwn(node.kind, node.inputs());
    this.#nodes.push(node);
    return node.output;
  }

  /** Appends a node that changes DeviceTensors and has no output of its own. */
  effect(node: Node): void {
    this.#checkOwn(node.kind, node.inputs());
    this.#nodes.push(node);
  }

  /** What another graph records has no place in the plans of this one. */
  #checkOwn(op: string, tensors: readonly Tensor[]): void {
    if (tensors.every(tensor => tensor.graph === this)) return;
    const fix = 'Record both in one graph, or store one into a DeviceTensor and read it by graph.input().';
    throw new InputError({ op, problem: 'a tensor belongs to another graph', fix });
  }

  /**
   * The plan writes `tensor` into `target` on each run.
   *
   * @throws ShapeError for a target of another shape or dtype, InputError for a tensor of another graph
   */
  store(tensor: Tensor, target: DeviceTensor): void {
    if (!sameShape(tensor.shape, target.shape) || tensor.dtype !== target.dtype) {
      throw new ShapeError({
        op: 'Graph.store',
        problem: 'the target has another shape or dtype',
        expected: `${tensor.dtype} [${tensor.shape}]`,
        received: `${target.dtype} [${target.shape}]`,
      });
    }
    this.#checkOwn('Graph.store', [tensor]);
    this.#stores.push({ tensor, target: this.input(target) });
  }

  /**
   * Bytes of the largest result of what `record` records, tried in an empty graph of the same device and dtype: what a recording will
   * need is known before it is made.
   */
  largestResult(record: (trial: Graph) => void): number {
    const trial = new Graph(this.gpu, { dtype: this.dtype });
    record(trial);
    const values = trial.nodes.flatMap(({ output }) => (output ? [output.value] : []));
    return Math.max(0, ...values.map(({ layout, dtype }) => layout.rows * layout.pitch * BYTES[dtype]));
  }

  /**
   * Plans memory, compiles pipelines and builds bind groups. Plans of one graph share nothing but weights and DeviceTensors.
   *
   * @throws DeviceError where the device refuses memory or a kernel; nothing stays allocated then. InputError for tuning that
   * names an op or variant that there is not, and for unknown names
   */
  async compile(options: PlanOptions = {}): Promise<Plan> {
    checkNames('Graph.compile', options, PLAN_OPTIONS);
    return Plan.compile(this, options);
  }
}
