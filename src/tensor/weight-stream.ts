/** Weights that come to the device while plans run, as parameters, plans and programs know them; how is in streamed-weights.ts. */
import type { Plan } from './plan.ts';

/** What brings weights whenever a plan reads them. */
export interface WeightStream {
  /** What runs a plan that reads these weights. @throws DeviceError for a plan that also reads another stream's */
  prepare(plan: Plan): StreamedPlan;
}

/** A plan whose weights come while it runs. */
export interface StreamedPlan {
  /**
   * One replay; the promise ends when everything is submitted, which may be before the device is done.
   * @throws whatever reading throws, what the watch throws, DeviceError; the next replay starts afresh
   */
  run(watch: ReplayWatch): Promise<void>;
}

/** What a replay is watched by, such as a call. */
export interface ReplayWatch {
  /** Called before each piece of weights and before each submission; what it throws ends the replay. */
  check(): void;
}
