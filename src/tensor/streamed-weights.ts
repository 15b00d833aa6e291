/**
 * Weights that pass through two slots of device memory while plans run: read, packed and replaced again. Buffers, bind groups
 * and pipelines are made once; a replay writes, packs and computes in the order of the queue and creates nothing.
 */
import { DeviceError } from '../core/errors.ts';
import { HeldSource } from '../core/held-source.ts';
import { alignUp } from '../core/shape.ts';
import type { TensorSource } from '../core/tensor-source.ts';
import { type BufferSlice, createStorage } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { DispatchList } from '../kernels/dispatch.ts';
import type { Parameter } from './parameter.ts';
import {
  type AllocateOptions,
  addPacking,
  allocate,
  type Batch,
  batchesOf,
  type Chunk,
  type Form,
  firstByteOf,
  formOf,
  type Request,
  release,
  type UploadOptions,
  upload,
} from './upload.ts';
import type { ReplayWatch, StreamablePlan, StreamableWeight, StreamedPlan, WeightStream } from './weight-stream.ts';
import { residents, type Seat, type Stretch, seatWeights, stretchesOf } from './weight-stretches.ts';

/** How much of a network's weights is on the device at once. */
export interface StreamLimits {
  /** Bytes of each of the two slots; default 64 MiB. One weight that is larger gets a slot as large as itself. */
  readonly slotBytes?: number | undefined;
  /** Bytes of weights that stay on the device, beside biases and norms, which always do; default 0. */
  readonly residentBytes?: number | undefined;
}

const SLOT_BYTES = 64 * 2 ** 20;
/** Packings that the device has not finished when the next one is written: what a queue holds of the host's bytes. */
const MOST_IN_FLIGHT = 2;

/** What is read and packed at once, and the dispatches that do it. */
interface Packing extends Batch {
  /** For each chunk: its first dispatch, and the one behind its last. */
  readonly dispatches: readonly (readonly [from: number, to: number])[];
  /** Chunks before which their parameter is cleared: the first of one with padding, which packing does not write. */
  readonly clears: ReadonlySet<Chunk>;
}

/** A parameter that has no memory of its own. */
interface Streamed {
  readonly request: Request;
  readonly form: Form;
  readonly seat: Seat;
}

/** All device memory of a streamed network. */
interface Placement {
  /** Of what stays. */
  readonly slabs: readonly BufferSlice[];
  readonly slots: readonly BufferSlice[];
  readonly staging: BufferSlice | undefined;
  readonly streamed: readonly Streamed[];
  readonly packings: ReadonlyMap<number, readonly Packing[]>;
  readonly list: DispatchList;
}

/** A network's weights on their way through the device. */
export class StreamedWeights implements WeightStream {
  /** The device that they pass. */
  readonly gpu: Gpu;
  /** Device bytes: what stays, both slots, staging, and the numbers of the packing dispatches. */
  readonly bytes: number;
  /** Host bytes of the buffer that is read into; what a HeldSource holds comes on top. */
  readonly hostBytes: number;
  readonly #source: TensorSource;
  readonly #requests: readonly Request[];
  readonly #placement: Placement;
  readonly #seats: ReadonlyMap<StreamableWeight, Seat>;
  readonly #host: Uint8Array<ArrayBuffer>;
  /** What lies in the slots now, by slot. */
  readonly #there: { group: number; weights: Set<StreamableWeight> }[] = [];
  #flying: Promise<void>[] = [];
  #running = false;
  #disposed = false;

  private constructor(gpu: Gpu, source: TensorSource, requests: readonly Request[], placement: Placement) {
    const { slabs, slots, staging, streamed, list } = placement;
    this.gpu = gpu;
    this.#source = source;
    this.#requests = requests;
    this.#placement = placement;
    this.#seats = new Map(streamed.map(({ request, seat }) => [request.parameter, seat]));
    for (const { request, form, seat } of streamed) {
      const { buffer } = slots[seat.slot] as BufferSlice;
      request.parameter.place({ ...form, slice: { buffer, offset: seat.offset, size: form.bytes }, stream: this });
    }
    const buffers = [...slabs, ...slots, ...(staging ? [staging] : [])];
    this.bytes = buffers.reduce((sum, slice) => sum + slice.size, staging ? list.uniformBytes : 0);
    this.#host = new Uint8Array(source instanceof HeldSource ? 0 : (staging?.size ?? 0));
    this.hostBytes = this.#host.byteLength;
  }

