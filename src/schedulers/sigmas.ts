/**
 * Noise levels as sigma = sqrt((1 - alphaBar) / alphaBar): the table of training, the levels of a run by any of the known
 * spacings, and the way back from a level to a timestep. What a sampler makes of them is in its own file.
 */
import { InputError } from '../core/errors.ts';
import { betaQuantile } from './beta-quantile.ts';
import { linspace } from './betas.ts';
import { evenly } from './timesteps.ts';

const f32 = Math.fround;

/** A spacing of levels that does not go by the training's timesteps; 'lu' for DPM-Solver only. */
export type SigmaSpacing = 'karras' | 'exponential' | 'beta' | 'lu';

/** Flags of a config that choose such a spacing; null is false. */
export interface SigmaFlags {
  readonly useKarrasSigmas?: boolean | null;
  readonly useExponentialSigmas?: boolean | null;
  readonly useBetaSigmas?: boolean | null;
  readonly useLuLambdas?: boolean | null;
}

/**
 * The table of training, ascending.
 * @param alphasCumprod [T] signal levels
 * @returns [T] float32
 */
export function trainingSigmas(alphasCumprod: Float32Array): Float32Array {
  return alphasCumprod.map(level => Math.sqrt(f32(f32(1 - level) / level)));
}

/**
 * Which spacing the flags choose.
 * @param op for the message
 * @returns undefined for the training's timesteps
 * @throws InputError for two spacings at once
 */
export function sigmaSpacing(op: string, flags: SigmaFlags): SigmaSpacing | undefined {
  const chosen = [
    flags.useKarrasSigmas && ('karras' as const),
    flags.useExponentialSigmas && ('exponential' as const),
    flags.useBetaSigmas && ('beta' as const),
  ].filter(name => typeof name === 'string');
  if (chosen.length > 1) {
    throw new InputError({
      op,
      problem: 'two spacings of noise levels at once',
      expected: 'one of use_karras_sigmas, use_exponential_sigmas and use_beta_sigmas',
      received: chosen.join(' and '),
      path: 'scheduler_config.json',
      fix: 'Set the others to false.',
    });
  }
  return chosen[0] ?? (flags.useLuLambdas ? 'lu' : undefined);
}

/**
 * Levels of a run, from `most` down to `least`.
 * karras: (most^(1/7) + i / (N - 1) * (least^(1/7) - most^(1/7)))^7; exponential and lu: evenly spaced logarithms;
 * beta: least + q * (most - least) with the quantiles q of Beta(0.6, 0.6) at 1 - i / (N - 1).
 * @param spacing which
 * @param count N
 * @param range the first and the last level
 * @see Karras et al. 2022, equation 5, https://arxiv.org/abs/2206.00364; Lee et al. 2024, https://arxiv.org/abs/2407.12173;
 * Lu et al. 2022, https://arxiv.org/abs/2206.00927
 */
export function spacedSigmas(
  spacing: SigmaSpacing,
  count: number,
  { most, least }: { readonly most: number; readonly least: number },
): number[] {
  const at = (i: number): number => evenly(i, count, 1);
  const between = (a: number, b: number, i: number): number => a + at(i) * (b - a);
  const level = (i: number): number => {
    if (spacing === 'karras') return between(most ** (1 / 7), least ** (1 / 7), i) ** 7;
    if (spacing === 'beta') return least + betaQuantile(1 - at(i), 0.6) * (most - least);
    // Lambdas are entries of the table of logarithms, which is of single precision.
    const log = spacing === 'lu' ? (x: number): number => f32(Math.log(x)) : Math.log;
    return Math.exp(between(log(most), log(least), i));
  };
  return Array.from({ length: count }, (_, i) => level(i));
}

/** exp of count + 1 evenly spaced logarithms, as torch.linspace rounds them. */
export function logLinearSigmas(count: number, table: Float32Array): number[] {
  const [least = 1, most = 1] = [table[0], table.at(-1)];
  return [...linspace(f32(Math.log(most)), f32(Math.log(least)), count + 1)].map(log => f32(Math.exp(log)));
}

/** The table between its entries; beyond its ends the first and the last one. */
export function sigmaAt(timestep: number, table: Float32Array): number {
  const last = table.length - 1;
  const at = Math.min(Math.max(timestep, 0), last);
  const below = Math.min(Math.floor(at), Math.max(last - 1, 0));
  const low = table[below] ?? 0;
  return at === below ? low : ((table[below + 1] ?? low) - low) * (at - below) + low;
}

/**
 * The timestep, seldom whole, that a level belongs to: by linear interpolation of logarithms, within the table.
 * @param sigma the level
 * @param table ascending
 */
export function timestepOf(sigma: number, table: Float32Array): number {
  const log = Math.log(Math.max(sigma, 1e-10));
  const logs = (i: number): number => f32(Math.log(table[i] ?? 1));
  let below = 0;
  for (let i = 1; i < table.length && logs(i) <= log; i++) below = i;
  below = Math.max(0, Math.min(below, table.length - 2));
  const [low, high] = [logs(below), logs(below + 1)];
  if (table.length === 1) return 0;
  const weight = Math.min(Math.max((low - log) / (low - high), 0), 1);
  return (1 - weight) * below + weight * (below + 1);
}
