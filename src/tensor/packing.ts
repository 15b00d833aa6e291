/**
 * Weights on their way to the device, in two steps: what is to be done for a list of parameters is worked out once, then run as often
 * as wanted. While one batch is read, the one before is packed and the one before that is copied.
 */
import { convertBits } from '../core/convert-bits.ts';
import type { AbortSignalLike } from '../core/platform.ts';
import { alignUp } from '../core/shape.ts';
import { readTensors, type TensorRange, type TensorSource } from '../core/tensor-source.ts';
import { SLICE_ALIGN } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { BLOCK_WORDS } from '../kernels/declarations.ts';
import { DispatchList } from '../kernels/dispatch.ts';
import { storageBytes } from '../kernels/kernel.ts';
import { packWeight } from '../kernels/pack-weight.ts';
import { type Band, bandsOf, dtypeOf, storedAs } from './bands.ts';
import { fillPanel16, fillPanel32, fillRows } from './host-pack.ts';
import {
  batchBytes,
  packsByKernel,
  SLOTS,
  type Slot,
  STAGING_BYTES,
  type Staging,
  type StagingSizes,
} from './staging.ts';
import type { Request } from './weight-request.ts';
import type { StreamableWeight } from './weight-stream.ts';

/** A band with its places in the buffers of a slot. */
interface Job {
  readonly band: Band;
  /** First byte in the mapped buffer. */
  readonly at: number;
  /** First byte of its region where that lies on the host, else undefined: it is read into the mapped buffer. */
  readonly scratch: number | undefined;
  /** Its dispatches in the list. */
  dispatches: readonly [from: number, to: number];
}

/** What is read, packed and submitted together. */
interface Batch {
  readonly jobs: Job[];
  mapped: number;
  scratch: number;
  raw: number;
}

/** How a packing runs. */
export interface RunOptions {
  /** Called after each batch with the bytes of the file that are on the device and that will be. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Looked at between reads; ends the run with its reason. */
  readonly signal?: AbortSignalLike | undefined;
  /** Called where the signal is looked at; what it throws ends the run. */
  readonly check?: (() => void) | undefined;
  /** Only these parameters; default all. */
  readonly only?: ReadonlySet<StreamableWeight> | undefined;
}

/** How a packing is cut. */
export interface PackingOptions {
  /** Bytes of all staging buffers, on the device and the host; more only for panels that are larger. Default 32 MiB. */
  readonly stagingBytes?: number | undefined;
  /** Whether kernels pack; default on all adapters but software ones. */
  readonly kernels?: boolean | undefined;
}

/** All that has to be done for parameters that have their memory. */
export class Packing {
  /** Bytes that a run reads. */
  readonly fileBytes: number;
  /** What it needs of a staging. */
  readonly sizes: StagingSizes;
  /** Bytes of the uniform blocks that `prepare` creates: none where no kernel packs. */
  readonly uniformBytes: number;
  readonly #gpu: Gpu;
  readonly #source: TensorSource;
  readonly #batches: readonly Batch[];
  #list: DispatchList | undefined;
  #staging: Staging | undefined;