  /**
   * Allocates, brings what stays, and prepares the rest; reads all of it once where the source holds what it reads.
   * @throws whatever the source's `read` throws; DeviceError; nothing stays allocated then
   */
  static async load(
    gpu: Gpu,
    source: TensorSource,
    requests: readonly Request[],
    options: AllocateOptions & UploadOptions & StreamLimits,
  ): Promise<StreamedWeights> {
    const made: BufferSlice[] = [];
    const list = new DispatchList(gpu);
    try {
      const placement = await gpu.guarded(`load ${source.label}`, () =>
        place(gpu, source, requests, { ...options, list, made }),
      );
      if (placement.staging) await list.build();
      const moving = new Set(placement.streamed.map(({ request }) => request));
      const staying = requests.filter(request => !moving.has(request));
      await upload(gpu, source, staying, options);
      if (source instanceof HeldSource) await holdAll(source, [...moving], options);
      return new StreamedWeights(gpu, source, requests, placement);
    } catch (error) {
      list.dispose();
      release(made, requests);
      throw error;
    }
  }

  prepare(plan: StreamablePlan): StreamedPlan {
    if (plan.reads.some(({ weights }) => weights.some(w => w.stream && w.stream !== this))) {
      const problem = 'the plan reads the streamed weights of two networks';
      throw new DeviceError({ op: `Plan ${plan.label}`, problem, fix: 'Make two plans of it.' });
    }
    const stretches = stretchesOf(plan.reads, plan.dispatches, weight => this.#seats.get(weight));
    return { run: watch => this.#run(plan, stretches, watch) };
  }

  /** Frees the device memory; a replay that runs ends with a DeviceError. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const { slabs, slots, staging, list } = this.#placement;
    list.dispose();
    release([...slabs, ...slots, ...(staging ? [staging] : [])], this.#requests);
  }

  async #run(plan: StreamablePlan, stretches: readonly Stretch[], watch: ReplayWatch): Promise<void> {
    if (this.#running) {
      const fix = 'Await one replay before the next.';
      throw new DeviceError({ op: `Plan ${plan.label}`, problem: 'the streamed weights are in use', fix });
    }
    this.#running = true;
    try {
      for (const { group, weights, from, to } of stretches) {
        if (group !== undefined) await this.#bring(group, weights, watch);
        this.#check(watch);
        plan.runPart(from, to);
      }
    } finally {
      this.#running = false;
    }
  }

  /** Fills a group's slot with what is not there yet. */
  async #bring(group: number, weights: readonly StreamableWeight[], watch: ReplayWatch): Promise<void> {
    const [first] = weights;
    const { slot } = (first && this.#seats.get(first)) ?? { slot: 0 };
    let there = this.#there[slot];
    if (there?.group !== group) {
      there = { group, weights: new Set() };
      this.#there[slot] = there;
    }
    const present = there.weights;
    const missing = new Set(weights.filter(weight => !present.has(weight)));
    if (missing.size === 0) return;
    for (const packing of this.#placement.packings.get(group) ?? []) {
      const chunks = packing.chunks.filter(chunk => missing.has(chunk.parameter));
      if (chunks.length > 0) await this.#pack(packing, chunks, watch);
    }
    for (const weight of missing) present.add(weight);
  }

  async #pack(packing: Packing, chunks: readonly Chunk[], watch: ReplayWatch): Promise<void> {
    this.#check(watch);
    if (this.#host.byteLength > 0) {
      for (const c of chunks) {
        await this.#source.read(c.piece.stored.name, firstByteOf(c), this.#host.subarray(c.offset, c.offset + c.bytes));
      }
    }
    while (this.#flying.length >= MOST_IN_FLIGHT) await this.#flying.shift();
    this.#check(watch);
    this.#write(chunks);
    this.#submit(packing, chunks);
    const done = this.gpu.idle();
    done.catch(() => undefined); // awaited above, or not at all where the replay ends early
    this.#flying.push(done);
  }

  /** Staging memory as of now; the queue copies it before anything that is submitted later. */
  #write(chunks: readonly Chunk[]): void {
    const { queue } = this.gpu.device;
    const { buffer } = this.#placement.staging as BufferSlice;
    for (const c of chunks) {
      const bytes = alignUp(c.bytes, 4);
      const held = this.#source instanceof HeldSource ? this.#source.held(c.piece.stored.name) : undefined;
      const [from, at] = held ? [held, firstByteOf(c)] : [this.#host, c.offset];
      queue.writeBuffer(buffer, c.offset, from.buffer, from.byteOffset + at, bytes);
    }
  }

  #submit({ chunks: all, dispatches, clears }: Packing, chunks: readonly Chunk[]): void {
    const { device } = this.gpu;
    const encoder = device.createCommandEncoder();
    for (const c of chunks) {
      if (!clears.has(c)) continue;
      const { buffer, offset, size } = c.parameter.slice;
      encoder.clearBuffer(buffer, offset, size);
    }
    const pass = encoder.beginComputePass();
    for (const c of chunks) {
      const [from, to] = dispatches[all.indexOf(c)] as readonly [number, number];
      this.#placement.list.encode(pass, from, to);
    }
    pass.end();
    device.queue.submit([encoder.finish()]);
  }

  #check(watch: ReplayWatch): void {
    watch.check();
    if (!this.#disposed) return;
    const problem = 'the weights left the device during a replay';
    throw new DeviceError({ op: this.#source.label, problem, fix: 'Await the call before disposing the model.' });
  }
}

/** Gives every parameter a place. What is created goes into `made` at once, so that whoever fails can free it. */
function place(
  gpu: Gpu,
  source: TensorSource,
  requests: readonly Request[],
  options: AllocateOptions & UploadOptions & StreamLimits & { list: DispatchList; made: BufferSlice[] },
): Placement {
  const { label, list, made, slotBytes = SLOT_BYTES, residentBytes = 0, stagingBytes } = options;
  const large = requests.filter(({ parameter }) => parameter.kind !== 'vector');
  const forms = new Map(large.map(request => [request, formOf(request, gpu, options)]));
  const formed = (request: Request): Form => forms.get(request) as Form;
  const stays = residents(
    large.map(request => formed(request).bytes),
    residentBytes,
  );
  const moving = large.filter((_, i) => !stays[i]);
  const seating = seatWeights(
    moving.map(request => formed(request).bytes),
    slotBytes,
  );
  const streamed = moving.map((request, i) => ({
    ...{ request, form: formed(request), seat: seating.seats[i] as Seat },
  }));
  const slabs = allocate(
    gpu,
    requests.filter(request => !moving.includes(request)),
    options,
  );
  made.push(...slabs);
  const create = (bytes: number, name: string): BufferSlice => {
    const slice = createStorage(gpu, bytes, `${label} ${name}`);
    made.push(slice);
    return slice;
  };
  const slots = seating.slotBytes.map((bytes, i) => create(bytes, `weights, slot ${i}`));
  for (const { request, form, seat } of streamed) {
    const { buffer } = slots[seat.slot] as BufferSlice;
    request.parameter.place({ ...form, slice: { buffer, offset: seat.offset, size: form.bytes } });
  }
  const batches = new Map<number, Batch[]>();
  for (const { seat } of streamed) {
    if (batches.has(seat.group)) continue;
    const members = streamed.filter(other => other.seat.group === seat.group).map(({ request }) => request);
    batches.set(seat.group, batchesOf(gpu, source, members, stagingBytes));
  }
  const most = Math.max(0, ...[...batches.values()].flat().map(batch => batch.bytes));
  const staging = most > 0 ? create(most, 'weights, staging') : undefined;
  const padded = new Set(streamed.filter(hasPadding).map(({ request }) => request.parameter));
  const packings = new Map<number, Packing[]>();
  if (staging) {
    for (const [group, own] of batches) packings.set(group, packingsOf(list, own, staging, padded));
  }
  return { slabs, slots, staging, streamed, packings, list };
}

/** Appends the dispatches of batches that share staging memory one after the other. */
function packingsOf(
  list: DispatchList,
  batches: readonly Batch[],
  staging: BufferSlice,
  padded: ReadonlySet<Parameter>,
): Packing[] {
  const begun = new Set<Parameter>();
  return batches.map(batch => {
    const clears = new Set<Chunk>();
    const dispatches = batch.chunks.map((chunk): readonly [number, number] => {
      if (padded.has(chunk.parameter) && !begun.has(chunk.parameter)) clears.add(chunk);
      begun.add(chunk.parameter);
      const from = list.length;
      addPacking(list, chunk, staging);
      return [from, list.length];
    });
    return { ...batch, dispatches, clears };
  });
}

/** Whether memory holds more than the file: what lay in the slot before would show there. */
function hasPadding({ request, form }: Streamed): boolean {
  const filled = request.pieces.reduce((sum, { outputs, inputs, taps }) => sum + outputs * inputs * taps, 0);
  return filled < form.elements;
}

async function holdAll(source: HeldSource, requests: readonly Request[], { onProgress }: UploadOptions): Promise<void> {
  const stored = requests.flatMap(({ pieces }) => pieces.map(piece => piece.stored));
  const total = stored.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let done = 0;
  for (const { name, byteLength } of stored) {
    await source.hold(name);
    done += byteLength;
    onProgress?.(done, total);
  }
}
