/** The device memory of one model: everything that it allocates is counted here, and tensors are freed by scope. */
import type { DType } from '../../core/dtype.ts';
import { DeviceError } from '../../core/errors.ts';
import type { Shape } from '../../core/shape.ts';
import type { Gpu } from '../../gpu/device.ts';
import { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { Graph } from '../../tensor/graph.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { PlanLedger } from './memory-plan.ts';

/** Counts the device bytes of one model: weights, plans, tensors. */
export class DeviceMemory {
  /** Where the bytes are. */
  readonly gpu: Gpu;
  /** Of activations. */
  readonly dtype: 'float32' | 'float16';
  /** Told of phases and runs where a plan is being made; then `gpu` is a dry one. */
  readonly ledger: PlanLedger | undefined;
  /** Of the call that runs: called as a program begins to compile; what it returns is told of the pipelines that are there. */
  onCompile: (() => (done: number, of: number) => void) | undefined;
  #bytes = 0;
  #peak = 0;

  constructor(gpu: Gpu, dtype: 'float32' | 'float16' = 'float32', ledger?: PlanLedger) {
    this.gpu = gpu;
    this.dtype = dtype;
    this.ledger = ledger;
  }

  /** Held now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The most that was ever held at once. */
  get peak(): number {
    return this.#peak;
  }

  /** Adds bytes, or takes negative ones away. */
  add(bytes: number): void {
    this.#bytes += bytes;
    this.#peak = Math.max(this.#peak, this.#bytes);
  }

  /** A scope for tensors that live and die together. */
  scope(): TensorScope {
    return new TensorScope(this);
  }
}

/** Device tensors that live and die together. */
export class TensorScope {
  /** Counts its tensors. */
  readonly memory: DeviceMemory;
  readonly #tensors = new Set<DeviceTensor>();
  #disposed = false;

  constructor(memory: DeviceMemory) {
    this.memory = memory;
  }

  /** A tensor of zeros. @throws DeviceError once the scope was disposed, or where memory runs out */
  tensor(shape: Shape, dtype: DType = 'float32', label: string = 'tensor'): DeviceTensor {
    if (this.#disposed)
      throw new DeviceError({ op: 'TensorScope.tensor', problem: 'the scope was disposed', received: label });
    const tensor = DeviceTensor.create(this.memory.gpu, shape, dtype, label);
    this.#tensors.add(tensor);
    this.memory.add(tensor.bytes);
    return tensor;
  }

  /** A tensor into which every run of the graph's plan writes `result`. */
  store(graph: Graph, result: Tensor, label: string): DeviceTensor {
    const target = this.tensor(result.shape, result.dtype, label);
    graph.store(result, target);
    return target;
  }

  /** Frees them all. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const tensor of this.#tensors) {
      tensor.dispose();
      this.memory.add(-tensor.bytes);
    }
    this.#tensors.clear();
  }
}
