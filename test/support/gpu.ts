import { create, globals } from 'webgpu';
import { Gpu, type GpuOptions } from '../../src/gpu/device.ts';
import { kept, sharedDevices } from './devices.ts';

Object.assign(globalThis, globals);
const flags = ['enable-dawn-features=allow_unsafe_apis'];
const dawn = create(flags);
// Dropping what create() returns crashes the process, also after `vi.resetModules()`.
kept.push(dawn);
/** Kernels for true f16 are tested where the adapter has it; bare devices and the library's own choice cover packed halves. */
const F16 = { half: 'f16' } as const;

/** A device for tests, one per set of options and process. A missing adapter fails the test. */
export function testGpu(options: GpuOptions = {}): Promise<Gpu> {
  const key = JSON.stringify(options);
  const made = sharedDevices.get(key) ?? Gpu.request({ gpu: dawn, ...F16, ...options });
  sharedDevices.set(key, made);
  return made;
}

/** A device of its own, for tests that dispose or count. */
export function freshGpu(options: GpuOptions = {}): Promise<Gpu> {
  return Gpu.request({ gpu: dawn, ...F16, ...options });
}

export { dawn };
