/** What the JSON of every command tells of memory and time. */
import type { Progress } from './progress.ts';

/** Memory and time of a command. */
export interface Measured {
  /** The most device memory that its models held at once. */
  readonly peakBytes: number;
  /** The most memory of the machine that the process held at once; a device in software lies in it too. */
  readonly hostPeakBytes: number;
  /** Whole milliseconds by phase; `load` is of weights. */
  readonly timingsMs: Readonly<Record<string, number>>;
}

/**
 * @param peakBytes of the models
 * @param progress saw them load
 * @param timings milliseconds by phase
 */
export function measured(peakBytes: number, progress: Progress, timings: Readonly<Record<string, number>>): Measured {
  const whole = Object.entries({ load: progress.loadMs, ...timings }).map(([phase, ms]) => [phase, Math.round(ms)]);
  const hostPeakBytes = 1024 * process.resourceUsage().maxRSS;
  return { peakBytes, hostPeakBytes, timingsMs: Object.fromEntries(whole) };
}