  /** Cuts; creates nothing on the device. Every element of the parameters is written by a run, padding included. */
  constructor(gpu: Gpu, source: TensorSource, requests: readonly Request[], options: PackingOptions = {}) {
    const { stagingBytes = STAGING_BYTES, kernels = packsByKernel(gpu) } = options;
    this.#gpu = gpu;
    this.#source = source;
    const limit = batchBytes(stagingBytes, kernels);
    const cut = { limit: Math.min(limit, gpu.caps.maxBindingBytes), kernels, places: new Map<string, Int32Array>() };
    const bands = requests.flatMap(request => bandsOf(request, cut));
    this.#batches = batchesOf(inOrder(bands, source), limit);
    this.fileBytes = bands.reduce((sum, band) => sum + fileBytesOf(band), 0);
    const runs = bands.reduce((sum, { work }) => sum + (work.way === 'kernel' ? work.runs.length : 0), 0);
    this.uniformBytes = runs * 4 * BLOCK_WORDS;
    const most = (of: (batch: Batch) => number) => Math.max(0, ...this.#batches.map(of));
    const slots = Math.min(SLOTS, this.#batches.length);
    this.sizes = { mapped: most(b => b.mapped), scratch: most(b => b.scratch), raw: most(b => b.raw), slots };
  }

  /**
   * Binds it to the buffers that it will run through; where kernels pack, compiles them and creates their bind groups.
   *
   * @param staging of at least `sizes`
   */
  async prepare(staging: Staging): Promise<this> {
    this.#staging = staging;
    const { raw } = staging;
    if (!raw || this.uniformBytes === 0) return this;
    const list = new DispatchList(this.#gpu);
    for (const job of this.#batches.flatMap(batch => batch.jobs)) {
      const { parameter, offset, bytes, region, work } = job.band;
      if (work.way !== 'kernel') continue;
      const source = { buffer: raw.buffer, offset: job.at, size: alignUp(region, 16) };
      const packed = { buffer: parameter.slice.buffer, offset: parameter.slice.offset + offset, size: bytes };
      const from = list.length;
      for (const { piece, ...run } of work.runs) {
        const { k, taps, storage: to, layout } = parameter;
        const columns = bytes / (k * taps * storageBytes(to));
        list.add(packWeight({ ...run, from: dtypeOf(piece), to, k, taps, layout, columns }), { source, packed });
      }
      job.dispatches = [from, list.length];
    }
    this.#list = list;
    await list.build();
    return this;
  }

  /**
   * Reads, packs and submits everything; creates no buffer, bind group or pipeline. What is submitted afterwards finds the weights in
   * their places, what was submitted before is done by then. One run at a time goes through a staging.
   *
   * @throws what the source throws, WeightsError as a rule; the reason of `signal`; DeviceError for a lost device
   */
  async run({ onProgress, signal, check, only }: RunOptions = {}): Promise<void> {
    // A device that runs nothing needs no values.
    if (this.#gpu.dry) return onProgress?.(this.fileBytes, this.fileBytes);
    const slots = this.#staging?.inTurn() ?? [];
    const batches = only ? partsOf(this.#batches, only) : this.#batches;
    const heed = (): void => {
      signal?.throwIfAborted();
      check?.();
    };
    let next = 0;
    let done = 0;
    let failure: { readonly reason: unknown } | undefined;
    const work = async (slot: Slot): Promise<void> => {
      for (let batch = batches[next++]; batch && !failure; batch = batches[next++]) {
        heed();
        const mapped = await slot.bytes();
        if (failure) return;
        heed();
        await readTensors(this.#source, rangesOf(batch, mapped, slot), signal);
        heed();
        if (failure) return;
        for (const job of batch.jobs) packOnHost(job, mapped, slot);
        this.#submit(batch, slot);
        done += batch.jobs.reduce((sum, job) => sum + fileBytesOf(job.band), 0);
        onProgress?.(done, this.fileBytes);
      }
    };
    // Reads that are on their way are waited for, because they write into the buffers.
    await this.#gpu.keptFor(() =>
      Promise.all(slots.map(slot => work(slot).catch((reason: unknown) => (failure ??= { reason })))),
    );
    if (!failure) return;
    const { reason } = failure as { readonly reason: unknown };
    // A device that is lost takes its mapped memory away under the reads: the device says so, not the memory.
    if (reason instanceof TypeError) await this.#gpu.idle();
    throw reason;
  }

  #submit(batch: Batch, slot: Slot): void {
    this.#gpu.check('weight staging');
    slot.unmap();
    const { device } = this.#gpu;
    const encoder = device.createCommandEncoder();
    const raw = this.#staging?.raw;
    for (const { band, at } of batch.jobs) {
      const { parameter, offset, bytes, region } = band;
      if (band.work.way === 'kernel') {
        if (raw) encoder.copyBufferToBuffer(slot.buffer, at, raw.buffer, at, alignUp(region, 16));
      } else {
        encoder.copyBufferToBuffer(slot.buffer, at, parameter.slice.buffer, parameter.slice.offset + offset, bytes);
      }
    }
    if (this.#list && batch.raw > 0) {
      const pass = encoder.beginComputePass();
      for (const { dispatches } of batch.jobs) this.#list.encode(pass, ...dispatches);
      pass.end();
    }
    device.queue.submit([encoder.finish()]);
  }

  /** Device bytes of what `prepare` creates beside the staging. */
  get deviceBytes(): number {
    return this.#list?.uniformBytes ?? 0;
  }

  /** Frees what `prepare` created. */
  dispose(): void {
    this.#list?.dispose();
    this.#list = undefined;
  }
}

/** What batches hold of some parameters, each in its place. */
function partsOf(batches: readonly Batch[], only: ReadonlySet<StreamableWeight>): Batch[] {
  return batches.flatMap(batch => {
    const jobs = batch.jobs.filter(({ band }) => only.has(band.parameter));
    return jobs.length > 0 ? [{ ...batch, jobs }] : [];
  });
}

function fileBytesOf(band: Band): number {
  return band.segments.reduce((sum, segment) => sum + segment.bytes, 0);
}

/** In the order of the file, so that reads follow each other there. */
function inOrder(bands: readonly Band[], source: TensorSource): Band[] {
  const order = new Map([...source.tensors.keys()].map((name, i) => [name, i]));
  const place = ({ segments: [first] }: Band): number => (first ? (order.get(first.piece.stored.name) ?? 0) : 0);
  const row = ({ segments: [first] }: Band): number => first?.first ?? 0;
  return [...bands].sort((a, b) => place(a) - place(b) || row(a) - row(b));
}

function batchesOf(bands: readonly Band[], limit: number): Batch[] {
  const batches: Batch[] = [];
  let batch: Batch | undefined;
  for (const band of bands) {
    const { way } = band.work;
    const onHost = way === 'panels' || way === 'rows';
    const mapped = alignUp(onHost ? band.bytes : band.region, SLICE_ALIGN);
    const scratch = onHost ? alignUp(band.region, SLICE_ALIGN) : 0;
    if (!batch || batch.mapped + mapped > limit || batch.scratch + scratch > limit) {
      batch = { jobs: [], mapped: 0, scratch: 0, raw: 0 };
      batches.push(batch);
    }
    batch.jobs.push({ band, at: batch.mapped, scratch: onHost ? batch.scratch : undefined, dispatches: [0, 0] });
    batch.mapped += mapped;
    batch.scratch += scratch;
    if (way === 'kernel') batch.raw = batch.mapped;
  }
  return batches;
}

function rangesOf(batch: Batch, mapped: Uint8Array, slot: Slot): TensorRange[] {
  return batch.jobs.flatMap(({ band, at, scratch }) => {
    const [bytes, first] = scratch === undefined ? [mapped, at] : [slot.scratch, scratch];
    return band.segments.map(({ piece, first: row, bytes: length, count, at: own }) => {
      const start = row * (piece.inputs * piece.taps) * (length / count);
      return { name: piece.stored.name, start, into: bytes.subarray(first + own, first + own + length) };
    });
  });
}

/** Converts and packs what was read into the scratch memory. */
function packOnHost({ band, at, scratch }: Job, mapped: Uint8Array<ArrayBuffer>, slot: Slot): void {
  if (scratch === undefined) return;
  const { parameter, region, bytes, work, segments } = band;
  const to = storedAs(parameter.storage);
  const read = slot.scratch.subarray(scratch, scratch + region);
  for (const { piece, at: own, count } of segments) convertBits(read.subarray(own), count, dtypeOf(piece), to);
  const written = mapped.subarray(at, at + bytes);
  if (storageBytes(parameter.storage) === 4) {
    const [source, target] = [words(read), words(written)];
    if (work.way === 'rows') fillRows(source, work, target);
    if (work.way === 'panels') for (const fill of work.fills) fillPanel32(source, fill, target);
  } else {
    const [source, target] = [halves(read), halves(written)];
    if (work.way === 'rows') fillRows(source, work, target);
    if (work.way === 'panels') for (const fill of work.fills) fillPanel16(source, fill, target);
  }
}

function words(bytes: Uint8Array<ArrayBuffer>): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
}

function halves(bytes: Uint8Array<ArrayBuffer>): Uint16Array {
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1);
}
