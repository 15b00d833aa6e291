/**
 * A compiled graph: memory planned, pipelines compiled, bind groups made. `run` replays it and creates nothing.
 */
import { DeviceError } from '../core/errors.ts';
import { type BufferSlice, createStorage, destroySlice, SLICE_ALIGN, writeSlice } from '../gpu/buffer.ts';
import type { Caps } from '../gpu/caps.ts';
import type { Gpu } from '../gpu/device.ts';
import type { WebGpuDevice } from '../gpu/webgpu-types.ts';
import { type BoundSlice, DispatchList, type ProfiledDispatch } from '../kernels/dispatch.ts';
import type { DeviceTensor } from './device-tensor.ts';
import { type Lowered, type LoweringOptions, lower, type Operand, type Step } from './lower.ts';
import { type Interval, planMemory } from './memory.ts';
import type { Recording } from './recording.ts';
import { rowBytesOf, spreadSteps } from './spread.ts';
import type { Constant, Value } from './tensor.ts';
import type { WeightReads, WeightStream } from './weight-stream.ts';

/** How a graph is compiled. */
export interface PlanOptions extends LoweringOptions {
  /** For messages and GPU tools. */
  readonly label?: string | undefined;
  /**
   * Told of the pipelines that the device has yet to build, as they come: of none first. What it throws ends the compiling.
   * @internal
   */
  readonly onPipeline?: ((done: number, of: number) => void) | undefined;
}

/** Values above it lie in parts, which come and go one by one: the first rows of a map are free before its last are read. */
const PART_BYTES = 32 * 2 ** 20;
/** Largest arena, so that every device gets the same ones: what WebGPU grants by default. */
const ARENA_BYTES = 256 * 2 ** 20;

/** A network recorded once and replayed as often as wanted. */
export class Plan {
  /** The device that it runs on. */
  readonly gpu: Gpu;
  /** Name in messages and GPU tools. */
  readonly label: string;
  /** Device bytes that the plan itself holds: arenas, uniforms and constants. Known before the first run. */
  readonly peakBytes: number;
  /** Multiply-adds counted twice, for one run. */
  readonly flops: number;
  /** @internal Which weights are read, in the order of the dispatches. */
  readonly reads: readonly WeightReads[];
  /** @internal What brings weights while the plan runs, and runs it; undefined where they lie on the device. */
  readonly stream: WeightStream | undefined;
  readonly #device: WebGpuDevice;
  readonly #list: DispatchList;
  readonly #memory: readonly BufferSlice[];
  /** What it reads and writes beside its own memory. */
  readonly #tensors: readonly DeviceTensor[];
  #disposed = false;

  private constructor(
    gpu: Gpu,
    label: string,
    list: DispatchList,
    memory: readonly BufferSlice[],
    tensors: readonly DeviceTensor[],
    work: Pick<Plan, 'flops' | 'reads'>,
  ) {
    this.gpu = gpu;
    this.#device = gpu.device;
    this.label = label;
    this.#list = list;
    this.#memory = memory;
    this.#tensors = tensors;
    this.peakBytes = memory.reduce((sum, slice) => sum + slice.size, list.uniformBytes);
    this.flops = work.flops;
    this.reads = work.reads;
    this.stream = work.reads.flatMap(({ weights }) => weights).find(w => w.stream)?.stream;
  }

  /** Dispatches in one run. */
  get dispatches(): number {
    return this.#list.length;
  }

  /** @throws DeviceError where the device refuses memory or a kernel; nothing stays allocated then */
  static async compile(recording: Recording, options: PlanOptions): Promise<Plan> {
    const { gpu, constants } = recording;
    const label = options.label ?? 'plan';
    const lowered = lower(recording, options);
    const tensors = tensorsOf(recording, lowered);
    checkThere(label, tensors);
    const layout = placesOf(lowered, gpu.caps);
    const memory: BufferSlice[] = [];
    const create = (bytes: number, name: string): BufferSlice => {
      const slice = createStorage(gpu, bytes, `${label} ${name}`, 'fewer images at once, a smaller picture');
      memory.push(slice);
      return slice;
    };
    const list = new DispatchList(gpu);
    let reads: WeightReads[] = [];
    try {
      await gpu.guarded(`Plan.compile ${label}`, () => {
        const arenas = layout.arenaBytes.map((bytes, i) => create(bytes, `arena ${i}`));
        const uploaded = new Map(constants.map(c => [c, create(c.bytes.byteLength, 'constant')]));
        for (const [{ bytes }, slice] of uploaded) writeSlice(gpu, slice, bytes);
        reads = addSteps(list, layout.steps, value => layout.place(value, arenas, uploaded));
      });
      await list.build(options.onPipeline);
    } catch (error) {
      list.dispose();
      memory.forEach(destroySlice);
      throw error;
    }
    const flops = lowered.steps.reduce((sum, s) => sum + s.call.cost.flops, 0);
    return new Plan(gpu, label, list, memory, tensors, { flops, reads });
  }

  /**
   * Submits one replay. Creates no buffer, bind group or pipeline and maps nothing; returns before the device is done.
   * @throws DeviceError once the plan, or a DeviceTensor that it reads or writes, was disposed; for a plan whose weights are
   * not on the device
   */
  run(): void {
    this.#check();
    if (this.stream) throw notThere(this.label);
    this.#list.submit();
  }

