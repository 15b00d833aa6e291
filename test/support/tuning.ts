import type { Caps } from '../../src/gpu/caps.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { KERNELS_HASH, LIBRARY_VERSION } from '../../src/tuning/built-from.ts';
import { adapterOf, factsOf, type MeasuredChoice, type TuningTable } from '../../src/tuning/table.ts';

/** A table as if somebody had measured on a device. */
export function tableOf(
  caps: Caps,
  choices: readonly MeasuredChoice[],
  changed: Partial<TuningTable> = {},
): TuningTable {
  return {
    ...{ version: 1, library: LIBRARY_VERSION, adapter: adapterOf(caps), device: factsOf(caps), kernels: KERNELS_HASH },
    ...{ made: '2026-11-27T00:00:00.000Z', clock: 'clock', choices },
    ...changed,
  };
}

/** Labels of the kernels that a device was asked to build since, each once. */
export function builtOn(gpu: Gpu): ReadonlySet<string> {
  const labels = new Set<string>();
  const { device } = gpu;
  const create = device.createComputePipelineAsync.bind(device);
  device.createComputePipelineAsync = descriptor => {
    labels.add(descriptor.label ?? '');
    return create(descriptor);
  };
  return labels;
}
