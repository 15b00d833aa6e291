import { InputError } from '../core/errors.ts';

/** How N inference steps are spread over the T training timesteps (Lin et al. 2023, table 2). */
export type TimestepSpacing = 'leading' | 'trailing' | 'linspace';

/** What the spread depends on. */
export interface TimestepOptions {
  readonly numTrainTimesteps: number;
  readonly timestepSpacing: TimestepSpacing;
  readonly stepsOffset: number;
}

/** The nearest whole number, ties to the even one: numpy's and Python's rule. */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Timesteps of an inference run, ascending:
 * leading i * floor(T / N) + offset; trailing round(T - j * T / N) - 1; linspace round(i * (T - 1) / (N - 1)).
 * @param count N, number of inference steps, 1 to T
 * @param options T, spacing and offset; the offset counts for 'leading' only
 * @param allowed the spacings that the scheduler knows
 * @returns whole numbers, ascending
 * @throws InputError when N is no whole number from 1 to T, or for another spacing
 * @see diffusers DDIMScheduler.set_timesteps
 */
export function spreadTimesteps(
  count: number,
  options: TimestepOptions,
  allowed: readonly TimestepSpacing[],
): number[] {
  const total = options.numTrainTimesteps;
  if (!Number.isInteger(count) || count < 1 || count > total) {
    throw new InputError({
      op: 'setTimesteps',
      problem: 'the number of inference steps does not suit the schedule',
      expected: `a whole number from 1 to ${total}`,
      value: count,
      path: 'numInferenceSteps',
      fix: `The model was trained on ${total} timesteps: ask for at most that many.`,
    });
  }
  if (!allowed.includes(options.timestepSpacing)) {
    throw new InputError({
      op: 'setTimesteps',
      problem: 'this scheduler does not know the timestep spacing',
      expected: allowed.join(' or '),
      value: options.timestepSpacing,
      path: 'timestep_spacing',
      fix: 'Give another one: Scheduler.fromConfig(config, { timestepSpacing }).',
    });
  }
  switch (options.timestepSpacing) {
    case 'leading':
      return Array.from({ length: count }, (_, i) => i * Math.floor(total / count) + options.stepsOffset);
    case 'trailing':
      return trailing(count, total);
    case 'linspace':
      return Array.from({ length: count }, (_, i) => roundHalfEven(evenly(i, count, total - 1)));
  }
}

/** Point i of `count` evenly spaced ones from 0 to `last`, as numpy.linspace rounds them. */
export function evenly(i: number, count: number, last: number): number {
  // numpy sets the last point exactly instead of trusting the product.
  return i > 0 && i === count - 1 ? last : i * (last / Math.max(count - 1, 1));
}

/** numpy's round(arange(total, 0, -total / count)) - 1, ascending. */
function trailing(count: number, total: number): number[] {
  // numpy.arange takes the difference of its first two values, already rounded, as the stride. For some N, such as 61, its
  // count is rounded up too, and the original takes one more step at timestep -1, which no table holds.
  const stride = total - total / count - total;
  return Array.from({ length: count }, (_, j) => roundHalfEven(total + j * stride) - 1).reverse();
}
