/** The device of a command. */
import type { Gpu } from '../gpu/device.ts';
import { requestGpu } from '../node/device.ts';
import { paceDawn } from './dawn-pace.ts';

/**
 * Takes a device; on a software one, waiting leaves the processor to the work.
 * @param adapterName any part of the adapter's name; undefined for Dawn's choice
 * @throws as requestGpu
 */
export async function openDevice(adapterName: string | undefined): Promise<Gpu> {
  const gpu = await requestGpu({ adapterName });
  if (gpu.caps.software) paceDawn();
  return gpu;
}
