import type { ScheduleFields, SchedulerConfig } from './config.ts';
import { LinearScheduler } from './linear-scheduler.ts';
import { trainingSigmas } from './sigmas.ts';

/** Samplers that go by noise levels sigma, between which the table of training is interpolated. */
export abstract class SigmaScheduler<F extends ScheduleFields> extends LinearScheduler<F> {
  /** [T] sigma of each timestep, ascending. */
  protected readonly table: Float32Array;

  /**
   * @param config all settings
   * @throws InputError for an unknown beta schedule
   */
  constructor(config: SchedulerConfig<F>) {
    super(config);
    const { alphasCumprod } = this;
    const { rescaleBetasZeroSnr } = config as { readonly rescaleBetasZeroSnr?: boolean };
    // Without any signal the last sigma were infinite; diffusers leaves as much as half precision can tell from none.
    if (rescaleBetasZeroSnr) alphasCumprod[alphasCumprod.length - 1] = 2 ** -24;
    this.table = trainingSigmas(alphasCumprod);
  }
}
