/** What arguments of pipelines may be: one check for each kind of value, the same for every method and the command line. */
import { InputError } from '../../core/errors.ts';
import { checkedSeed } from '../../schedulers/generator.ts';

/** A kind of value. */
export type CheckName =
  | 'strength'
  | 'ratio'
  | 'count'
  | 'whole'
  | 'rounds'
  | 'rolls'
  | 'number'
  | 'positive'
  | 'exponent'
  | 'share'
  | 'interval'
  | 'inversion'
  | 'maskMode'
  | 'switch'
  | 'layers'
  | 'seed';

interface Check {
  readonly problem: string;
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
}

/** What a check depends on besides the value. */
export interface Limits {
  /** Layers of the text encoder; unknown before a model is open. */
  readonly layers?: number;
}

const within = (value: unknown, least: number, most: number): boolean =>
  typeof value === 'number' && Number.isFinite(value) && value >= least && value <= most;
const isWhole = (value: unknown, least: number, most = Number.POSITIVE_INFINITY): boolean =>
  Number.isInteger(value) && (value as number) >= least && (value as number) <= most;

const INFINITE = Number.POSITIVE_INFINITY;
/** Rounds of regularisation a step, and rolls a round: the host works them out, and nothing is gained long before. */
const MOST_ROUNDS = 1000;
const OUT_OF_RANGE = 'not a number in range';

const CHECKS: Readonly<Record<Exclude<CheckName, 'layers' | 'seed'>, Check>> = {
  strength: { problem: 'strength out of range', expected: 'a number from 0 to 1', accepts: v => within(v, 0, 1) },
  ratio: { problem: 'not a ratio', expected: 'a number > 0', accepts: v => typeof v === 'number' && v > 0 },
  count: { problem: 'not a count', expected: 'a whole number >= 1', accepts: v => isWhole(v, 1) },
  rounds: {
    problem: 'not a count of rounds',
    expected: `a whole number from 0 to ${MOST_ROUNDS}`,
    accepts: v => isWhole(v, 0, MOST_ROUNDS),
  },
  rolls: {
    problem: 'not a count of rolls',
    expected: `a whole number from 1 to ${MOST_ROUNDS}`,
    accepts: v => isWhole(v, 1, MOST_ROUNDS),
  },
  whole: { problem: 'not a count', expected: 'a whole number >= 0', accepts: v => isWhole(v, 0) },
  number: { problem: OUT_OF_RANGE, expected: 'a finite number', accepts: v => within(v, -INFINITE, INFINITE) },
  positive: { problem: OUT_OF_RANGE, expected: 'a finite number >= 0', accepts: v => within(v, 0, INFINITE) },
  interval: {
    problem: 'not an interval',
    expected: 'two numbers from 0 to 1, the smaller one first',
    accepts: v => Array.isArray(v) && v.length === 2 && within(v[0], 0, 1) && within(v[1], v[0] as number, 1),
  },
  inversion: {
    problem: 'no kind of inversion',
    expected: "'ddim' or 'ddpm'",
    accepts: v => v === 'ddim' || v === 'ddpm',
  },
  exponent: {
    problem: OUT_OF_RANGE,
    expected: 'a finite number > 0',
    accepts: v => within(v, Number.MIN_VALUE, INFINITE),
  },
  share: { problem: OUT_OF_RANGE, expected: 'a number from 0 to 1', accepts: v => within(v, 0, 1) },
  switch: { problem: 'neither on nor off', expected: 'true or false', accepts: v => typeof v === 'boolean' },
  maskMode: {
    problem: 'no way to read a mask',
    expected: "'binary' or 'soft'",
    accepts: v => v === 'binary' || v === 'soft',
  },
};

function checkOf(check: Exclude<CheckName, 'seed'>, { layers }: Limits): Check {
  if (check !== 'layers') return CHECKS[check];
  return {
    problem: 'no number of layers to skip',
    expected: layers === undefined ? 'a whole number >= 0' : `a whole number from 0 to ${layers}`,
    accepts: v => v === null || isWhole(v, 0, layers),
  };
}

/**
 * Checks one value.
 * @param op the method, for the message
 * @param path the name under which the caller knows the argument
 * @throws InputError for a value that is not of the kind
 */
export function checkValue(op: string, check: CheckName, value: unknown, path: string, limits: Limits = {}): void {
  if (check === 'seed') {
    checkedSeed(value as number);
    return;
  }
  const { problem, expected, accepts } = checkOf(check, limits);
  if (!accepts(value)) throw new InputError({ op, problem, expected, value, path });
}

/**
 * Refuses what attention processors would take. `scale` multiplies the weights of LoRA adapters, which are merged: without any it
 * does nothing, with some only 1 passes.
 * @param adapters those that act
 * @throws InputError for anything else
 */
export function checkCrossAttention(
  op: string,
  kwargs: Readonly<Record<string, unknown>> | null | undefined,
  adapters: readonly string[] = [],
): void {
  for (const [name, value] of Object.entries(kwargs ?? {})) {
    if (name === 'scale' && typeof value === 'number') {
      if (value === 1 || adapters.length === 0) continue;
      throw new InputError({
        op,
        problem: 'a scale of LoRA adapters for one call; they are merged into the weights',
        expected: 1,
        received: value,
        path: 'crossAttentionKwargs',
        fix: `Before the call write setAdapters(${JSON.stringify(adapters)}, weights), with their weights times the scale.`,
      });
    }
    throw new InputError({
      op,
      problem: 'an attention argument that is not built',
      expected: 'scale, a number',
      received: `${name}: ${typeof value}`,
      path: 'crossAttentionKwargs',
      fix: 'Leave it out; IP-Adapter and other attention processors are not part of this library.',
    });
  }
}
