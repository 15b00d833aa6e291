/**
 * A device that runs nothing and holds next to nothing: what is done on it tells what it would take on a real one. Buffers of a
 * few words keep what is written, because loops read their flags back; all others are zeros.
 */
import { type Caps, DEFAULT_BINDING_BYTES } from './caps.ts';
import { USAGE } from './flags.ts';
import type { WebGpuDevice } from './webgpu-types.ts';

/** A buffer that a dry device was asked for. */
export interface DryBuffer {
  /** The name that its maker gave it. */
  readonly label: string;
  /** Bytes. */
  readonly size: number;
  /** The flags of GPUBufferUsage. */
  readonly usage: number;
}

/** Told of what is asked of a dry device. */
export interface DryObserver {
  /** A buffer was made. */
  created(buffer: DryBuffer): void;
  /** It was destroyed; once a buffer. */
  destroyed(buffer: DryBuffer): void;
  /** So many bytes of a buffer were bound for a kernel. */
  bound(bytes: number): void;
}

/** What a device grants that was asked for no more than every WebGPU device has. */
export const DEFAULT_CAPS: Caps = {
  ...{ vendor: '', architecture: '', device: '', description: 'WebGPU with its default limits' },
  ...{ software: false, half: 'f16-packed', subgroupSize: 0, timestamps: false },
  maxBindingBytes: DEFAULT_BINDING_BYTES,
  grantedBindingBytes: DEFAULT_BINDING_BYTES,
  maxBufferBytes: 256 * 2 ** 20,
  maxWorkgroupBytes: 16384,
  maxInvocations: 256,
  maxStorageBuffers: 8,
  maxWorkgroups: 65535,
  storageAlign: 256,
  uniformAlign: 256,
};

/** Bytes up to which a buffer keeps what is written to it. */
export const KEPT_BYTES = 256;

/** A device without memory. Only what this library calls is there. */
export function dryDevice(observer: DryObserver): WebGpuDevice {
  let written = new ArrayBuffer(0);
  const scratch = (size: number): ArrayBuffer => {
    if (written.byteLength < size) written = new ArrayBuffer(size);
    return written;
  };
  const pass = { setPipeline() {}, setBindGroup() {}, dispatchWorkgroups() {}, end() {} };
  const encoder = { beginComputePass: () => pass, finish: () => ({}), copyBufferToBuffer, clearBuffer() {} };
  const device = {
    label: 'dry',
    lost: new Promise<never>(() => {}),
    createBuffer: (descriptor: GPUBufferDescriptor) => new HollowBuffer(descriptor, observer, scratch),
    createBindGroup: ({ entries }: GPUBindGroupDescriptor) => {
      for (const { binding, resource } of entries) {
        if (binding > 0) observer.bound((resource as GPUBufferBinding).size ?? 0); // 0 is the uniform block
      }
      return {};
    },
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createShaderModule: () => ({}),
    createComputePipelineAsync: async () => ({}),
    createCommandEncoder: () => encoder,
    pushErrorScope() {},
    popErrorScope: async () => null,
    addEventListener() {},
    destroy() {},
    queue: { submit() {}, writeBuffer, onSubmittedWorkDone: async () => {} },
  };
  return device as unknown as WebGpuDevice;
}

class HollowBuffer implements DryBuffer {
  readonly label: string;
  readonly size: number;
  readonly usage: number;
  /** Of small buffers alone. */
  readonly kept: Uint8Array<ArrayBuffer> | undefined;
  readonly #observer: DryObserver;
  readonly #scratch: (size: number) => ArrayBuffer;
  #destroyed = false;

  constructor(descriptor: GPUBufferDescriptor, observer: DryObserver, scratch: (size: number) => ArrayBuffer) {
    this.label = descriptor.label ?? '';
    this.size = descriptor.size;
    this.usage = descriptor.usage;
    this.kept = this.size <= KEPT_BYTES ? new Uint8Array(this.size) : undefined;
    this.#observer = observer;
    this.#scratch = scratch;
    observer.created(this);
  }

  getMappedRange(offset = 0, size = this.size - offset): ArrayBuffer {
    if (this.kept) return this.kept.slice(offset, offset + size).buffer;
    // What is only written may all go to one place; it is as large as the largest.
    return this.usage & USAGE.MAP_READ ? new ArrayBuffer(size) : this.#scratch(size);
  }

  async mapAsync(): Promise<void> {}

  unmap(): void {}

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#observer.destroyed(this);
  }
}

function writeBuffer(
  buffer: unknown,
  offset: number,
  data: ArrayBuffer,
  dataOffset = 0,
  bytes = data.byteLength - dataOffset,
): void {
  if (buffer instanceof HollowBuffer) buffer.kept?.set(new Uint8Array(data, dataOffset, bytes), offset);
}

function copyBufferToBuffer(from: unknown, at: number, to: unknown, offset: number, bytes: number): void {
  if (!(from instanceof HollowBuffer && to instanceof HollowBuffer)) return;
  if (from.kept && to.kept) to.kept.set(from.kept.subarray(at, at + bytes), offset);
}
