/** Settings that exclude each other: who takes some from a model and some from its user takes no two of these. */

type Excludes = readonly [name: string, holds: (value: unknown) => boolean];

const isDdpm = (value: unknown): boolean => value === 'ddpm';
const isSome = (value: unknown): boolean => Number(value) > 0;
const isShare = (value: unknown): boolean => Number(value) > 0 && Number(value) < 1;

/** What `run` refuses together. */
const EXCLUSIVE: readonly (readonly [Excludes, Excludes])[] = [
  [
    ['inversion', isDdpm],
    ['inversionRounds', isSome],
  ],
  [
    ['inversion', isDdpm],
    ['numRegSteps', isSome],
  ],
  [
    ['inversion', isDdpm],
    ['eta', isShare],
  ],
  [
    ['inversionRounds', isSome],
    ['numRegSteps', isSome],
  ],
];

/**
 * Which of some settings excludes a value of another one.
 * @param name of the setting, with the value
 * @param beside the others, by their names; those that are absent exclude nothing
 * @returns its name; undefined for none
 */
export function excluding(name: string, value: unknown, beside: Readonly<Record<string, unknown>>): string | undefined {
  for (const [one, other] of EXCLUSIVE) {
    for (const [[own, isOwn], [theirs, isTheirs]] of [
      [one, other],
      [other, one],
    ] as const) {
      if (own === name && isOwn(value) && isTheirs(beside[theirs])) return theirs;
    }
  }
  return undefined;
}
