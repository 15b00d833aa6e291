/** Memory that weights pass through on their way from a file to the device, used over and over. */
import { DeviceError } from '../core/errors.ts';
import { alignUp } from '../core/shape.ts';
import { type BufferSlice, createStorage, destroySlice, SLICE_ALIGN } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { MAP_WRITE, USAGE } from '../gpu/flags.ts';
import { destroyBuffer } from '../gpu/held-memory.ts';
import type { WebGpuBuffer } from '../gpu/webgpu-types.ts';

/** Bytes in all unless the caller says otherwise. */
export const STAGING_BYTES: number = 32 * 2 ** 20;
/** Batches on their way: one is read, one waits or is packed, one is copied. */
export const SLOTS = 3;

/** Bytes of the buffers of one staging. */
export interface StagingSizes {
  /** Of each buffer that the host fills and the device copies from. */
  readonly mapped: number;
  /** Of each host buffer that rows are read into before the host packs them. */
  readonly scratch: number;
  /** Of the device's copy of what a kernel packs. */
  readonly raw: number;
  /** How many batches can be on their way. */
  readonly slots: number;
}

/** Bytes that one batch may take, so that all buffers together stay within `bytes`. */
export function batchBytes(bytes: number, kernels: boolean): number {
  return Math.floor(bytes / (2 * SLOTS + (kernels ? 1 : 0)) / SLICE_ALIGN) * SLICE_ALIGN;
}

/** The largest of several, for packings that follow each other through one staging. */
export function largestSizes(sizes: readonly StagingSizes[]): StagingSizes {
  const most = (of: (s: StagingSizes) => number) => Math.max(0, ...sizes.map(of));
  return {
    mapped: most(s => s.mapped),
    scratch: most(s => s.scratch),
    raw: most(s => s.raw),
    slots: most(s => s.slots),
  };
}

let submissions = 0;

/** A buffer that the host fills again as soon as the device has copied from it, and the memory beside it. */
export class Slot {
  /** What the device copies from. */
  readonly buffer: WebGpuBuffer;
  /** When it was handed to the device for the last time, counted in such events; 0 for never. */
  used = 0;
  readonly #gpu: Gpu;
  readonly #scratchBytes: number;
  #scratch: Uint8Array<ArrayBuffer> | undefined;
  #bytes: Uint8Array<ArrayBuffer> | undefined;

  constructor(gpu: Gpu, sizes: StagingSizes) {
    this.#gpu = gpu;
    const usage = USAGE.MAP_WRITE | USAGE.COPY_SRC;
    this.buffer = gpu.memory.create({
      label: 'weight staging',
      size: sizes.mapped,
      usage,
      mappedAtCreation: true,
    });
    this.#scratchBytes = sizes.scratch;
    this.#bytes = new Uint8Array(this.buffer.getMappedRange());
  }

  /** Host memory for what is not read into place. */
  get scratch(): Uint8Array<ArrayBuffer> {
    this.#scratch ??= new Uint8Array(this.#scratchBytes);
    return this.#scratch;
  }

  /** The buffer's bytes, once the device has done what was submitted with it. */
  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    // What a run that failed has left is mapped still.
    if (this.#bytes) return this.#bytes;
    try {
      await this.buffer.mapAsync(MAP_WRITE);
    } catch (cause) {
      this.#gpu.check('weight staging'); // says whether the device is lost, disposed or out of memory
      throw new DeviceError({ op: 'weight staging', problem: 'the device did not give its memory back', cause });
    }
    this.#bytes = new Uint8Array(this.buffer.getMappedRange());
    return this.#bytes;
  }

  /** Hands the bytes to the device; before the submission that copies them. */
  unmap(): void {
    this.#bytes = undefined;
    this.used = ++submissions;
    this.buffer.unmap();
  }
}

/** The buffers of packings, one of which may run at a time. */
export class Staging {
  /** What its packings may take of it. */
  readonly sizes: StagingSizes;
  /** Takes turns. */
  readonly slots: readonly Slot[];
  /** What kernels read; undefined where none does. */
  readonly raw: BufferSlice | undefined;

  private constructor(sizes: StagingSizes, slots: readonly Slot[], raw: BufferSlice | undefined) {
    this.sizes = sizes;
    this.slots = slots;
    this.raw = raw;
  }

  /**
   * Creates the buffers.
   *
   * @param sizes what the packings that will run need, as `largestSizes` says of them
   * @throws DeviceError for memory that the device refuses
   */
  static async create(gpu: Gpu, sizes: StagingSizes): Promise<Staging> {
    const size = (bytes: number) => alignUp(Math.max(bytes, 16), 16);
    const exact = { ...sizes, mapped: size(sizes.mapped) };
    const slots: Slot[] = [];
    let raw: BufferSlice | undefined;
    try {
      await gpu.guarded('weight staging', () => {
        while (slots.length < sizes.slots) slots.push(new Slot(gpu, exact));
        if (sizes.raw > 0) raw = createStorage(gpu, sizes.raw, 'weights as stored');
      });
    } catch (error) {
      for (const slot of slots) destroyBuffer(slot.buffer);
      if (raw) destroySlice(raw);
      throw error;
    }
    return new Staging(exact, slots, raw);
  }

  /** The slots, those first that the device gives back first: packings that follow each other do not wait for the same one. */
  inTurn(): Slot[] {
    return [...this.slots].sort((a, b) => a.used - b.used);
  }

  /** Device bytes, as they were created. */
  get deviceBytes(): number {
    return this.slots.length * this.sizes.mapped + (this.raw?.size ?? 0);
  }

  /** Host bytes. */
  get hostBytes(): number {
    return this.slots.length * this.sizes.scratch;
  }

  /** Frees them; work that was submitted is done all the same. */
  dispose(): void {
    for (const slot of this.slots) destroyBuffer(slot.buffer);
    if (this.raw) destroySlice(this.raw);
  }
}

/** Whether kernels pack on a device: not on software adapters, where the host takes a hundredth of the time. */
export function packsByKernel({ caps }: Pick<Gpu, 'caps'>): boolean {
  return !caps.software;
}
