import type { Gpu } from '../../src/gpu/device.ts';
import { DeviceCall } from '../../src/pipeline/runtime/device-call.ts';
import { DeviceMemory } from '../../src/pipeline/runtime/device-memory.ts';

/** A call on a model without networks. */
export function bareCall(gpu: Gpu, dtype: 'float32' | 'float16' = 'float32'): DeviceCall {
  const memory = new DeviceMemory(gpu, dtype);
  return new DeviceCall(
    { memory, networks: [], stagingBytes: undefined, offload: false, checkDisposed: () => undefined },
    {},
  );
}
