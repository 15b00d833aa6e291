/** Settings that exclude each other: who takes some from a model and some from its user takes no two of these. */
import { InputError } from '../../core/errors.ts';

type Excludes = readonly [name: string, holds: (value: unknown) => boolean];

/** Two settings that exclude each other, and how that is said. */
interface Exclusive {
  readonly pair: readonly [Excludes, Excludes];
  readonly problem: string;
  /** The one that is named. */
  readonly path: string;
  /** What it may be beside the other. */
  readonly expected?: string;
  readonly fix: string;
}

const isDdpm = (value: unknown): boolean => value === 'ddpm';
const isSome = (value: unknown): boolean => Number(value) > 0;
const isShare = (value: unknown): boolean => Number(value) > 0 && Number(value) < 1;

/** A setting that asks for predictions which a DDPM inversion does not follow. */
function unheard(path: string): Exclusive {
  return {
    pair: [
      ['inversion', isDdpm],
      [path, isSome],
    ],
    problem: `${path} of a DDPM inversion, which follows no prediction`,
    path,
    fix: `Leave out ${path}, or pass inversion 'ddim'.`,
  };
}

/** What the methods refuse together, in the order in which they look. */
const EXCLUSIVE: readonly Exclusive[] = [
  {
    pair: [
      ['inversionRounds', isSome],
      ['numRegSteps', isSome],
    ],
    problem: 'fixed-point rounds of regularised predictions',
    path: 'inversionRounds',
    fix: 'Leave out numRegSteps or inversionRounds.',
  },
  unheard('inversionRounds'),
  unheard('numRegSteps'),
  {
    pair: [
      ['inversion', isDdpm],
      ['eta', isShare],
    ],
    problem: 'noise of a DDPM inversion is for steps with all of it',
    path: 'eta',
    expected: '1, or left out',
    fix: 'Leave eta out.',
  },
];

/**
 * @param settings by their names; those that are absent exclude nothing
 * @throws InputError for two that exclude each other
 */
export function checkExclusive(op: string, settings: Readonly<Record<string, unknown>>): void {
  for (const { pair, problem, path, expected, fix } of EXCLUSIVE) {
    if (!pair.every(([name, holds]) => holds(settings[name]))) continue;
    const wanted = expected === undefined ? {} : { expected, received: settings[path] };
    throw new InputError({ op, problem, ...wanted, path, fix });
  }
}

/**
 * Which of some settings excludes a value of another one.
 * @param name of the setting, with the value
 * @param beside the others, by their names; those that are absent exclude nothing
 * @returns its name; undefined for none
 */
export function excluding(name: string, value: unknown, beside: Readonly<Record<string, unknown>>): string | undefined {
  for (const {
    pair: [one, other],
  } of EXCLUSIVE) {
    for (const [[own, isOwn], [theirs, isTheirs]] of [
      [one, other],
      [other, one],
    ] as const) {
      if (own === name && isOwn(value) && isTheirs(beside[theirs])) return theirs;
    }
  }
  return undefined;
}