  /** @internal Submits dispatches [from, to) of a replay: all in their order make one. @throws as `run` */
  runPart(from: number, to: number): void {
    this.#check();
    this.#list.submit(from, to);
  }

  /** Wall milliseconds of each dispatch, run one at a time. */
  async profile(): Promise<ProfiledDispatch[]> {
    this.#check();
    if (this.stream) throw notThere(this.label);
    return this.#list.profile();
  }

  /** Frees arenas, uniforms and constants. Weights, DeviceTensors and other plans of the graph stay. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#list.dispose();
    this.#memory.forEach(destroySlice);
  }

  #check(): void {
    this.gpu.check(`Plan ${this.label}`);
    this.gpu.checkSame(`Plan ${this.label}`, this.#device);
    if (this.#disposed) {
      throw new DeviceError({ op: `Plan ${this.label}`, problem: 'the plan was disposed', fix: 'Compile it again.' });
    }
    checkThere(this.label, this.#tensors);
  }
}

function notThere(label: string): DeviceError {
  const fix = 'Run it by a DeviceProgram, or load the weights whole.';
  return new DeviceError({ op: `Plan ${label}`, problem: 'the weights pass through the device while it runs', fix });
}

/** The DeviceTensors that runs read and write. */
function tensorsOf({ stores }: Recording, { steps }: Lowered): DeviceTensor[] {
  const operands = [...steps.flatMap(step => Object.values(step.buffers)), ...stores.map(store => store.target)];
  const devices = operands.flatMap(operand =>
    'value' in operand && operand.value.device ? [operand.value.device] : [],
  );
  return [...new Set(devices)];
}

/** @throws DeviceError for a tensor whose memory was freed: the device would notice later, and say less */
function checkThere(label: string, tensors: readonly DeviceTensor[]): void {
  const gone = tensors.find(tensor => tensor.disposed);
  if (!gone) return;
  throw new DeviceError({
    op: `Plan ${label}`,
    problem: 'a tensor that the plan reads or writes was disposed',
    received: `${gone.dtype} [${gone.shape}]`,
    fix: 'Keep it until the last run, or record the plan again with another one.',
  });
}

/** First byte of a value, and the buffer it lies in. */
type Place = Pick<BufferSlice, 'buffer' | 'offset'>;

/** What runs on which memory: steps whose operands fit buffers, and where those will lie as soon as there are some. */
function placesOf({ steps: lowered, homes }: Lowered, caps: Caps) {
  const planned = (value: Value) => !value.device && !value.constant && !homes.has(value);
  const steps = spreadSteps(lowered, planned, caps, Math.min(caps.maxBufferBytes, PART_BYTES));
  const { intervals, index } = lifetimes(steps, planned);
  const maxArena = Math.min(caps.maxBufferBytes, ARENA_BYTES);
  const { placements, arenaBytes } = planMemory(intervals, SLICE_ALIGN, maxArena);
  const place = (
    value: Value,
    arenas: readonly BufferSlice[],
    constants: ReadonlyMap<Constant, BufferSlice>,
  ): Place => {
    const fixed = value.device?.slice ?? (value.constant && constants.get(value.constant)) ?? homes.get(value);
    if (fixed) return fixed;
    const { arena, offset } = placements[index.get(value) as number] as (typeof placements)[number];
    return { buffer: (arenas[arena] as BufferSlice).buffer, offset };
  };
  return { steps, arenaBytes, place };
}

/** Appends the steps with their tensors turned into slices of buffers. @returns which weights they read */
function addSteps(list: DispatchList, steps: readonly Step[], placeOf: (value: Value) => Place): WeightReads[] {
  const sliceOf = (operand: Operand): BoundSlice => {
    if (!('value' in operand)) return operand.slice;
    const { value, rows, rowOffset } = operand;
    const { buffer, offset } = placeOf(value);
    const rowBytes = rowBytesOf(value);
    const start = 'firstRow' in operand ? operand.firstRow * rowBytes : 0;
    return { buffer, offset: offset + rowOffset * rowBytes, size: rows * rowBytes, start };
  };
  const reads: WeightReads[] = [];
  for (const { call, buffers, tiles } of steps) {
    const slices = Object.fromEntries(Object.entries(buffers).map(([name, operand]) => [name, sliceOf(operand)]));
    const first = list.add(call, slices, Number.POSITIVE_INFINITY, tiles);
    const weights = new Set(Object.values(buffers).flatMap(o => ('value' in o ? [] : [o.parameter])));
    if (weights.size > 0) reads.push({ weights: [...weights], first });
  }
  return reads;
}

/** When each planned value is written first and read last, and which values must not share an arena. */
function lifetimes(
  steps: readonly Step[],
  planned: (value: Value) => boolean,
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
    const size = value.layout.rows * rowBytesOf(value);
    return spans.push({ first: step, last: step, size, apart: new Set() }) - 1;
  };
  steps.forEach(({ call, buffers }, step) => {
    const reads: number[] = [];
    const writes: number[] = [];
    for (const b of call.bindings) {
      const operand = buffers[b.name];
      if (!operand || !('value' in operand)) continue;
      const { value } = operand;
      if (!planned(value)) continue;
      (b.access === 'read' ? reads : writes).push(touch(value, step));
    }
    for (const w of writes) for (const r of reads) if (r !== w) spans[w]?.apart.add(r);
  });
  return { intervals: spans.map(s => ({ ...s, apart: [...s.apart] })), index };
}
