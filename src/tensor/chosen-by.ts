/** By which tuning kernels are chosen: a call's own, else that of its device. */
import type { Gpu } from '../gpu/device.ts';
import { CheckedTuning, type Tuning } from '../kernels/op.ts';
import { checkTuning } from '../kernels/registry.ts';

/**
 * The tuning of a plan or of weights.
 * @param named the caller's; it takes the place of the device's, all of it
 * @returns checked, undefined where there is none
 * @throws InputError for names that there are not
 */
export function chosenBy(gpu: Gpu, named: Tuning | undefined): Tuning | undefined {
  const asked: Tuning | undefined = named ?? gpu.choices;
  return asked === undefined || asked instanceof CheckedTuning ? asked : checkTuning(asked);
}
