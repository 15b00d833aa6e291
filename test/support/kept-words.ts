import { KEPT_BYTES } from '../../src/gpu/dry-device.ts';
import { USAGE } from '../../src/gpu/flags.ts';
import type { WebGpuDevice } from '../../src/gpu/webgpu-types.ts';

/**
 * Lets small buffers of a device that runs nothing keep what is written and copied to them, as those of a dry device do: loops
 * read their flags back, and a flag that is zero whatever was written says that a step went wrong. Everything else reads as zeros,
 * also where such a device leaves what its memory held before.
 */
export function keepWords(device: WebGpuDevice): void {
  const kept = new WeakMap<object, Uint8Array>();
  const { queue } = device;
  const [createBuffer, createCommandEncoder] = [
    device.createBuffer.bind(device),
    device.createCommandEncoder.bind(device),
  ];
  const writeBuffer = queue.writeBuffer.bind(queue);
  device.createBuffer = descriptor => {
    const buffer = createBuffer(descriptor);
    const words = descriptor.size > KEPT_BYTES ? undefined : new Uint8Array(descriptor.size);
    if (words) kept.set(buffer, words);
    if (descriptor.usage & USAGE.MAP_READ) {
      const mapped = buffer.getMappedRange.bind(buffer);
      buffer.getMappedRange = (offset = 0, size = descriptor.size - offset) => {
        const range = mapped(offset, size);
        if (words) new Uint8Array(range).set(words.subarray(offset, offset + size));
        else new Uint8Array(range).fill(0);
        return range;
      };
    }
    return buffer;
  };
  queue.writeBuffer = (buffer, offset, data, ...part) => {
    const [start = 0, bytes = data.byteLength - start] = part;
    const from = ArrayBuffer.isView(data) ? data.buffer : data;
    kept.get(buffer)?.set(new Uint8Array(from as ArrayBuffer, start, bytes), offset);
    writeBuffer(buffer, offset, data, ...part);
  };
  device.createCommandEncoder = descriptor => {
    const encoder = createCommandEncoder(descriptor);
    const copy = encoder.copyBufferToBuffer.bind(encoder) as (...all: unknown[]) => void;
    encoder.copyBufferToBuffer = ((from: object, at: number, to: object, offset: number, bytes: number): void => {
      const [source, target] = [kept.get(from), kept.get(to)];
      if (source && target) target.set(source.subarray(at, at + bytes), offset);
      copy(from, at, to, offset, bytes);
    }) as GPUCommandEncoder['copyBufferToBuffer'];
    return encoder;
  };
}
