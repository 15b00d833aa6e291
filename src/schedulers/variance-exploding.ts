/** What both Euler samplers do: they hold x = x0 + sigma n, which the model is given divided by sqrt(sigma^2 + 1). */
import type { PredictionType } from './config.ts';
import { type Blend, blend, cleanBlend, type LinearStep, NOISE, padded, SAMPLE, UNBOUNDED } from './linear-step.ts';
import { evenly, spreadTimesteps, type TimestepOptions, type TimestepSpacing } from './timesteps.ts';
import { type Mix, sqrt32 } from './update.ts';

const f32 = Math.fround;

/**
 * How x0 follows from x = x0 + sigma n and the model output.
 * epsilon: x0 = x - sigma e; sample: x0 = e; v: x0 = x / (sigma^2 + 1) - sigma / sqrt(sigma^2 + 1) e.
 * @see Karras et al. 2022, section 5, https://arxiv.org/abs/2206.00364
 */
function explodingClean(predictionType: PredictionType, sigma: number): Mix {
  if (predictionType === 'epsilon') return { sample: 1, output: -sigma };
  if (predictionType === 'sample') return { sample: 0, output: 1 };
  const square = sigma * sigma + 1;
  return { sample: 1 / square, output: -sigma / Math.sqrt(square) };
}

/** Levels of one step. */
export interface ExplodingLevels {
  readonly timestep: number;
  /** Before the step. */
  readonly from: number;
  /** To which the derivative leads. */
  readonly down: number;
  /** Deviation of the noise that is added; undefined where none is drawn. */
  readonly up?: number;
}

/** An Euler step along dx / dsigma = (x - x0) / sigma, and noise. */
export function eulerStep(predictionType: PredictionType, levels: ExplodingLevels): LinearStep {
  const { timestep, from, down, up } = levels;
  const cleanSample = explodingClean(predictionType, from);
  const rate = (down - from) / from;
  const next: Blend = blend([1 + rate, SAMPLE], [-rate, cleanBlend(cleanSample, UNBOUNDED)], [up ?? 0, NOISE]);
  return {
    timestep,
    inputScale: 1 / sqrt32(f32(f32(from * from) + 1)),
    level: { sample: 1, noise: from },
    cleanSample,
    ...UNBOUNDED,
    next: padded(next, 0),
    keep: [],
    drawsNoise: up !== undefined,
  };
}

/** Deviation of the noise that both start from: the highest level, with the spread of a clean sample where spacing is 'leading'. */
export function explodingInitSigma(spacing: TimestepSpacing, sigmas: Iterable<number>): number {
  const most = Math.max(...sigmas);
  return spacing === 'leading' ? sqrt32(f32(f32(most * most) + 1)) : most;
}

/** Timesteps of a run as both spread them, descending: 'linspace' is not rounded. */
export function eulerTimesteps(count: number, config: TimestepOptions): number[] {
  const whole = spreadTimesteps(count, config, ['leading', 'trailing', 'linspace']).reverse();
  if (config.timestepSpacing !== 'linspace') return whole;
  return whole.map((_, i) => f32(evenly(count - 1 - i, count, config.numTrainTimesteps - 1)));
}
