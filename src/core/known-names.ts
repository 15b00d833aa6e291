/**
 * Names that a programmer writes in an options object: each is known or refused, with the nearest known one as the remedy.
 * Nothing here looks at values, but for `signal`, which means the same everywhere; nor at config files, whose unknown keys mean
 * something else.
 */
import { InputError } from './errors.ts';

/** Every key of an options type, each once: a name that is missing here, or that the type lacks, does not compile. */
export type EveryName<T> = { readonly [K in keyof Required<T>]: unknown };

/**
 * The names of an options type as a list. What the record's values are is of no account.
 * @param names `{ gap: 1, background: 1 }` for a type with these two keys
 */
export function namesOf<T>(names: EveryName<T>): readonly string[] {
  return Object.keys(names);
}

/**
 * Refuses an options object with a name that nobody knows, and a `signal` that is none. A name whose value is undefined says nothing and
 * passes.
 * @param op the function that was called, for the message
 * @param options what the caller gave; undefined passes
 * @param known every name that the function takes
 * @param elsewhere a whole sentence about a name that another function takes; undefined where none does
 * @throws InputError naming the first unknown name and the nearest known one, for what is no object, and for a `signal` that is none
 */
export function checkNames(
  op: string,
  options: unknown,
  known: readonly string[],
  elsewhere?: (name: string) => string | undefined,
): void {
  checkKnown(op, options, known, elsewhere);
  if (known.includes('signal')) checkSignal(op, (Object(options) as { readonly signal?: unknown }).signal);
}

/** The same for objects that have no `signal`. @throws InputError */
export function checkKnown(
  op: string,
  options: unknown,
  known: readonly string[],
  elsewhere: (name: string) => string | undefined = () => undefined,
): void {
  if (options === undefined) return;
  checkByName(op, options);
  const given = options as Readonly<Record<string, unknown>>;
  // Not Object.keys: what is passed by mistake, such as an AbortSignal, has its names from its class.
  for (const name in given) {
    if (known.includes(name) || given[name] === undefined) continue;
    const fix = elsewhere(name) ?? remedy(name, known);
    throw new InputError({ op, problem: 'there is no such argument', received: name, fix });
  }
}

/**
 * Refuses what is passed for the signal of a call and is none, such as the controller that it belongs to.
 * @param op the function that was called, for the message
 * @param signal undefined and null pass: there is none
 * @throws InputError
 */
export function checkSignal(op: string, signal: unknown): void {
  if (signal === undefined || signal === null) return;
  const { aborted, throwIfAborted, addEventListener } = Object(signal) as Readonly<Record<string, unknown>>;
  const acts = typeof throwIfAborted === 'function' && typeof addEventListener === 'function';
  if (typeof aborted === 'boolean' && acts) return;
  throw new InputError({
    op,
    problem: 'this is no signal',
    expected: 'an AbortSignal',
    ...(typeof signal === 'object' ? { received: 'an object of another class' } : { value: signal }),
    path: 'signal',
    fix: 'Pass controller.signal of a new AbortController(), or AbortSignal.timeout(ms).',
  });
}

/**
 * Refuses what cannot hold arguments by name.
 * @param op the function that was called, for the message
 * @param options what the caller gave
 * @throws InputError for undefined, null, a list, a function, and whatever else is no object
 */
export function checkByName(op: string, options: unknown): void {
  if (typeof options === 'object' && options !== null && !Array.isArray(options)) return;
  const received = options === null ? 'null' : Array.isArray(options) ? 'a list' : typeof options;
  throw new InputError({ op, problem: 'arguments go by name', expected: 'an object', received });
}

function remedy(name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  if (near !== undefined) return `Write ${near}.`;
  return known.length === 0 ? 'It takes none.' : `Known are ${known.join(', ')}.`;
}

/**
 * The known name that was probably meant: the same but for case, `_` and `-`, or few letters away.
 * @param name as written
 * @param known the candidates
 * @returns undefined where none is near: more than a third of the letters differ
 */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const plain = plainName(name);
  let best: string | undefined;
  let least = Math.floor(plain.length / 3) + 1;
  for (const candidate of known) {
    const distance = editDistance(plain, plainName(candidate));
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** `topk` for topK, top_k and top-k. */
function plainName(name: string): string {
  return name.replace(/[_-]/g, '').toLowerCase();
}

/** Letters to insert, drop, replace or swap with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (above[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swaps = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = swaps ? (before[j - 2] as number) + 1 : replaced;
      row.push(Math.min(replaced, swapped, (above[j] as number) + 1, (row[j - 1] as number) + 1));
    }
    [before, above] = [above, row];
  }
  return above[b.length] as number;
}
