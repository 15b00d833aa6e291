/** What a sampling loop asks of a scheduler: pure values for a run of n steps. Nothing of it changes the scheduler. */
import type { Mix, NoiseMix, ScheduledStep, ScheduleOptions } from '../../schedulers/index.ts';

/** A way from one noise level to the next; DDIMScheduler and DDIMInverseScheduler are some. */
export interface Sampler {
  /** T: training timesteps. */
  readonly length: number;

  /**
   * Timesteps of a run, in the order of use.
   * @param numInferenceSteps n, 1 to the number of training timesteps
   * @throws InputError for an n out of range
   */
  timestepsFor(numInferenceSteps: number): readonly number[];

  /**
   * The steps of a run from `from` to before `to`, worked out at once: a run can begin in its middle.
   * @throws InputError as timestepsFor(), or for an eta below 0
   */
  schedule(numInferenceSteps: number, options?: ScheduleOptions): readonly ScheduledStep[];

  /** Weights that bring a clean sample to a timestep's noise level. */
  addNoiseCoefficients(timestep: number): NoiseMix;

  /** How the noise follows from sample and model output at a timestep's own level. */
  getEpsilonCoefficients(timestep: number): Mix;
}
