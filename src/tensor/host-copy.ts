/** Tensors kept on the host bit by bit, in case the device is lost: copied while it works, through one buffer. */
import { dim } from '../core/shape.ts';
import { writeSlice } from '../gpu/buffer.ts';
import { MAP_READ, USAGE } from '../gpu/flags.ts';
import { destroyBuffer } from '../gpu/held-memory.ts';
import type { WebGpuBuffer } from '../gpu/webgpu-types.ts';
import type { DeviceTensor } from './device-tensor.ts';

/** The bytes of a tensor as they lie on the device. */
export type HostBytes = Uint8Array<ArrayBuffer>;

/** Entries of the first dimension. */
export interface Entries {
  /** The first one. */
  readonly from: number;
  /** How many. */
  readonly count: number;
}

/** Copies entries of one tensor to the host. */
export class HostCopy {
  readonly #tensor: DeviceTensor;
  readonly #staging: WebGpuBuffer;
  readonly #entryBytes: number;
  #pending: Promise<void> = Promise.resolve();

  /** @param most entries that are copied at once */
  constructor(tensor: DeviceTensor, most: number) {
    this.#tensor = tensor;
    // All entries are of one size; what a slice is rounded up by is less than one.
    this.#entryBytes = Math.floor(tensor.slice.size / dim(tensor.shape, 0));
    const size = Math.min(tensor.slice.size, Math.ceil((most * this.#entryBytes) / 16) * 16);
    const usage = USAGE.COPY_DST | USAGE.MAP_READ;
    this.#staging = tensor.gpu.memory.create({ label: 'read back for a lost device', size, usage });
  }

  /**
   * Submits a copy of entries behind everything submitted before. Waits for nothing but the copy before it, which has to have
   * left the buffer.
   * @param arrived given the bytes and where they lie in the tensor, once the device is so far; never where it is lost
   */
  async take({ from, count }: Entries, arrived: (bytes: HostBytes, at: number) => void): Promise<void> {
    await this.#pending;
    const { gpu, slice } = this.#tensor;
    const [at, size] = [from * this.#entryBytes, count * this.#entryBytes];
    const encoder = gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(slice.buffer, slice.offset + at, this.#staging, 0, size);
    gpu.device.queue.submit([encoder.finish()]);
    this.#pending = this.#map(size).then(
      bytes => arrived(bytes, at),
      () => undefined, // lost: the copy before it counts
    );
  }

  /** Waits until everything that was taken has arrived. */
  async settled(): Promise<void> {
    await this.#pending;
  }

  async #map(size: number): Promise<HostBytes> {
    await this.#staging.mapAsync(MAP_READ);
    try {
      return new Uint8Array(this.#staging.getMappedRange(0, size).slice(0));
    } finally {
      this.#staging.unmap();
    }
  }

  /** Frees the buffer. */
  dispose(): void {
    destroyBuffer(this.#staging);
  }
}

/** All bytes of a tensor, or those that arrived where the device was lost. */
export async function copyToHost(tensor: DeviceTensor, most: number = dim(tensor.shape, 0)): Promise<HostBytes> {
  const copy = new HostCopy(tensor, most);
  const all = new Uint8Array(tensor.slice.size);
  const entries = dim(tensor.shape, 0);
  try {
    for (let from = 0; from < entries; from += most) {
      await copy.take({ from, count: Math.min(most, entries - from) }, (bytes, at) => all.set(bytes, at));
    }
    await copy.settled();
    tensor.gpu.check('read back');
    return all;
  } finally {
    copy.dispose();
  }
}

/** Gives a tensor the bytes that one of its shape and dtype had. */
export function fromHost(tensor: DeviceTensor, bytes: HostBytes): void {
  writeSlice(tensor.gpu, tensor.slice, bytes);
}
