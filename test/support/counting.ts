import type { Gpu } from '../../src/gpu/device.ts';
import { USAGE } from '../../src/gpu/flags.ts';

/** What a device was asked for while it was watched. */
export interface Counts {
  readonly buffers: number;
  readonly bindGroups: number;
  readonly pipelines: number;
  readonly maps: number;
  readonly submits: number;
}

/** Counts what is made on a device; every buffer's bytes from creation to destruction. */
export interface Counter {
  /** Bytes that are not destroyed now. */
  readonly liveBytes: number;
  /** The most since `resetPeak`. */
  readonly peakBytes: number;
  /** The largest part of a buffer that was bound as storage. */
  readonly largestBinding: number;
  /** The largest buffer that may be bound as storage. */
  readonly largestStorage: number;
  /** The largest buffer of any kind. */
  readonly largestBuffer: number;
  resetPeak(): void;
  /** What was asked for since the last call. */
  take(): Counts;
  /** Gives the device its own methods back. */
  stop(): void;
}

const METHODS = ['createBuffer', 'createBindGroup', 'createComputePipeline', 'createComputePipelineAsync'] as const;

/** Stands between a device and its users. Buffers made before are not counted. */
export function countDevice(gpu: Gpu): Counter {
  const { device } = gpu;
  const zero = () => ({ buffers: 0, bindGroups: 0, pipelines: 0, maps: 0, submits: 0 });
  let counts = zero();
  let live = 0;
  let peak = 0;
  let bound = 0;
  let storage = 0;
  let largest = 0;
  // A dry device has fewer of them.
  const original = Object.fromEntries(METHODS.map(name => [name, device[name]?.bind(device)])) as unknown as Pick<
    GPUDevice,
    (typeof METHODS)[number]
  >;
  const submit = device.queue.submit.bind(device.queue);
  device.createBuffer = descriptor => {
    const buffer = original.createBuffer(descriptor);
    counts.buffers++;
    live += descriptor.size;
    largest = Math.max(largest, descriptor.size);
    if (descriptor.usage & USAGE.STORAGE) storage = Math.max(storage, descriptor.size);
    peak = Math.max(peak, live);
    let there = true;
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      if (there) live -= descriptor.size;
      there = false;
      return destroy();
    };
    const mapAsync = buffer.mapAsync.bind(buffer);
    buffer.mapAsync = (...args) => {
      counts.maps++;
      return mapAsync(...args);
    };
    return buffer;
  };
  device.createBindGroup = descriptor => {
    counts.bindGroups++;
    for (const { resource } of descriptor.entries) {
      if ('buffer' in resource) bound = Math.max(bound, resource.size ?? resource.buffer.size - (resource.offset ?? 0));
    }
    return original.createBindGroup(descriptor);
  };
  device.createComputePipeline = descriptor => {
    counts.pipelines++;
    return original.createComputePipeline(descriptor);
  };
  device.createComputePipelineAsync = descriptor => {
    counts.pipelines++;
    return original.createComputePipelineAsync(descriptor);
  };
  device.queue.submit = commands => {
    counts.submits++;
    return submit(commands);
  };
  return {
    get liveBytes() {
      return live;
    },
    get peakBytes() {
      return peak;
    },
    get largestBinding() {
      return bound;
    },
    get largestStorage() {
      return storage;
    },
    get largestBuffer() {
      return largest;
    },
    resetPeak() {
      peak = live;
    },
    take() {
      const taken = counts;
      counts = zero();
      return taken;
    },
    stop() {
      Object.assign(device, original);
      device.queue.submit = submit;
    },
  };
}
