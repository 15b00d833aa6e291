/** Recording, compiling and disposing of what runs on the device: the one place where a graph becomes a plan. */
import type { NdArray } from '../../core/ndarray.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import { Graph } from '../../tensor/graph.ts';
import type { Plan } from '../../tensor/plan.ts';
import type { ReplayWatch, StreamedPlan } from '../../tensor/weight-stream.ts';
import type { DeviceMemory, TensorScope } from './device-memory.ts';

/** Records operations into the graph and returns the tensors that go in and come out, made in the scope. */
export type Recording<T> = (graph: Graph, scope: TensorScope) => T;

/** For replays that nobody watches. */
const UNWATCHED: ReplayWatch = { check: () => undefined };

/** A plan and the tensors that it reads and writes. */
export class DeviceProgram<T> {
  /** Tensors by the names that the recording gave them. */
  readonly io: T;
  readonly #plan: Plan;
  readonly #streamed: StreamedPlan | undefined;
  readonly #scope: TensorScope;
  #disposed = false;

  private constructor(plan: Plan, io: T, scope: TensorScope) {
    this.#plan = plan;
    this.#streamed = plan.stream?.prepare(plan);
    this.io = io;
    this.#scope = scope;
    scope.memory.add(plan.peakBytes);
  }

  /**
   * Records and compiles. What fails on the way leaves nothing on the device.
   * @param label of the plan, for messages and GPU tools
   * @param check called once the plan is there; what it throws disposes the plan again
   */
  static async compile<T>(
    memory: DeviceMemory,
    label: string,
    record: Recording<T>,
    check: () => void = () => undefined,
  ): Promise<DeviceProgram<T>> {
    await memory.gpu.reclaim();
    // A device that runs nothing never waits: whoever ends a plan could not be heard.
    if (memory.gpu.dry) await new Promise(resume => setTimeout(resume));
    const scope = memory.scope();
    try {
      const graph = new Graph(memory.gpu, { dtype: memory.dtype });
      const io = record(graph, scope);
      const plan = await graph.compile({ label, onPipeline: memory.onCompile?.() });
      try {
        check();
        return new DeviceProgram(plan, io, scope);
      } catch (error) {
        plan.dispose();
        throw error;
      }
    } catch (error) {
      scope.dispose();
      throw error;
    }
  }

  /**
   * Submits one replay; returns before the device is done. Where the weights pass through the device while it runs, a promise
   * of that: until then nothing else may be written that the replay reads.
   * @param watch asked between two pieces of weights, such as the call
   * @throws whatever reading weights throws, and what the watch throws; DeviceError
   */
  run(watch: ReplayWatch = UNWATCHED): void | Promise<void> {
    this.#scope.memory.ledger?.ran(this.#plan.dispatches, this.#plan.flops);
    if (this.#streamed) return this.#streamed.run(watch);
    this.#plan.run();
  }

  /** Frees the plan and its tensors. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#plan.dispose();
    this.#scope.memory.add(-this.#plan.peakBytes);
    this.#scope.dispose();
  }
}

/** A program for one use: recorded, compiled, run, its result read, disposed. */
export async function runOnce(
  memory: DeviceMemory,
  label: string,
  record: Recording<DeviceTensor>,
  check?: () => void,
): Promise<NdArray> {
  const program = await DeviceProgram.compile(memory, label, record, check);
  try {
    await program.run();
    return { data: await program.io.read(), shape: program.io.shape };
  } finally {
    program.dispose();
  }
}
