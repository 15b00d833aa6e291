/** What a run of a sampler is: how many steps, or which levels; and how samplers refuse settings that they have not. */
import { InputError } from '../core/errors.ts';
import { checkKnown } from '../core/known-names.ts';
import type { FieldValues } from './config.ts';

/** A run by more than its number of steps. One of numInferenceSteps, timesteps and sigmas is needed. */
export interface RunOptions {
  /** Number of steps N, 1 to T. */
  readonly numInferenceSteps?: number;
  /** The timesteps themselves, in the order of use; Euler, DPM-Solver, LCM and DDPM take them. */
  readonly timesteps?: readonly number[];
  /** The noise levels themselves, descending, with the one behind the last step; Euler takes them. */
  readonly sigmas?: readonly number[];
  /** Steps of the schedule that LCM was distilled on; by default the config's. */
  readonly originalInferenceSteps?: number;
  /** Share of that schedule which is used, above 0 to 1, for LCM; default 1. */
  readonly strength?: number;
}

/** A run: its number of steps N, or more. */
export type Run = number | RunOptions;

/** Where a run leads. */
export interface Course {
  /** At each step. */
  readonly timesteps: readonly number[];
  /** Before each step, and behind the last; none where timesteps say all. */
  readonly sigmas: readonly number[];
  /** N. */
  readonly count: number;
}

/** Who takes what other samplers do not. */
const TAKEN_BY: Readonly<Record<string, string>> = {
  timesteps:
    'Give the number of steps: Euler, DPM-Solver multistep, LCM and DDPM take timesteps, other samplers do not.',
  sigmas: 'Give the number of steps: Euler takes sigmas, other samplers do not.',
};

/**
 * A run's options, of which a sampler takes some.
 * @param className for messages
 * @param run the caller's
 * @param takes names that the sampler takes beside numInferenceSteps
 * @throws InputError for a name that it does not take, for none or two of steps, timesteps and sigmas, or for a list that is none
 */
export function runOptions(className: string, run: Run, takes: readonly (keyof RunOptions)[]): RunOptions {
  const op = `${className}.setTimesteps`;
  const options: RunOptions = typeof run === 'number' ? { numInferenceSteps: run } : run;
  checkKnown(op, options, ['numInferenceSteps', ...takes], name => TAKEN_BY[name]);
  const ways = (['numInferenceSteps', 'timesteps', 'sigmas'] as const).filter(name => options[name] != null);
  if (ways.length !== 1) {
    const expected = 'one of numInferenceSteps, timesteps and sigmas';
    const [problem, fix] = ['a run is given in one way', 'Give the number of steps.'];
    throw new InputError({ op, problem, expected, received: ways.join(' and ') || 'none of them', fix });
  }
  for (const name of ['timesteps', 'sigmas'] as const) {
    const list = options[name];
    const least = name === 'sigmas' ? 2 : 1;
    const fits = Array.isArray(list) && list.length >= least && list.every(Number.isFinite);
    if (list == null || fits) continue;
    const expected = `at least ${least} finite numbers`;
    throw new InputError({ op, problem: `${name} are no list of numbers`, expected, value: list, path: name });
  }
  return options;
}

/**
 * A run's timesteps that the caller gave: of the table, descending.
 * @param whole whether those between the table's are refused
 * @throws InputError
 */
export function givenTimesteps(
  className: string,
  timesteps: readonly number[],
  total: number,
  whole = true,
): readonly number[] {
  const fits = (t: number, i: number): boolean =>
    (!whole || Number.isInteger(t)) && t >= 0 && t <= total - 1 && t < (timesteps[i - 1] ?? total);
  if (timesteps.every(fits)) return timesteps;
  throw new InputError({
    op: `${className}.setTimesteps`,
    problem: 'timesteps do not suit the schedule',
    expected: `${whole ? 'whole ' : ''}numbers from ${total - 1} down to 0, each less than the one before`,
    value: timesteps,
    path: 'timesteps',
    fix: 'Correct them, or give the number of steps instead.',
  });
}

/** Values that may be null beside those of a type. */
export function orNull(type: 'number' | 'boolean' | 'string'): FieldValues {
  return { expected: `a ${type} or null`, fits: value => value === null || typeof value === type };
}

/**
 * Refuses a setting by name that a scheduler has not.
 * @param className for the message
 * @param path the field's name in scheduler_config.json
 * @param value what it holds
 * @param allowed what it may hold
 * @throws InputError
 */
export function checkSetting(className: string, path: string, value: unknown, allowed: readonly unknown[]): void {
  if (allowed.includes(value)) return;
  throw new InputError({
    op: className,
    problem: 'a setting that this scheduler has not',
    expected: allowed.map(one => String(one)).join(' or '),
    value,
    path,
    fix: `Correct the field of scheduler_config.json, or override it in ${className}.fromConfig().`,
  });
}
