/** Device memory: buffers as slices, uploads, and read-back through one staging buffer a device. */

import { DeviceError } from '../core/errors.ts';
import { alignUp } from '../core/shape.ts';
import type { Gpu } from './device.ts';
import { MAP_READ, USAGE } from './flags.ts';
import { destroyBuffer } from './held-memory.ts';
import type { WebGpuBuffer } from './webgpu-types.ts';

/** Part of a GPU buffer, in bytes. `offset` is a multiple of 256. */
export interface BufferSlice {
  /** The whole buffer that the part lies in. */
  readonly buffer: WebGpuBuffer;
  /** First byte; a multiple of 256. */
  readonly offset: number;
  /** Bytes; a multiple of 16. */
  readonly size: number;
}

/** Slices start on multiples of this, which every device accepts as a binding offset. */
export const SLICE_ALIGN = 256;

/** Size of a buffer of so many bytes. @throws DeviceError beyond maxBufferSize */
function checkedSize(gpu: Gpu, bytes: number, label: string, shrinks?: string): number {
  gpu.check(label);
  const size = alignUp(Math.max(bytes, 16), 16);
  if (size <= gpu.caps.maxBufferBytes) return size;
  throw new DeviceError({
    op: label,
    problem: 'a buffer would exceed the device limit maxBufferSize',
    expected: `at most ${gpu.caps.maxBufferBytes} bytes`,
    received: size,
    fix: `Use ${shrinks ? `${shrinks}, or ` : ''}an adapter with a larger maxBufferSize.`,
  });
}

/**
 * Creates a zeroed storage buffer that can be copied from and to.
 *
 * @param shrinks what makes it smaller, for the message where it exceeds the device's largest buffer, such as 'a smaller picture'
 * @throws DeviceError beyond maxBufferSize
 */
export function createStorage(gpu: Gpu, bytes: number, label: string, shrinks?: string): BufferSlice {
  const size = checkedSize(gpu, bytes, label, shrinks);
  const usage = USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC;
  return { buffer: gpu.memory.create({ label, size, usage }), offset: 0, size };
}

/** A buffer that the host fills before the device may read it. */
export interface MappedBuffer {
  /** The whole buffer, for kernels to read once it is unmapped. */
  readonly slice: BufferSlice;
  /** Its bytes, to be filled. */
  readonly bytes: Uint8Array;
  /** Hands it to the device; `bytes` may not be touched then. */
  readonly unmap: () => void;
}

/** Creates a storage buffer whose bytes the host fills before `unmap`: the staging side of an upload. */
export function createMapped(gpu: Gpu, bytes: number, label: string): MappedBuffer {
  const size = checkedSize(gpu, bytes, label);
  const buffer = gpu.memory.create({ label, size, usage: USAGE.STORAGE, mappedAtCreation: true });
  return {
    slice: { buffer, offset: 0, size },
    bytes: new Uint8Array(buffer.getMappedRange()),
    unmap: () => buffer.unmap(),
  };
}

/** Writes bytes (a multiple of 4) at `offset` of a slice, in queue order. */
export function writeSlice(gpu: Gpu, slice: BufferSlice, data: ArrayBufferView<ArrayBuffer>, offset = 0): void {
  gpu.check('writeSlice');
  if (offset + data.byteLength > slice.size) {
    throw new DeviceError({
      op: 'writeSlice',
      problem: 'data is larger than the buffer',
      expected: slice.size,
      received: offset + data.byteLength,
    });
  }
  gpu.device.queue.writeBuffer(slice.buffer, slice.offset + offset, data.buffer, data.byteOffset, data.byteLength);
}

/** Copies a slice to the host after everything submitted before. */
export async function readSlice(gpu: Gpu, slice: BufferSlice): Promise<ArrayBuffer> {
  gpu.check('readSlice');
  const staging = createStaging(gpu, slice.size);
  try {
    return await readThrough(gpu, slice, staging);
  } finally {
    destroyBuffer(staging);
  }
}

/** Memory through which slices of up to so many bytes are read as often as wanted. */
export function createStaging(gpu: Gpu, bytes: number): WebGpuBuffer {
  const usage = USAGE.COPY_DST | USAGE.MAP_READ;
  return gpu.memory.create({ label: 'read back', size: alignUp(Math.max(bytes, 16), 16), usage });
}

/** Copies a slice to the host through memory of the caller's, one after another. Destroying that ends a copy with a DeviceError. */
export async function readThrough(gpu: Gpu, slice: BufferSlice, staging: WebGpuBuffer): Promise<ArrayBuffer> {
  gpu.check('readSlice');
  try {
    const encoder = gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(slice.buffer, slice.offset, staging, 0, slice.size);
    gpu.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ, 0, slice.size);
    gpu.check('readSlice');
    const bytes = staging.getMappedRange(0, slice.size).slice(0);
    staging.unmap();
    return bytes;
  } catch (cause) {
    gpu.check('readSlice'); // says whether the device is lost, disposed or out of memory
    if (cause instanceof DeviceError) throw cause;
    throw new DeviceError({ op: 'readSlice', problem: 'the device gave no values back', cause });
  }
}

/** Copies whole slices on the device, in queue order. */
export function copySlice(gpu: Gpu, from: BufferSlice, to: BufferSlice, bytes: number = from.size): void {
  const encoder = gpu.device.createCommandEncoder();
  encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, bytes);
  gpu.device.queue.submit([encoder.finish()]);
}

/** Frees the buffer behind a slice, and every other slice of it. */
export function destroySlice(slice: BufferSlice): void {
  destroyBuffer(slice.buffer);
}
