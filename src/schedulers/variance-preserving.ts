/**
 * What multistep solvers share: levels of x = signal x0 + rest n with signal^2 + rest^2 = 1, their log ratio lambda, in which
 * the solvers expand, and the runs that both have. The solvers' weights are in dpm-solver.ts and unipc.ts.
 */
import type { ScheduleFields } from './config.ts';
import { type Blend, type Bounds, blend, cleanBlend, type LinearStep, padded, SAMPLE } from './linear-step.ts';
import type { Course } from './run.ts';
import { type SigmaSpacing, sigmaAt, spacedSigmas, timestepOf } from './sigmas.ts';
import { evenly, roundHalfEven, spreadTimesteps } from './timesteps.ts';
import { mixesAt, sqrt32 } from './update.ts';

const f32 = Math.fround;

/** One noise level, each number rounded to float32 as torch does. */
export interface Level {
  /** Weight of the clean sample. */
  readonly signal: number;
  /** Weight of the noise. */
  readonly rest: number;
  /** log(signal / rest); infinite where there is no noise. */
  readonly lambda: number;
}

/** The level of a sigma. */
export function levelOf(sigma: number): Level {
  const signal = f32(1 / sqrt32(f32(f32(sigma * sigma) + 1)));
  const rest = f32(sigma * signal);
  return { signal, rest, lambda: f32(f32(Math.log(signal)) - f32(Math.log(rest))) };
}

/** What a solver expands: the predicted clean sample, or the predicted noise, where thresholding asks so derived from it again. */
export function converted(config: ScheduleFields, { signal, rest }: Level, bounds: Bounds, toNoise: boolean): Blend {
  const { cleanSample, noise } = mixesAt(config.predictionType, signal, rest);
  const clean = cleanBlend(cleanSample, bounds);
  if (!toNoise) return clean;
  if (bounds.threshold) return blend([1 / rest, SAMPLE], [-signal / rest, clean]);
  return { ...clean, ...noise };
}

/** What a solver's step is made of. */
export interface SolverParts {
  readonly timestep: number;
  readonly level: Level;
  readonly bounds: Bounds;
  readonly next: Blend;
  readonly keep: readonly Blend[];
  readonly slots: number;
  readonly drawsNoise?: boolean;
}

/** A step of a solver. */
export function solverStep(config: ScheduleFields, parts: SolverParts): LinearStep {
  const { timestep, level, bounds, next, keep, slots, drawsNoise = false } = parts;
  return {
    timestep,
    inputScale: 1,
    level: { sample: level.signal, noise: level.rest },
    cleanSample: mixesAt(config.predictionType, level.signal, level.rest).cleanSample,
    ...bounds,
    next: padded(next, slots),
    keep: keep.map(one => padded(one, slots)),
    drawsNoise,
  };
}

/**
 * Whole timesteps of a run of a solver, descending: those of N + 1 but the lowest, except for 'trailing'.
 * @param count N
 * @param config T, spacing and offset
 * @param total highest timestep + 1, T or less
 */
export function solverTimesteps(count: number, config: ScheduleFields, total: number): number[] {
  const { timestepSpacing, stepsOffset, numTrainTimesteps } = config;
  // Refuses counts and spacings that no sampler knows.
  const trailing = spreadTimesteps(count, config, ['leading', 'trailing', 'linspace']);
  if (timestepSpacing === 'trailing' && total === numTrainTimesteps) return trailing.reverse();
  if (timestepSpacing === 'trailing') {
    const stride = numTrainTimesteps / count;
    return Array.from({ length: Math.ceil(total / stride) }, (_, i) => roundHalfEven(total - i * stride) - 1);
  }
  const stride = Math.floor(total / (count + 1));
  const at = (i: number): number =>
    timestepSpacing === 'leading' ? i * stride + stepsOffset : roundHalfEven(evenly(i, count + 1, total - 1));
  return Array.from({ length: count }, (_, i) => at(count - i));
}

/** How a solver's levels are chosen. */
export interface SolverRun {
  /** N, which the spaced levels are as many as. */
  readonly count: number;
  readonly timesteps: readonly number[];
  readonly spacing: SigmaSpacing | undefined;
  /** Sigmas of training, ascending. */
  readonly table: Float32Array;
  /** Whether timesteps between the table's are rounded, and not cut. */
  readonly rounds: boolean;
  /** The level behind the last step, given that before it. */
  readonly last: (sigma: number) => number;
}

/** A run of a solver. */
export function solverCourse({ count, timesteps, spacing, table, rounds, last }: SolverRun): Course {
  const range = { most: table.at(-1) ?? 1, least: table[0] ?? 1 };
  const sigmas = spacing ? spacedSigmas(spacing, count, range) : timesteps.map(t => sigmaAt(t, table));
  // A level of the table itself may come back from exp and log a place too low.
  const whole = rounds ? roundHalfEven : (t: number): number => Math.trunc(t + 1e-9);
  const told = spacing ? sigmas.map(sigma => whole(timestepOf(sigma, table))) : timesteps;
  return { timesteps: told, sigmas: [...sigmas, last(sigmas.at(-1) ?? 0)].map(f32), count: told.length };
}
