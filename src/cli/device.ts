/** The device of a command. */
import type { Gpu } from '../gpu/device.ts';
import { requestGpu } from '../node/device.ts';
import { paceDawn } from './dawn-pace.ts';
import type { DeviceOptions } from './options.ts';

/**
 * Takes a device; on a software one, waiting leaves the processor to the work.
 * @param o.device any part of the adapter's name; undefined for Dawn's choice
 * @param o.maxBinding bytes; undefined for what the adapter allows
 * @param o.trusted leaves out Dawn's checks of indices
 * @throws as requestGpu
 */
export async function openDevice({
  device,
  maxBinding,
  trusted,
}: Pick<DeviceOptions, 'device' | 'maxBinding' | 'trusted'>): Promise<Gpu> {
  const gpu = await requestGpu({ adapterName: device, maxBindingBytes: maxBinding, trusted });
  if (gpu.caps.software) paceDawn();
  return gpu;
}
