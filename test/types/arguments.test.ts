/** The table of arguments has the names of the argument types, both ways; checked by `tsc -p test/tsconfig.json`. */
import { describe, expect, expectTypeOf, it } from 'vitest';
import type {
  EditArgs,
  EncodePromptOptions,
  GenerateMaskArgs,
  GuideArgs,
  InvertArgs,
  RunArgs,
} from '../../src/index.ts';
import { ARGUMENTS, argumentsOf, type NameIn } from '../../src/pipeline/diffedit/arguments.ts';
import { DECIDED, GUIDE_OWN, type GuideOwnArgs } from '../../src/pipeline/guide/guide-arguments.ts';

describe('the table of arguments', () => {
  it('has every argument of every method, and no other', () => {
    expectTypeOf<NameIn<'generateMask'>>().toEqualTypeOf<keyof GenerateMaskArgs>();
    expectTypeOf<NameIn<'invert'>>().toEqualTypeOf<keyof InvertArgs>();
    expectTypeOf<NameIn<'edit'>>().toEqualTypeOf<keyof EditArgs>();
    expectTypeOf<NameIn<'run'>>().toEqualTypeOf<keyof RunArgs>();
    expectTypeOf<NameIn<'encodePrompt'>>().toEqualTypeOf<keyof EncodePromptOptions>();
    expectTypeOf<Exclude<NameIn<'run'>, (typeof DECIDED)[number]> | keyof GuideOwnArgs>().toEqualTypeOf<
      keyof GuideArgs
    >();
  });

  it('names existing methods alone, each argument in one at least', () => {
    const methods = new Set(['encodePrompt', 'generateMask', 'invert', 'edit', 'run']);
    for (const [name, row] of Object.entries(ARGUMENTS)) {
      for (const method of row.in.split(' ')) expect(methods, name).toContain(method);
    }
    for (const name of DECIDED) expect(argumentsOf('run')).toContain(name);
    expect(GUIDE_OWN).toContain('models');
  });
});
