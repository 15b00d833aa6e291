/**
 * Weights that pass through two slots of device memory while plans run: read, packed and replaced again. Buffers, bind groups
 * and pipelines are made once; a replay reads, packs and computes in the order of the queue and creates nothing.
 */
import { DeviceError } from '../core/errors.ts';
import { HeldSource } from '../core/held-source.ts';
import type { TensorSource } from '../core/tensor-source.ts';
import { type BufferSlice, createStorage } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { Packing } from './packing.ts';
import { largestSizes, SLOTS, Staging } from './staging.ts';
import { type AllocateOptions, allocate, formOf, type Request, release, type UploadOptions } from './upload.ts';
import type { ReplayWatch, StreamablePlan, StreamableWeight, StreamedPlan, WeightStream } from './weight-stream.ts';
import { residents, type Seat, type Stretch, seatWeights, stretchesOf } from './weight-stretches.ts';

/** How much of a network's weights is on the device at once. */
export interface StreamLimits {
  /** Bytes of each of the two slots; default 64 MiB. One weight that is larger gets a slot as large as itself. */
  readonly slotBytes?: number | undefined;
  /** Bytes of weights that stay on the device, beside biases and norms, which always do; default 0. */
  readonly residentBytes?: number | undefined;
}

/** How weights are brought, all of it. */
type StreamOptions = AllocateOptions & UploadOptions & StreamLimits;

/** Bytes of a slot where nobody says how many; the largest weight of the UNet of SD 2.1 in float16 has 59 MB. */
export const SLOT_BYTES: number = 64 * 2 ** 20;
/** Weights that come together, where they are smaller: fewer submissions, and the device still starts early. */
const STRETCH_BYTES = 4 * 2 ** 20;

/** What is created for a streamed network, in the order in which it is. */
interface Placement {
  /** Buffers of what stays, then the slots. */
  readonly buffers: BufferSlice[];
  readonly seats: Map<StreamableWeight, Seat>;
  /** By group. */
  readonly packings: Packing[];
  staging: Staging | undefined;
}

/** A network's weights on their way through the device. */
export class StreamedWeights implements WeightStream {
  /** The device that they pass. */
  readonly gpu: Gpu;
  /** Device bytes: what stays, both slots, staging, and the numbers of the packing dispatches. */
  readonly bytes: number;
  /** Host bytes of the buffers that are read into; what a HeldSource holds comes on top. */
  readonly hostBytes: number;
  readonly #label: string;
  readonly #requests: readonly Request[];
  readonly #placement: Placement;
  /** What lies in the slots now, by slot. */
  readonly #there: { group: number; weights: Set<StreamableWeight> }[] = [];
  #running = false;
  #disposed = false;

  private constructor(gpu: Gpu, label: string, requests: readonly Request[], placement: Placement) {
    const { buffers, staging, packings } = placement;
    this.gpu = gpu;
    this.#label = label;
    this.#requests = requests;
    this.#placement = placement;
    const fixed = buffers.reduce((sum, slice) => sum + slice.size, staging?.deviceBytes ?? 0);
    this.bytes = packings.reduce((sum, packing) => sum + packing.deviceBytes, fixed);
    this.hostBytes = staging?.hostBytes ?? 0;
    for (const { parameter } of requests) {
      if (!placement.seats.has(parameter)) continue;
      const { slice, storage, layout } = parameter;
      parameter.place({ slice, storage, layout, stream: this });
    }
  }

  /**
   * Allocates, brings what stays, and prepares the rest; reads all of it once where the source holds what it reads.
   * @throws whatever the source's `read` throws; DeviceError; the signal's reason; nothing stays allocated then
   */
  static async load(
    gpu: Gpu,
    source: TensorSource,
    requests: readonly Request[],
    options: StreamOptions,
  ): Promise<StreamedWeights> {
    const placement: Placement = { buffers: [], seats: new Map(), packings: [], staging: undefined };
    let staying: Packing | undefined;
    try {
      const { stay, groups } = await gpu.guarded(`load ${source.label}`, () =>
        place(gpu, requests, options, placement),
      );
      staying = new Packing(gpu, source, stay, options);
      placement.packings.push(...groups.map(group => new Packing(gpu, source, group, options)));
      const all = [staying, ...placement.packings];
      const sizes = largestSizes(all.map(packing => packing.sizes));
      // Packings of one batch follow each other: all of them together take turns.
      placement.staging = await Staging.create(gpu, groups.length > 0 ? { ...sizes, slots: SLOTS } : sizes);
      for (const packing of all) await packing.prepare(placement.staging);
      const held = source instanceof HeldSource ? groups.flat() : [];
      await bringAndHold(source, staying, held, options);
      if (groups.length === 0) {
        await gpu.idle();
        placement.staging.dispose();
        placement.staging = undefined;
      }
      return new StreamedWeights(gpu, source.label, requests, placement);
    } catch (error) {
      free(placement, requests);
      throw error;
    } finally {
      staying?.dispose();
    }
  }

