/** Where the noise of a call comes from: one stream of random numbers, or one for each row. */
import { InputError } from '../../core/errors.ts';
import { Generator } from '../../schedulers/generator.ts';

/** One stream of random numbers, or one for each row of a batch. */
export type Generators = Generator | readonly Generator[];

/**
 * One source of noise for a call: the caller's, or a new one from entropy.
 * @throws InputError for what is no generator
 */
export function generatorOf(op: string, args: { readonly generator?: Generators | undefined }): Generators {
  if (args.generator != null) {
    for (const one of [args.generator].flat()) checkGenerator(op, one);
    return args.generator;
  }
  const fresh = new Generator();
  fresh.seed();
  return fresh;
}

function checkGenerator(op: string, value: unknown): void {
  if (value instanceof Generator) return;
  const fix = 'Make one with new Generator(seed).';
  throw new InputError({ op, problem: 'not a generator', received: typeof value, path: 'generator', fix });
}

/** @throws InputError for a list of generators of another length than the rows that are drawn */
export function checkGenerators(op: string, generator: Generators, rows: number): void {
  if (!Array.isArray(generator) || generator.length === rows) return;
  throw new InputError({
    op,
    problem: 'the number of generators differs from the rows that are drawn',
    expected: rows,
    received: generator.length,
    path: 'generator',
    fix: 'Pass one generator, or one for each row.',
  });
}

/** As many streams in place of the caller's, from which a plan may draw. */
export function standIn(generator: Generators): Generators {
  return Array.isArray(generator) ? generator.map(() => new Generator(0)) : new Generator(0);
}
