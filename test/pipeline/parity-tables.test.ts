/** docs/parity.md says what the table of arguments says: every argument of every method, with its default. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { argumentsOf, defaultOf, type Method } from '../../src/pipeline/diffedit/arguments.ts';
import { phaseArguments } from '../../src/pipeline/diffedit/run-arguments.ts';

const text = readFileSync('docs/parity.md', 'utf8');

/** Names and defaults of the tables between two lines of the document. */
function rows(from: string, to: string): Map<string, string | undefined> {
  const start = text.indexOf(from);
  const part = text.slice(start, text.indexOf(to, start + from.length));
  const found = new Map<string, string | undefined>();
  for (const [, names, defaults] of part.matchAll(/^\| (`[^|]*) \|([^|]*)\|/gm)) {
    const values = defaults.split(',').map(value => value.trim());
    for (const [i, [, name]] of [...names.matchAll(/`(\w+)`/g)].entries()) found.set(name, values[i] || undefined);
  }
  return found;
}

/** As the document writes a default. */
const written = (value: unknown): string | undefined =>
  value === undefined ? undefined : typeof value === 'string' ? `'${value}'` : String(value);

/** Of diffusers; there is none here, and no name. */
const ABSENT = ['returnDict'];

describe.each<[Method, string, string]>([
  ['generateMask', '## `generateMask`', 'Returns `{ mask'],
  ['invert', '## `invert`', '## `edit`'],
  ['edit', '## `edit`', '## `run`'],
  ['encodePrompt', '`encodePrompt(prompt, options)`', '## Known slips'],
])('the table of %s', (method, from, to) => {
  const table = rows(from, to);

  test('names every argument and no other', () => {
    const names = [...table.keys()].filter(name => !ABSENT.includes(name));
    expect(names.sort()).toEqual([...argumentsOf(method)].sort());
  });

  test('gives the defaults that count', () => {
    const defaults = Object.fromEntries(argumentsOf(method).map(name => [name, written(defaultOf(method, name))]));
    const { returnDict: _, ...named } = Object.fromEntries(table);
    expect(named).toEqual(defaults);
  });
});

test('run takes the arguments of its phases under their names, and those of its own table', () => {
  const own = rows('## `run`', '`encodePrompt(prompt, options)`');
  for (const [name, byDefault] of own) expect(byDefault, name).toBe(written(defaultOf('run', name)));
  const phases = (['generateMask', 'invert', 'edit'] as const).flatMap(method => argumentsOf(method) as string[]);
  const gone = ['prompt', 'promptEmbeds', 'decodeLatents', 'latents'];
  const all = new Set([...phases.filter(name => !gone.includes(name)), ...own.keys()]);
  expect([...all].sort()).toEqual([...argumentsOf('run')].sort());
});

describe('a phase of a run', () => {
  test('takes what run calls otherwise, and says so', () => {
    const args = { sourcePrompt: 's', guidanceScale: 3, invertNegativePrompt: 'n', negativePrompt: 'edit', eta: 1 };
    const plain = phaseArguments('invert', args);
    expect(plain.args).toEqual({ prompt: 's', guidanceScale: 3, negativePrompt: 'n' });
    expect(['prompt', 'guidanceScale', 'numRegSteps'].map(plain.nameOf)).toEqual([
      'sourcePrompt',
      'guidanceScale',
      'numRegSteps',
    ]);
    const own = phaseArguments('invert', { ...args, invertGuidanceScale: 1 });
    expect(own.args.guidanceScale).toBe(1);
    expect(own.nameOf('guidanceScale')).toBe('invertGuidanceScale');
  });

  test('has no use for the form of the edit’s result', () => {
    expect(phaseArguments('generateMask', { outputType: 'latent', maskGuidanceScale: 1 }).args).toEqual({
      guidanceScale: 1,
    });
  });
});

test('an argument goes through few files: the command line knows none of the guidance but by the table', () => {
  const files = new Set<string>();
  const named = /\bguidanceScale\b/;
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) walk(path);
      else if (named.test(readFileSync(path, 'utf8'))) files.add(path);
    }
  };
  walk('src');
  // Its table, its type, the numbers that follow from it, the records of files and reports; three others only name it.
  expect([...files].sort()).toEqual([
    'src/cli/distilled.ts',
    'src/cli/edit.ts',
    'src/cli/invert.ts',
    'src/cli/latents.ts',
    'src/cli/preset.ts',
    'src/cli/reconstruct.ts',
    'src/generation/refused.ts',
    'src/pipeline/diffedit/arguments.ts',
    'src/pipeline/diffedit/guidance.ts',
    'src/pipeline/diffedit/phase-requests.ts',
    'src/pipeline/diffedit/recommended.ts', // the names that a model may recommend; the compiler holds them to the table
    'src/pipeline/diffedit/reconstruct.ts',
    'src/pipeline/diffedit/run-arguments.ts',
    'src/pipeline/diffedit/types.ts',
    // The same for the pipelines that make pictures.
    'src/pipeline/image-generation/arguments.ts',
    'src/pipeline/image-generation/settle.ts',
    'src/pipeline/image-generation/types.ts',
    'src/schedulers/regularise.ts',
  ]);
});
