/**
 * The networks and what they occupy: weights that stream in and out, compiled plans, tensors. One place counts the device bytes.
 */

import type { DType } from '../../core/dtype.ts';
import { DeviceError } from '../../core/errors.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { Shape } from '../../core/shape.ts';
import type { Gpu } from '../../gpu/device.ts';
import type { LoadedWeights } from '../../nn/load.ts';
import type { Weights } from '../../nn/weights.ts';
import { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { Graph } from '../../tensor/graph.ts';
import type { Plan } from '../../tensor/plan.ts';

/** Counts the device bytes of one pipeline. */
export class Memory {
  #bytes = 0;
  #peak = 0;

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
}

/** Device tensors that live and die together. */
export class Scope {
  readonly gpu: Gpu;
  readonly memory: Memory;
  readonly #tensors = new Set<DeviceTensor>();
  #disposed = false;

  constructor(gpu: Gpu, memory: Memory) {
    this.gpu = gpu;
    this.memory = memory;
  }

  /** A tensor of zeros. */
  tensor(shape: Shape, dtype: DType = 'float32', label: string = 'tensor'): DeviceTensor {
    if (this.#disposed)
      throw new DeviceError({ op: 'Scope.tensor', problem: 'the scope was disposed', received: label });
    const tensor = DeviceTensor.create(this.gpu, shape, dtype, label);
    this.#tensors.add(tensor);
    this.memory.add(tensor.bytes);
    return tensor;
  }

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

/** A plan and the tensors that it reads and writes. */
export class Program<T> {
  readonly plan: Plan;
  /** Tensors by the names that the maker gave them. */
  readonly io: T;
  readonly #scope: Scope;
  #disposed = false;

  constructor(plan: Plan, io: T, scope: Scope) {
    this.plan = plan;
    this.io = io;
    this.#scope = scope;
    scope.memory.add(plan.peakBytes);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.plan.dispose();
    this.#scope.memory.add(-this.plan.peakBytes);
    this.#scope.dispose();
  }
}

/** Told of the bytes read so far, of how many. */
export type LoadProgress = (done: number, total: number) => void;

export interface LoadCall {
  readonly signal?: AbortSignalLike | undefined;
  readonly onProgress?: LoadProgress | undefined;
}

/** One network: its modules, its checkpoint, and, while it is on the device, its weights and plans. */
export class Component<M> {
  readonly name: string;
  readonly model: M;
  readonly #weights: Weights;
  readonly #gpu: Gpu;
  readonly #memory: Memory;
  readonly #dtype: 'float32' | 'float16';
  readonly #stagingBytes: number | undefined;
  readonly #programs = new Map<string, Program<unknown>>();
  readonly #attached = new Set<{ dispose(): void }>();
  #loaded: LoadedWeights | undefined;
  /** Counts unloadings: what was begun before one must not be kept after it. */
  #unloads = 0;

  constructor(
    name: string,
    model: M,
    weights: Weights,
    home: { gpu: Gpu; memory: Memory; dtype: 'float32' | 'float16'; stagingBytes?: number | undefined },
  ) {
    this.name = name;
    this.model = model;
    this.#weights = weights;
    this.#gpu = home.gpu;
    this.#memory = home.memory;
    this.#dtype = home.dtype;
    this.#stagingBytes = home.stagingBytes;
  }

  get loaded(): boolean {
    return this.#loaded !== undefined;
  }

  /** Streams the weights to the device unless they are there. */
  async load(call: LoadCall = {}): Promise<void> {
    if (this.#loaded) return;
    const before = this.#unloads;
    const loaded = await this.#weights.load(this.#gpu, {
      dtype: this.#dtype,
      stagingBytes: this.#stagingBytes,
      ...call,
    });
    if (before !== this.#unloads) {
      loaded.dispose();
      throw this.#gone();
    }
    this.#loaded = loaded;
    this.#memory.add(loaded.bytes);
  }

  /**
   * The compiled program under `key`; where there is none, `record` writes it down first. Only the `keep` latest are kept.
   * @param record records into the graph; gets a scope for the tensors that go in and come out
   */
  async program<T>(
    key: string,
    keep: number,
    record: (graph: Graph, scope: Scope) => T,
    newGraph: () => Graph,
  ): Promise<Program<T>> {
    const known = this.#programs.get(key) as Program<T> | undefined;
    if (known) {
      this.#programs.delete(key);
      this.#programs.set(key, known); // now the latest
      return known;
    }
    for (const [old, program] of [...this.#programs].slice(0, Math.max(0, this.#programs.size - keep + 1))) {
      this.#programs.delete(old);
      program.dispose();
    }
    const scope = new Scope(this.#gpu, this.#memory);
    const before = this.#unloads;
    try {
      const graph = newGraph();
      const io = record(graph, scope);
      const plan = await graph.compile({ label: `${this.name} ${key}` });
      if (before !== this.#unloads) {
        plan.dispose();
        throw this.#gone();
      }
      const program = new Program(plan, io, scope);
      this.#programs.set(key, program);
      return program;
    } catch (error) {
      scope.dispose();
      throw error;
    }
  }

  /** Something on the device that is worth nothing without this network: `unload` disposes it too. */
  attach(thing: { dispose(): void }): void {
    this.#attached.add(thing);
  }

  /** Disposes an attached thing before its time. */
  detach(thing: { dispose(): void }): void {
    this.#attached.delete(thing);
    thing.dispose();
  }

  /** Frees the plans and what they hold; the weights stay. */
  rest(): void {
    for (const program of this.#programs.values()) program.dispose();
    this.#programs.clear();
  }

  /** Frees everything on the device. The component can be loaded again. */
  unload(): void {
    this.#unloads++;
    this.rest();
    for (const thing of this.#attached) thing.dispose();
    this.#attached.clear();
    if (!this.#loaded) return;
    this.#memory.add(-this.#loaded.bytes);
    this.#loaded.dispose();
    this.#loaded = undefined;
  }

  #gone(): DeviceError {
    return new DeviceError({
      op: this.name,
      problem: 'the network left the device while it was made ready',
      fix: 'Await the call before disposing the pipeline.',
    });
  }
}
