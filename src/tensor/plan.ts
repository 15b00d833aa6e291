/**
 * A compiled graph: memory planned, pipelines compiled, bind groups made. `run` replays it and creates nothing.
 */
import { BYTES, type DType } from '../core/dtype.ts';
import { DeviceError } from '../core/errors.ts';
import type { Shape } from '../core/shape.ts';
import { type BufferSlice, createStorage, destroySlice, SLICE_ALIGN } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { DispatchList } from '../kernels/dispatch.ts';
import type { KernelCall, Storage } from '../kernels/kernel.ts';
import type { Tuning } from '../kernels/op.ts';
import { checkTuning } from '../kernels/registry.ts';
import type { DeviceTensor } from './device-tensor.ts';
import { rewrite } from './fuse.ts';
import type { Graph, Lowering, Placed, Value } from './graph.ts';
import { type Interval, planMemory } from './memory.ts';
import { copyRows } from './ops/copy.ts';
import { storageOf } from './storage.ts';
import type { Tensor } from './tensor.ts';

/** How a graph is compiled. */
export interface PlanOptions {
  /** Merge neighbouring operations into one kernel; default true. Tests switch it off to see every activation. */
  readonly fuse?: boolean | undefined;
  /** Which variants run, where not those that a device gets by rank; default none. The same data gives the same plan. */
  readonly tuning?: Tuning | undefined;
  /** For messages and GPU tools. */
  readonly label?: string | undefined;
}

type Operand = Tensor | Placed;

interface Step {
  readonly call: KernelCall;
  readonly buffers: Readonly<Record<string, Operand>>;
}

/** A network recorded once and replayed as often as wanted. */
export class Plan {
  readonly gpu: Gpu;
  readonly label: string;
  /** Device bytes that the plan itself holds: arenas, uniforms and constants. Known before the first run. */
  readonly peakBytes: number;
  /** Multiply-adds counted twice, for one run. */
  readonly flops: number;
  readonly #list: DispatchList;
  readonly #arenas: readonly BufferSlice[];
  readonly #constants: readonly DeviceTensor[];
  #disposed = false;

  private constructor(graph: Graph, label: string, list: DispatchList, arenas: readonly BufferSlice[], flops: number) {
    this.gpu = graph.gpu;
    this.#constants = graph.constants;
    this.label = label;
    this.#list = list;
    this.#arenas = arenas;
    const constants = graph.constants.reduce((sum, c) => sum + c.bytes, 0);
    this.peakBytes = arenas.reduce((sum, a) => sum + a.size, list.uniformBytes + constants);
    this.flops = flops;
  }

  /** Dispatches in one run. */
  get dispatches(): number {
    return this.#list.length;
  }

  /** @throws DeviceError where the device refuses memory or a kernel; nothing stays allocated then */
  static async compile(graph: Graph, options: PlanOptions): Promise<Plan> {
    const { gpu } = graph;
    const label = options.label ?? 'plan';
    const { steps, homes, index, memory } = prepared(graph, options);
    const arenas: BufferSlice[] = [];
    const list = new DispatchList(gpu);
    const sliceOf = (operand: Operand): BufferSlice => {
      if (!('value' in operand)) return operand.slice;
      const { value } = operand;
      const rowBytes = value.layout.pitch * BYTES[value.dtype];
      const size = operand.rows * rowBytes;
      const home = homes.get(value);
      if (home) return { buffer: home.buffer, offset: home.offset + operand.rowOffset * rowBytes, size };
      const place = memory.placements[index.get(value) as number] as (typeof memory.placements)[number];
      const arena = arenas[place.arena] as BufferSlice;
      return { buffer: arena.buffer, offset: place.offset + operand.rowOffset * rowBytes, size };
    };
    try {
      await gpu.guarded(`Plan.compile ${label}`, () => {
        for (const [i, bytes] of memory.arenaBytes.entries())
          arenas.push(createStorage(gpu, bytes, `${label} arena ${i}`));
        for (const { call, buffers } of steps) {
          list.add(
            call,
            Object.fromEntries(Object.entries(buffers).map(([name, operand]) => [name, sliceOf(operand)])),
          );
        }
      });
      await list.build();
    } catch (error) {
      list.dispose();
      arenas.forEach(destroySlice);
      for (const constant of graph.constants) constant.dispose();
      throw error;
    }
    const flops = steps.reduce((sum, s) => sum + s.call.cost.flops, 0);
    return new Plan(graph, label, list, arenas, flops);
  }

