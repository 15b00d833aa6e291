import { InputError } from '../core/errors.ts';
import { type BetaSchedule, cumulativeAlphas, makeBetas } from './betas.ts';
import type { ScheduleFields, SchedulerConfig } from './config.ts';

/** What every scheduler has: its settings, and the noise levels of training. */
export abstract class NoiseTable<F extends ScheduleFields> {
  /** All settings; frozen. Change them with `fromConfig(config, overrides)`. */
  readonly config: SchedulerConfig<F>;
  /** [T] variance added at each timestep. */
  readonly betas: Float32Array;
  /** [T] signal level acp of each timestep, equal to torch's bit for bit. */
  readonly alphasCumprod: Float32Array;

  /**
   * @param config all settings
   * @param trained betas in place of those of the config's schedule
   * @throws InputError for an unknown beta schedule
   */
  constructor(config: SchedulerConfig<F>, trained: readonly number[] | null = config.trainedBetas) {
    this.config = config;
    const { betaSchedule, betaStart, betaEnd, numTrainTimesteps } = config;
    const { rescaleBetasZeroSnr = false } = config as { readonly rescaleBetasZeroSnr?: boolean };
    const own = { betaStart, betaEnd, numTrainTimesteps, trainedBetas: trained, rescaleBetasZeroSnr };
    this.betas = makeBetas({ ...own, betaSchedule: betaSchedule as BetaSchedule });
    this.alphasCumprod = cumulativeAlphas(this.betas);
  }

  /** Number of training timesteps T. */
  get length(): number {
    return this.config.numTrainTimesteps;
  }

  /** The scheduler_config.json form, for JSON.stringify. */
  toJSON(): Record<string, unknown> {
    return this.config.toJSON();
  }

  /** acp at a timestep, checked. */
  protected levelAt(timestep: number): number {
    const level = Number.isInteger(timestep) ? this.alphasCumprod[timestep] : undefined;
    if (level !== undefined && timestep < this.length) return level;
    throw new InputError({
      op: 'Scheduler',
      problem: 'the schedule has no such timestep',
      expected: `a whole number from 0 to ${this.length - 1}`,
      value: timestep,
      path: 'timestep',
      fix: 'Take one of `timesteps`; a steps_offset above 0 can push the last one past the end when N equals T.',
    });
  }
}
