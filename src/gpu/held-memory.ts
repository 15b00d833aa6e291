/**
 * The buffers of one device by their bytes. Every buffer of the library is made here: so it is known what is held when memory
 * runs out, and a machine that could not give it is asked before, where the device's memory is its own.
 */
import { OutOfMemoryError } from './out-of-memory.ts';
import type { WebGpuBuffer, WebGpuDevice } from './webgpu-types.ts';

/** Smaller buffers are not worth a question to the system. */
const ASKED_BYTES = 2 ** 20;

/** What the buffers that were made while some work ran were for, and their bytes. */
export interface Made {
  /** Bytes of all. */
  readonly bytes: number;
  /** Labels of the largest ones. */
  readonly what: string;
}

/** Takes a buffer's bytes off those of its device. */
const releases = new WeakMap<WebGpuBuffer, () => void>();

/** Makes and counts the buffers of one device. */
export class HeldMemory {
  readonly #device: WebGpuDevice;
  readonly #available: ((heldBytes: number) => number | undefined) | undefined;
  #held = 0;
  #destroyed = 0;
  /** Made since `begin`, or the last one where nobody began. */
  #made: { readonly label: string; readonly size: number }[] = [];
  /** What the watched work is. */
  #op: string | undefined;

  /** @param available bytes that the machine could still give; asked before buffers of a megabyte or more */
  constructor(device: WebGpuDevice, available?: (heldBytes: number) => number | undefined) {
    this.#device = device;
    this.#available = available;
  }

  /** Bytes of all buffers that were made and not destroyed. */
  get bytes(): number {
    return this.#held;
  }

  /** Bytes of the buffers that were destroyed since the last question; then none. */
  takeDestroyed(): number {
    const bytes = this.#destroyed;
    this.#destroyed = 0;
    return bytes;
  }

  /**
   * Makes a buffer.
   * @throws OutOfMemoryError where the machine has too little left, or the host cannot map it
   */
  create(descriptor: GPUBufferDescriptor): GPUBuffer {
    const { size, label = 'a buffer' } = descriptor;
    if (size >= ASKED_BYTES) this.#checkMachine(label, size);
    const buffer = this.#make(descriptor);
    this.#held += size;
    if (this.#op === undefined) this.#made = [];
    this.#made.push({ label, size });
    releases.set(buffer, () => {
      this.#held -= size;
      this.#destroyed += size;
    });
    return buffer;
  }

  /** Runs synchronous work and keeps which buffers it makes, for `made`; `op` names it in errors. */
  watch<T>(op: string, work: () => T): T {
    this.#made = [];
    this.#op = op;
    try {
      return work();
    } finally {
      this.#op = undefined;
    }
  }

  /** The buffers of the last work that was watched; else the one made last. */
  get made(): Made {
    const bytes = this.#made.reduce((sum, { size }) => sum + size, 0);
    const labels = [...new Set([...this.#made].sort((a, b) => b.size - a.size).map(({ label }) => label))];
    return { bytes, what: labels.slice(0, 3).join(', ') || 'what was made' };
  }

  /** What the device's refusal of the last buffers is. */
  exhausted(op: string, { bytes, what }: Made, { message }: GPUError): OutOfMemoryError {
    return new OutOfMemoryError(op, what, { asked: bytes, held: Math.max(0, this.#held - bytes) }, message);
  }

  /** Bytes that the machine could still give; undefined where nobody knows. */
  get room(): number | undefined {
    return this.#available?.(this.#held);
  }

  /**
   * Looks whether the machine could give so much more, before any of it is asked for.
   * @throws OutOfMemoryError
   */
  checkRoom(op: string, what: string, asked: number): void {
    const available = this.room;
    if (available === undefined || asked <= available) return;
    throw new OutOfMemoryError(op, what, { asked, held: this.#held, available });
  }

  #checkMachine(label: string, size: number): void {
    const available = this.#available?.(this.#held);
    if (available === undefined || size <= available) return;
    throw new OutOfMemoryError(this.#op ?? 'Gpu', label, { asked: size, held: this.#held, available });
  }

  #make(descriptor: GPUBufferDescriptor): GPUBuffer {
    try {
      return this.#device.createBuffer(descriptor);
    } catch (cause) {
      // A range that the host has no memory for is a RangeError; all else WebGPU tells of by its scopes.
      if (!(cause instanceof RangeError) || !descriptor.mappedAtCreation) throw cause;
      const { label = 'a buffer', size } = descriptor;
      throw new OutOfMemoryError(this.#op ?? 'Gpu', label, { asked: size, held: this.#held }, cause);
    }
  }
}

/** Destroys a buffer and takes its bytes off those that its device holds. Twice is as good as once. */
export function destroyBuffer(buffer: WebGpuBuffer): void {
  releases.get(buffer)?.();
  releases.delete(buffer);
  buffer.destroy();
}

/** Whether an error of the device says that memory ran out. */
export function isOutOfMemory(error: GPUError): boolean {
  return typeof GPUOutOfMemoryError === 'function' && error instanceof GPUOutOfMemoryError;
}