  /** Submits one replay. Creates no buffer, bind group or pipeline and maps nothing; returns before the device is done. */
  run(): void {
    this.#check();
    this.#list.submit();
  }

  /** Wall milliseconds of each dispatch, run one at a time. */
  profile(): Promise<{ label: string; flops: number; ms: number }[]> {
    this.#check();
    return this.#list.profile();
  }

  /** Frees arenas, uniforms and constants. Weights and DeviceTensors stay. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#list.dispose();
    this.#arenas.forEach(destroySlice);
    for (const constant of this.#constants) constant.dispose();
  }

  #check(): void {
    this.gpu.check(`Plan ${this.label}`);
    if (this.#disposed) {
      throw new DeviceError({ op: `Plan ${this.label}`, problem: 'the plan was disposed', fix: 'Compile it again.' });
    }
  }
}

/** Kernel calls and the places of what they read and write; a refusal frees the graph's constants. */
function prepared(graph: Graph, options: PlanOptions) {
  try {
    const steps = lower(graph, options);
    const homes = homesOf(graph);
    const { intervals, index } = lifetimes(steps, homes);
    return { steps, homes, index, memory: planMemory(intervals, SLICE_ALIGN, graph.gpu.caps.maxBufferBytes) };
  } catch (error) {
    for (const constant of graph.constants) constant.dispose();
    throw error;
  }
}

/** Kernel calls in order, the copies for stores last. */
function lower(graph: Graph, { fuse = true, tuning }: PlanOptions): Step[] {
  if (tuning) checkTuning(tuning);
  const steps: Step[] = [];
  const lowering: Lowering = {
    caps: graph.gpu.caps,
    tuning,
    storage: (dtype: DType): Storage => storageOf(dtype, graph.gpu.caps),
    temporary: (shape: Shape, dtype: DType): Tensor => graph.allocate(shape, dtype),
    emit: (call, buffers) => {
      steps.push({ call, buffers });
    },
  };
  for (const node of rewrite(graph, fuse)) node.lower(lowering);
  const homes = homesOf(graph);
  for (const { tensor, target } of graph.stores) {
    if (homes.get(tensor.value) !== target.slice) copyRows(tensor, graph.input(target)).lower(lowering);
  }
  return steps;
}

/** Values that live in a DeviceTensor: inputs, and results stored whole into a target that the graph does not also read. */
function homesOf(graph: Graph): Map<Value, BufferSlice> {
  const homes = new Map<Value, BufferSlice>();
  const read = new Set(graph.nodes.flatMap(n => n.inputs().map(t => t.value.device)));
  for (const { tensor, target } of graph.stores) {
    const whole = tensor.rowOffset === 0 && tensor.rows === tensor.value.layout.rows;
    if (!tensor.value.device && whole && !read.has(target) && !homes.has(tensor.value))
      homes.set(tensor.value, target.slice);
  }
  const values = [
    ...graph.nodes.flatMap(n => n.inputs()),
    ...graph.stores.map(s => s.tensor),
    ...graph.stores.map(s => graph.input(s.target)),
  ];
  for (const { value } of values) if (value.device) homes.set(value, value.device.slice);
  return homes;
}

/** When each planned value is written first and read last, and which values must not share an arena. */
function lifetimes(
  steps: readonly Step[],
  homes: ReadonlyMap<Value, BufferSlice>,
): { intervals: Interval[]; index: Map<Value, number> } {
  const index = new Map<Value, number>();
  const spans: { first: number; last: number; size: number; apart: Set<number> }[] = [];
  const touch = (value: Value, step: number): number => {
    const known = index.get(value);
    if (known !== undefined) {
      (spans[known] as (typeof spans)[number]).last = step;
      return known;
    }
    index.set(value, spans.length);
    const size = value.layout.rows * value.layout.pitch * BYTES[value.dtype];
    return spans.push({ first: step, last: step, size, apart: new Set() }) - 1;
  };
  steps.forEach(({ call, buffers }, step) => {
    const reads: number[] = [];
    const writes: number[] = [];
    for (const b of call.bindings) {
      const operand = buffers[b.name];
      if (!operand || !('value' in operand) || homes.has(operand.value) || operand.value.device) continue;
      (b.access === 'read' ? reads : writes).push(touch(operand.value, step));
    }
    for (const w of writes) for (const r of reads) if (r !== w) spans[w]?.apart.add(r);
  });
  return { intervals: spans.map(s => ({ ...s, apart: [...s.apart] })), index };
}
