/** What support/gpu.ts is in a page: the browser's own WebGPU. */
import { Gpu, type GpuOptions } from '../../src/gpu/device.ts';

/** Kernels for true f16 are tested where the adapter has it; bare devices and the library's own choice cover packed halves. */
const F16 = { half: 'f16' } as const;
const shared = new Map<string, Promise<Gpu>>();

/** A device for tests, one per set of options and page. A missing adapter fails the test. */
export function testGpu(options: GpuOptions = {}): Promise<Gpu> {
  const key = JSON.stringify(options);
  const made = shared.get(key) ?? Gpu.request({ ...F16, ...options });
  shared.set(key, made);
  return made;
}

/** A device of its own, for tests that dispose or count. */
export function freshGpu(options: GpuOptions = {}): Promise<Gpu> {
  return Gpu.request({ ...F16, ...options });
}
