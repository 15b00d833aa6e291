/** What the forward and the inverse scheduler share. Plain numbers; nothing here knows of a device. */
import { InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { NdArray } from '../core/ndarray.ts';
import type { DDIMInverseFields, SchedulerConfig } from './config.ts';
import { NoiseTable } from './noise-table.ts';
import { mixWithNoise, type NoiseMix } from './noising.ts';
import { type Mix, predictionMixes, type StepCoefficients } from './update.ts';

const f32 = Math.fround;

/** One step of a run: the timestep at which the model is evaluated, and the numbers of the update. */
export interface ScheduledStep {
  /** The noise level that the model is told, 0 to T - 1. */
  readonly timestep: number;
  /** All numbers of the update. */
  readonly coefficients: StepCoefficients;
}

/** Which part of a schedule, and how much fresh noise. */
export interface ScheduleOptions {
  /** Share of fresh noise a step, >= 0, for DDIMScheduler only; default 0. */
  readonly eta?: number;
  /** Number of the first step, 0 to N; default 0. */
  readonly from?: number;
  /** Number behind the last step, 0 to N; default N. */
  readonly to?: number;
}

const SCHEDULE = namesOf<ScheduleOptions>({ eta: 1, from: 1, to: 1 });

/** Tables, config and noising that DDIMScheduler and DDIMInverseScheduler have in common. */
export abstract class DiffusionScheduler<F extends DDIMInverseFields> extends NoiseTable<F> {
  /** Model evaluations per step. */
  readonly order = 1;
  /** Deviation of the noise that sampling starts from. */
  readonly initNoiseSigma = 1;
  /** Timesteps in the order of use; all T before setTimesteps(). */
  timesteps: readonly number[];
  /** N, or null before setTimesteps(). */
  numInferenceSteps: number | null = null;

  constructor(config: SchedulerConfig<F>, timesteps: readonly number[]) {
    super(config);
    this.timesteps = timesteps;
  }

  /**
   * Timesteps of a run, in the order of use: descending for DDIMScheduler, ascending for its inverse. Changes nothing.
   * @param numInferenceSteps N, 1 to T
   * @throws InputError when N is outside that range, or for a spacing that the scheduler does not know
   */
  abstract timestepsFor(numInferenceSteps: number): readonly number[];

  /** The numbers of the step at a timestep, `stride` training timesteps a step; by default those of setTimesteps(). */
  protected abstract coefficientsAt(timestep: number, stride: number | undefined, eta: number): StepCoefficients;

  /**
   * Chooses the timesteps of a run, for step() and stepCoefficients().
   * @param numInferenceSteps N, 1 to T
   * @throws InputError as timestepsFor()
   */
  setTimesteps(numInferenceSteps: number): void {
    this.timesteps = this.timestepsFor(numInferenceSteps);
    this.numInferenceSteps = numInferenceSteps;
  }

  /**
   * The steps of a run, or those from `from` to before `to`, worked out at once. Unlike setTimesteps() it changes nothing.
   * @param numInferenceSteps N, 1 to T
   * @param options what the steps are, and which are wanted
   * @returns the steps in the order of use
   * @throws InputError as timestepsFor() and stepCoefficients(), and for a first or last step outside 0 to N
   */
  schedule(numInferenceSteps: number, options: ScheduleOptions = {}): readonly ScheduledStep[] {
    checkNames('schedule', options, SCHEDULE);
    const { eta = 0, from = 0, to = numInferenceSteps } = options;
    const all = this.timestepsFor(numInferenceSteps);
    for (const [path, value] of Object.entries({ from, to })) {
      if (Number.isInteger(value) && value >= 0 && value <= all.length) continue;
      const expected = `a whole number from 0 to ${all.length}`;
      throw new InputError({ op: 'schedule', problem: 'no step of the run', expected, value, path });
    }
    const timesteps = all.slice(from, to);
    const stride = Math.floor(this.length / numInferenceSteps);
    return timesteps.map(timestep => ({ timestep, coefficients: this.coefficientsAt(timestep, stride, eta) }));
  }

  /** The numbers of the step at one of `timesteps`; eta counts for DDIMScheduler only. */
  abstract stepCoefficients(timestep: number, options?: { readonly eta?: number }): StepCoefficients;

  /**
   * The sample as the model wants it: unchanged for these schedulers.
   * @param sample any value
   * @returns the same value
   */
  scaleModelInput<T>(sample: T): T {
    return sample;
  }

  /**
   * Weights that bring a clean sample to a timestep's noise level: sqrt(acp), sqrt(1 - acp).
   * @param timestep 0 to T - 1
   * @param dtype 'float16' rounds acp, then each root, to half precision as diffusers does for half-precision samples
   * @returns both weights
   * @throws InputError when the timestep is outside the table
   */
  addNoiseCoefficients(timestep: number, dtype: 'float32' | 'float16' = 'float32'): NoiseMix {
    const round = dtype === 'float16' ? roundToHalf : f32;
    const alpha = round(this.levelAt(timestep));
    return { sample: round(Math.sqrt(alpha)), noise: round(Math.sqrt(round(1 - alpha))) };
  }

  /**
   * Clean samples brought to a noise level: sqrt(acp) x0 + sqrt(1 - acp) n.
   * @param sample x0, batch first
   * @param noise n, the same shape
   * @param timesteps one timestep for all, or one for each item of the batch
   * @returns the noisy samples, float32
   * @throws ShapeError when shapes or counts differ; InputError for a timestep outside the table
   * @see diffusers add_noise
   */
  addNoise(sample: NdArray, noise: NdArray, timesteps: number | readonly number[]): NdArray {
    return mixWithNoise('addNoise', { sample, noise, timesteps }, t => this.addNoiseCoefficients(t));
  }

  /**
   * The v that a v-prediction model should give: sqrt(acp) n - sqrt(1 - acp) x0.
   * @param sample x0, batch first
   * @param noise n, the same shape
   * @param timesteps one timestep for all, or one for each item of the batch
   * @returns v, float32
   * @throws ShapeError when shapes or counts differ; InputError for a timestep outside the table
   * @see diffusers get_velocity
   */
  getVelocity(sample: NdArray, noise: NdArray, timesteps: number | readonly number[]): NdArray {
    return mixWithNoise('getVelocity', { sample, noise, timesteps }, t => {
      const mix = this.addNoiseCoefficients(t);
      return { sample: -mix.noise, noise: mix.sample };
    });
  }

  /**
   * How the noise follows from sample and model output at a timestep's own level: eps = sample * x + output * e.
   * @param timestep 0 to T - 1
   * @returns both weights
   * @throws InputError when the timestep is outside the table, or for an unknown prediction type
   * @see get_epsilon of diffusers' DiffEdit pipeline
   */
  getEpsilonCoefficients(timestep: number): Mix {
    return predictionMixes(this.config.predictionType, this.levelAt(timestep)).noise;
  }

  /** Training timesteps per inference step, whatever the spacing. */
  protected stride(): number {
    if (this.numInferenceSteps !== null) return Math.floor(this.length / this.numInferenceSteps);
    throw new InputError({
      op: 'step',
      problem: 'the number of inference steps is not set',
      fix: 'Call setTimesteps(numInferenceSteps) first.',
    });
  }
}

/** The half next to a number from 0 to 1, ties to even: a whole number of its last places, which sums with 2^52 are rounded to. */
function roundToHalf(x: number): number {
  const place = 2 ** (Math.max(Math.floor(Math.log2(x)), -14) - 10);
  return (x / place + 2 ** 52 - 2 ** 52) * place;
}
