/**
 * Noise schedules, rounded to float32 at the very places where torch rounds, so that the tables agree with torch bit for
 * bit (rescaled ones up to torch's own square root). What a timestep means and how a step uses the tables lives in base.ts, ddim.ts and ddim-inverse.ts.
 */

import { InputError } from '../core/errors.ts';
import { checkNumbers } from '../core/kinds.ts';
import { checkByName, checkNames, namesOf } from '../core/known-names.ts';

const f32 = Math.fround;

/** How beta grows with the timestep. */
export type BetaSchedule = 'linear' | 'scaled_linear' | 'squaredcos_cap_v2';

/** What defines the betas; the fields mean what they mean in a scheduler's config. */
export interface BetaOptions {
  /** How beta grows with the timestep. */
  readonly betaSchedule: BetaSchedule;
  /** First beta, in (0, 1); without part in 'squaredcos_cap_v2'. */
  readonly betaStart: number;
  /** Last beta, in (0, 1); without part in 'squaredcos_cap_v2'. */
  readonly betaEnd: number;
  /** T, the number of betas. */
  readonly numTrainTimesteps: number;
  /** The betas themselves, at least T of them, instead of a schedule. */
  readonly trainedBetas: readonly number[] | null;
  /** Shifts and scales so that the last timestep holds no signal. */
  readonly rescaleBetasZeroSnr: boolean;
}

const OPTIONS = namesOf<BetaOptions>({
  ...{ betaSchedule: 1, betaStart: 1, betaEnd: 1, numTrainTimesteps: 1, trainedBetas: 1, rescaleBetasZeroSnr: 1 },
});

/**
 * `count` evenly spaced float32 values: start + i * step in the lower half, end - (count - 1 - i) * step in the upper.
 * @param start first value
 * @param end last value
 * @param count number of values, >= 1
 * @returns [count] float32
 * @see torch.linspace on a CPU
 */
export function linspace(start: number, end: number, count: number): Float32Array {
  const [a, b] = [f32(start), f32(end)];
  const step = f32(f32(b - a) / (count - 1));
  const half = Math.floor(count / 2);
  // torch fuses product and sum; in double both are exact enough to round to the same float32.
  const value = (i: number): number => (i < half ? a + step * i : b - step * (count - 1 - i));
  return count === 1 ? Float32Array.of(a) : Float32Array.from({ length: count }, (_, i) => value(i));
}

/**
 * Betas of Glide's cosine schedule: beta_i = min(1 - f((i+1)/T) / f(i/T), 0.999), f(t) = cos²((t + 0.008) / 1.008 * pi/2).
 * @param count T, number of training timesteps
 * @returns [T] float32, computed in double
 * @see Nichol & Dhariwal 2021, section 3.2, https://arxiv.org/abs/2102.09672
 */
function cosineBetas(count: number): Float32Array {
  const level = (t: number): number => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2;
  return Float32Array.from({ length: count }, (_, i) => Math.min(1 - level((i + 1) / count) / level(i / count), 0.999));
}

/**
 * The variance that each timestep adds.
 * @param options schedule, range and length; `trainedBetas` replaces the schedule
 * @returns [T] float32 in (0, 1]
 * @throws InputError for an unknown schedule or a name that is no option
 * @see diffusers DDIMScheduler.betas
 */
export function makeBetas(options: BetaOptions): Float32Array {
  checkByName('makeBetas', options);
  checkNames('makeBetas', options, OPTIONS);
  const betas = options.trainedBetas ? Float32Array.from(options.trainedBetas) : scheduled(options);
  return options.rescaleBetasZeroSnr ? rescaleZeroSnr(betas) : betas;
}

function scheduled({ betaSchedule, betaStart, betaEnd, numTrainTimesteps }: BetaOptions): Float32Array {
  switch (betaSchedule) {
    case 'linear':
      return linspace(betaStart, betaEnd, numTrainTimesteps);
    case 'scaled_linear':
      return linspace(Math.sqrt(betaStart), Math.sqrt(betaEnd), numTrainTimesteps).map(root => root * root);
    case 'squaredcos_cap_v2':
      return cosineBetas(numTrainTimesteps);
    default:
      throw new InputError({
        op: 'makeBetas',
        problem: 'unknown beta schedule',
        expected: 'linear, scaled_linear or squaredcos_cap_v2',
        value: betaSchedule,
        path: 'beta_schedule',
        fix: 'Give one of the three, or the values themselves as trained_betas.',
      });
  }
}

/**
 * The share of signal left at each timestep: acp_t = prod over s <= t of (1 - beta_s).
 * @param betas [T] float32
 * @returns [T] float32; the product runs in double and each entry is rounded once
 * @see torch.cumprod on a CPU
 */
export function cumulativeAlphas(betas: Float32Array): Float32Array {
  checkNumbers('cumulativeAlphas', betas);
  let product = 1;
  return betas.map(beta => {
    product *= f32(1 - beta);
    return product;
  });
}

/**
 * Shifts and scales a schedule so that the last timestep holds no signal at all, the first one being kept:
 * s = sqrt(acp); s' = (s - s_T) * s_0 / (s_0 - s_T); betas follow from s'^2.
 * @param betas [T] float32
 * @returns [T] float32; the last beta is 1. The square root is correctly rounded, which torch's is on some processors only
 * @see Lin et al. 2023, algorithm 1, https://arxiv.org/abs/2305.08891; diffusers rescale_zero_terminal_snr
 */
export function rescaleZeroSnr(betas: Float32Array): Float32Array {
  const roots = cumulativeAlphas(betas).map(Math.sqrt);
  const [first = 0, last = 0] = [roots[0], roots.at(-1)];
  const scale = f32(first / f32(first - last));
  const levels = roots.map(root => f32(f32(root - last) * scale)).map(root => root * root);
  return levels.map((level, i) => 1 - f32(i === 0 ? level : level / (levels[i - 1] ?? 0)));
}
