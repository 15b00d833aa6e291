/** Which steps a phase takes: pure, so that a refused call leaves the schedulers as they are. */
import type { ScheduledStep } from '../../schedulers/index.ts';
import type { Sampler } from '../diffusion/sampler.ts';
import { stepsOf } from '../diffusion/steps-of.ts';

/** What a schedule depends on. */
interface Share {
  /** N of the whole schedule. */
  readonly numInferenceSteps: number;
  readonly inpaintStrength: number;
}

/**
 * The timestep whose noise the maps get.
 * @throws InputError where the scheduler refuses the number of steps, or none is left
 */
export function maskTimestep(
  op: string,
  sampler: Sampler,
  s: { readonly numInferenceSteps: number; readonly maskEncodeStrength: number },
): number {
  const all = sampler.timestepsFor(s.numInferenceSteps);
  return all.at(-stepsOf(op, all.length, s.maskEncodeStrength, 'maskEncodeStrength')) as number;
}

/**
 * The steps of an inversion, ascending.
 * @throws as maskTimestep
 */
export function invertSchedule(op: string, sampler: Sampler, s: Share): readonly ScheduledStep[] {
  const { length } = sampler.timestepsFor(s.numInferenceSteps);
  const to = stepsOf(op, length, s.inpaintStrength, 'inpaintStrength');
  return sampler.schedule(s.numInferenceSteps, { to });
}

/**
 * The steps of an edit, descending.
 * @throws as maskTimestep
 */
export function editSchedule(
  op: string,
  sampler: Sampler,
  s: Share & { readonly eta: number },
): readonly ScheduledStep[] {
  const { length } = sampler.timestepsFor(s.numInferenceSteps);
  const from = length - stepsOf(op, length, s.inpaintStrength, 'inpaintStrength');
  return sampler.schedule(s.numInferenceSteps, { eta: s.eta, from });
}
