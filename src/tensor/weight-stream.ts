/** Weights that come to the device while plans run, as parameters, plans and programs know them; how is in streamed-weights.ts. */
import type { AbortSignalLike } from '../core/platform.ts';

/** A weight as a stream knows it: a Parameter. */
export interface StreamableWeight {
  /** Key in the checkpoint. */
  readonly path: string;
  /** What brings it before each use; undefined where it lies on the device all the time. */
  readonly stream: WeightStream | undefined;
}

/** What some dispatches of a plan read of a model's weights. */
export interface WeightReads {
  /** Each once. */
  readonly weights: readonly StreamableWeight[];
  /** The first dispatch that reads them. */
  readonly first: number;
}

/** A plan that can be run in parts. */
export interface StreamablePlan {
  /** Name in messages. */
  readonly label: string;
  /** In one run. */
  readonly dispatches: number;
  /** In the order of the dispatches. */
  readonly reads: readonly WeightReads[];
  /** Submits dispatches [from, to). */
  runPart(from: number, to: number): void;
}

/** What brings weights whenever a plan reads them. */
export interface WeightStream {
  /** What runs a plan that reads these weights. @throws DeviceError for a plan that also reads another stream's */
  prepare(plan: StreamablePlan): StreamedPlan;
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
  /** Ends reads that are on their way. */
  readonly signal?: AbortSignalLike | undefined;
}