  prepare(plan: StreamablePlan): StreamedPlan {
    if (plan.reads.some(({ weights }) => weights.some(w => w.stream && w.stream !== this))) {
      const problem = 'the plan reads the streamed weights of two networks';
      throw new DeviceError({ op: `Plan ${plan.label}`, problem, fix: 'Make two plans of it.' });
    }
    const seatOf = (weight: StreamableWeight): Seat | undefined => this.#placement.seats.get(weight);
    const stretches = stretchesOf(plan.reads, plan.dispatches, seatOf, STRETCH_BYTES);
    return { run: watch => this.#run(plan, stretches, watch) };
  }

  /** Frees the device memory; a replay that runs ends with a DeviceError, and staging goes with its last read. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (!this.#running) free(this.#placement, this.#requests);
    else free({ ...this.#placement, staging: undefined }, this.#requests);
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
      if (this.#disposed) this.#placement.staging?.dispose();
    }
  }

  /** Puts weights into their group's slot, unless they are there. */
  async #bring(group: number, weights: readonly StreamableWeight[], watch: ReplayWatch): Promise<void> {
    const [first] = weights;
    const { slot } = (first && this.#placement.seats.get(first)) ?? { slot: 0 };
    let there = this.#there[slot];
    if (there?.group !== group) this.#there[slot] = there = { group, weights: new Set() };
    const present = there.weights;
    const only = new Set(weights.filter(weight => !present.has(weight)));
    if (only.size === 0) return;
    const check = (): void => this.#check(watch);
    await this.#placement.packings[group]?.run({ only, check, signal: watch.signal });
    for (const weight of only) present.add(weight);
  }

  #check(watch: ReplayWatch): void {
    watch.check();
    if (!this.#disposed) return;
    const problem = 'the weights left the device during a replay';
    throw new DeviceError({ op: this.#label, problem, fix: 'Await the call before disposing the model.' });
  }
}

/**
 * Gives every parameter a place. What is created goes into `placement` at once, so that whoever fails can free it.
 * @returns what stays, and what shares a slot, in groups
 */
function place(
  gpu: Gpu,
  requests: readonly Request[],
  options: StreamOptions,
  placement: Placement,
): { stay: Request[]; groups: Request[][] } {
  const { label, slotBytes = SLOT_BYTES, residentBytes = 0 } = options;
  const large = requests.filter(({ parameter }) => parameter.kind !== 'vector');
  const formed = large.map(request => ({ request, form: formOf(request, gpu, options) }));
  const kept = residents(
    formed.map(({ form }) => form.bytes),
    residentBytes,
  );
  const moving = formed.filter((_, i) => !kept[i]);
  const moves = new Set(moving.map(({ request }) => request));
  const stay = requests.filter(request => !moves.has(request));
  placement.buffers.push(...allocate(gpu, stay, options));
  const seating = seatWeights(
    moving.map(({ form }) => form.bytes),
    slotBytes,
  );
  const slots = seating.slotBytes.map((bytes, i) => {
    const slot = createStorage(gpu, bytes, `${label} weights, slot ${i}`);
    placement.buffers.push(slot);
    return slot;
  });
  const groups: Request[][] = [];
  for (const [i, { request, form }] of moving.entries()) {
    const seat = seating.seats[i] as Seat;
    const { buffer } = slots[seat.slot] as BufferSlice;
    request.parameter.place({ ...form, slice: { buffer, offset: seat.offset, size: form.bytes } });
    placement.seats.set(request.parameter, seat);
    groups[seat.group] = [...(groups[seat.group] ?? []), request];
  }
  return { stay, groups };
}

function free({ buffers, staging, packings }: Placement, requests: readonly Request[]): void {
  for (const packing of packings) packing.dispose();
  staging?.dispose();
  release(buffers, requests);
}

/** Brings what stays, and reads the tensors of the others for later. */
async function bringAndHold(
  source: TensorSource,
  staying: Packing,
  held: readonly Request[],
  { signal, onProgress }: UploadOptions,
): Promise<void> {
  const names = held.flatMap(({ pieces }) => pieces.map(({ stored }) => stored.name));
  const more = held.flatMap(({ pieces }) => pieces).reduce((sum, { stored }) => sum + stored.byteLength, 0);
  const total = staying.fileBytes + more;
  await staying.run({ signal, onProgress: done => onProgress?.(done, total) });
  if (!(source instanceof HeldSource)) return;
  await source.holdAll(names, { signal, onProgress: done => onProgress?.(staying.fileBytes + done, total) });
}
