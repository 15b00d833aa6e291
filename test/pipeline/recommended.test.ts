/** What a model's folder recommends: which of it comes through, what is said of the rest, and that no call takes it by itself. */
import { readFileSync } from 'node:fs';
import { describe, expect, expectTypeOf, it, vi } from 'vitest';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import { mapFolder } from '../../src/io/sources.ts';
import {
  ARGUMENTS,
  type ArgumentName,
  argumentsOf,
  defaultOf,
  type OptionGroup,
} from '../../src/pipeline/diffedit/arguments.ts';
import { readRecommended } from '../../src/pipeline/diffedit/read-recommended.ts';
import type { Recommended, RecommendedName } from '../../src/pipeline/diffedit/recommended.ts';
import { isSetting } from '../../src/pipeline/diffedit/recommended-file.ts';
import type { RunArgs } from '../../src/pipeline/diffedit/types.ts';
import type { CheckName } from '../../src/pipeline/diffusion/argument-checks.ts';
import { blocks } from '../support/documents.ts';
import { openPipeline } from '../support/pipeline.ts';

const ORCHARD = new URL('../../models/orchard/stable-diffusion', import.meta.url).pathname;
const FILE = 'pentimento.json';

/** What a folder with this file recommends, and what is said of it. */
async function read(file: object | string): Promise<{ found: Recommended | undefined; warnings: string[] }> {
  const warnings: string[] = [];
  const folder = mapFolder({ [FILE]: typeof file === 'string' ? file : JSON.stringify(file) }, 'm');
  return { found: await readRecommended(folder, 'test', message => warnings.push(message)), warnings };
}

const of = (settings: object) => read({ version: 1, settings });

describe('settings come through', () => {
  it('that are numbers, pairs of them, booleans and enumerations, frozen', async () => {
    const settings = { maskMode: 'soft', maskExponent: 0.6, guidanceInterval: [0.1, 0.8], maskCleanup: true, erode: 0 };
    const { found, warnings } = await read({ version: 1, reason: 'why', reasons: { erode: 'none' }, settings });
    expect(warnings).toEqual([]);
    expect(found).toEqual({ reason: 'why', reasons: { erode: 'none' }, settings, guide: {} });
    for (const part of [found, found?.reasons, found?.settings, found?.settings.guidanceInterval])
      expect(Object.isFrozen(part)).toBe(true);
  });

  it('for the guide apart, by the same rules', async () => {
    const own = { guidanceScale: 2, negativePrompt: 'empty', seed: 1 };
    const { found, warnings } = await read({ version: 1, settings: {}, guide: own });
    expect(found?.guide).toEqual({ guidanceScale: 2, negativePrompt: '' });
    expect(Object.isFrozen(found?.guide)).toBe(true);
    expect(warnings).toEqual(['m/pentimento.json: "seed" is not for a model to recommend; left out.']);
    expect((await read({ version: 1, settings: {}, guide: 1 })).warnings).toEqual([
      'm/pentimento.json: guide must be an object, not 1; left out.',
    ]);
  });

  it('for the guide with the source prompt as negative, where the settings have none', async () => {
    const { found } = await read({
      version: 1,
      settings: { negativePrompt: 'empty' },
      guide: { negativePrompt: 'source' },
    });
    expect({ ...found?.settings, ...found?.guide }).toEqual({ negativePrompt: undefined });
  });

  it("and of the negative prompt the choice: none, or the source prompt, which is run's default", async () => {
    expect((await of({ negativePrompt: 'empty' })).found?.settings).toEqual({ negativePrompt: '' });
    const { found, warnings } = await of({ negativePrompt: 'source' });
    expect([found?.settings, warnings]).toEqual([{}, []]);
  });

  it('for every argument of which a value says how a picture is edited, and for no other', () => {
    const names = Object.keys(ARGUMENTS).filter(isSetting);
    expect(names.sort()).toEqual(
      [
        ...['numMapsPerMask', 'maskEncodeStrength', 'maskThresholdingRatio', 'maskGuidanceScale', 'threshold'],
        ...['continuous', 'maskMode', 'maskExponent', 'maskCleanup', 'erode', 'dilate', 'blur'],
        ...['invertGuidanceScale', 'numInferenceSteps', 'guidanceScale', 'guidanceInterval', 'guidanceRescale'],
        ...['inpaintStrength', 'lambdaAutoCorr', 'lambdaKl', 'numRegSteps', 'numAutoCorrRolls'],
        ...['inversion', 'inversionRounds', 'eta', 'clipSkip'],
      ].sort(),
    );
    expect(argumentsOf('run')).toEqual(expect.arrayContaining(names));
    expectTypeOf<'maskMode' | 'continuous' | 'clipSkip' | 'eta'>().toExtend<RecommendedName>();
    expectTypeOf<
      Extract<RecommendedName, 'seed' | 'numImagesPerPrompt' | 'negativePrompt' | 'callbackSteps'>
    >().toBeNever();
    expectTypeOf<Recommended['settings']>().toExtend<Partial<RunArgs>>();
  });
});

describe('one warning says what is left out', () => {
  it.each([
    [{ maskExponent: 0 }, 'm/pentimento.json: "maskExponent" is 0, not a finite number > 0; left out.'],
    [{ maskExponent: '0.6' }, 'm/pentimento.json: "maskExponent" is "0.6", not a finite number > 0; left out.'],
    [{ maskExponent: null }, 'm/pentimento.json: "maskExponent" is null, not a value; left out.'],
    [{ maskMode: 'alpha' }, `m/pentimento.json: "maskMode" is "alpha", not 'binary' or 'soft'; left out.`],
    [{ continuous: 1 }, 'm/pentimento.json: "continuous" is 1, not true or false; left out.'],
    [{ negativePrompt: 'rain' }, 'm/pentimento.json: "negativePrompt" is "rain", not "source" or "empty"; left out.'],
    [{ maskExpnent: 1 }, 'm/pentimento.json: unknown setting "maskExpnent" (is it "maskExponent"?); left out.'],
    [{ '\u001b[2J\u009b': 1 }, 'm/pentimento.json: unknown setting "\\u001b[2J?"; left out.'],
    [{ targetPrompt: 'a cat' }, 'm/pentimento.json: "targetPrompt" is not for a model to recommend; left out.'],
  ])('%j', async (bad, message) => {
    const { found, warnings } = await of({ guidanceScale: 2, ...bad });
    expect(warnings).toEqual([message]);
    expect(found?.settings).toEqual({ guidanceScale: 2 });
  });

  it.each([
    ...['seed', 'callback', 'callbackSteps', 'maskImage', 'imageLatents', 'generator', 'signal', 'image', 'pasteBack'],
    ...['sourcePrompt', 'invertNegativePrompt', 'numImagesPerPrompt', 'outputType', 'returnLatents', 'toString'],
    ...['__proto__', 'constructor'],
  ])('and %s is never taken', async name => {
    const { found, warnings } = await read(`{ "version": 1, "settings": { "${name}": 1 } }`);
    expect([Object.keys(found?.settings ?? {}), warnings.length]).toEqual([[], 1]);
    expect(Object.getPrototypeOf(found?.settings)).toBe(Object.prototype);
  });

  it('and unknown fields beside the settings', async () => {
    const { found, warnings } = await read({ version: 1, note: 'x', settings: { eta: 1 } });
    expect([found?.settings, warnings]).toEqual([{ eta: 1 }, ['m/pentimento.json: unknown field "note"; left out.']]);
  });

  it('also for what does not go with a setting before it', async () => {
    const { found, warnings } = await of({ inversion: 'ddpm', inversionRounds: 2, numRegSteps: 0, eta: 0.5 });
    expect(found?.settings).toEqual({ inversion: 'ddpm', numRegSteps: 0 });
    expect(warnings).toEqual([
      'm/pentimento.json: "inversionRounds" 2 does not go with "inversion" "ddpm"; left out.',
      'm/pentimento.json: "eta" 0.5 does not go with "inversion" "ddpm"; left out.',
    ]);
    expect((await of({ numRegSteps: 1, inversionRounds: 1 })).found?.settings).toEqual({ numRegSteps: 1 });
  });

  it('and one counts those beyond the first eight', async () => {
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`x${i}`, 1]));
    const { found, warnings } = await read({ version: 1, ...many, settings: { ...many, eta: 1 } });
    expect(found?.settings).toEqual({ eta: 1 });
    expect(warnings).toHaveLength(9);
    expect(warnings.at(-1)).toBe('m/pentimento.json: 1992 more of such; left out.');
  });

  it('and a file too large to be one of settings is not read', async () => {
    const text = vi.fn();
    const huge = { byteLength: 2 ** 31, label: 'x', read: text };
    const folder = { ...mapFolder({ [FILE]: '{}' }, 'm'), bytes: async () => huge, text };
    const warnings: string[] = [];
    expect(await readRecommended(folder, 'test', message => warnings.push(message))).toBeUndefined();
    expect(text).not.toHaveBeenCalled();
    expect(warnings).toEqual([
      'm/pentimento.json cannot be read (it has 2147483648 bytes, more than 1048576): its settings are not known.',
    ]);
  });

  it.each([
    [{ version: 2, settings: { eta: 1 } }, 'm/pentimento.json is of version 2, not 1: its settings are not known.'],
    [{ settings: { eta: 1 } }, 'm/pentimento.json is of version absent, not 1: its settings are not known.'],
    ['[]', 'm/pentimento.json cannot be read (the file is not a JSON object): its settings are not known.'],
    ['{', 'm/pentimento.json cannot be read (the file is not JSON): its settings are not known.'],
    ['version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n', expect.stringContaining('Git LFS')],
  ])('and of a file that is none, all: %j', async (file, message) => {
    expect(await read(file)).toEqual({ found: undefined, warnings: [message] });
  });
});

it('a folder without the file, or that cannot tell, recommends nothing, and a signal still ends it', async () => {
  const silent = vi.fn();
  expect(await readRecommended(mapFolder({}), 'test', silent)).toBeUndefined();
  const failing = (error: unknown): FolderSource => ({ ...mapFolder({}), has: () => Promise.reject(error) });
  const { InputError } = await import('../../src/core/errors.ts');
  expect(await readRecommended(failing(new InputError({ op: 'x', problem: 'no' })), 'test', silent)).toBeUndefined();
  await expect(readRecommended(failing(new Error('enough')), 'test', silent)).rejects.toThrow('enough');
  expect(silent).not.toHaveBeenCalled();
});

describe('a pipeline', () => {
  it('shows what its folder recommends, and a call without it is diffusers', async () => {
    const pipe = await openPipeline('models/orchard/stable-diffusion', { loadWhenNeeded: true });
    const file = JSON.parse(readFileSync(`${ORCHARD}/${FILE}`, 'utf8'));
    expect(pipe.recommended?.settings).toEqual({ ...file.settings, negativePrompt: '' });
    const image = { width: 128, height: 128, data: new Uint8Array(3 * 128 * 128) };
    const args = { image, sourcePrompt: 's', targetPrompt: 't', seed: 0 };
    const plain = await pipe.plan(args);
    expect((await pipe.plan({ ...pipe.recommended?.settings, ...args })).phases).not.toEqual(plain.phases);
    // No negative is none for any number of prompts.
    const two = { ...args, sourcePrompt: ['s', 't'], targetPrompt: ['u', 'v'] };
    expect((await pipe.plan({ ...pipe.recommended?.settings, ...two })).dispatches).toBeGreaterThan(0);
    pipe.dispose();
    await expect(pipe.plan(args)).rejects.toThrow('plan: the pipeline was disposed. Open it again');
    await expect(pipe.planSavings(args)).rejects.toThrow('planSavings: the pipeline was disposed. Open it again');
  });

  it('has none where the folder has none', async () => {
    const warnings: string[] = [];
    const pipe = await openPipeline('test/golden/sd1/model', {
      loadWhenNeeded: true,
      onWarning: m => warnings.push(m),
    });
    expect([pipe.recommended, warnings.filter(m => m.includes(FILE))]).toEqual([undefined, []]);
    pipe.dispose();
  });
});

type Groups = Exclude<OptionGroup, 'Prompts' | 'Model and device'>;

type OfTheTable = Exclude<
  {
    [N in ArgumentName]: (typeof ARGUMENTS)[N] extends { readonly option: readonly [Groups, string, string] }
      ? (typeof ARGUMENTS)[N] extends { readonly check: CheckName } | { readonly default: boolean }
        ? N
        : never
      : never;
  }[ArgumentName],
  'numImagesPerPrompt'
> &
  keyof RunArgs;

it('the names are those of the table: an argument more does not compile', () => {
  expectTypeOf<RecommendedName>().toEqualTypeOf<OfTheTable>();
});

describe('docs/recommended-settings.md', () => {
  const text = readFileSync('docs/recommended-settings.md', 'utf8');
  const part = text.slice(text.indexOf('## What can be'), text.indexOf('## Which of them'));
  const rows = [...part.matchAll(/^\| `(\w+)` \|[^|]*\| ([^|]+) \|/gm)].map(([, name = '', value = '']) => ({
    name,
    value,
  }));

  it('names every setting, with its default', () => {
    expect(rows.map(({ name }) => name).sort()).toEqual(
      [...Object.keys(ARGUMENTS).filter(isSetting), 'negativePrompt'].sort(),
    );
    const known = rows.filter(({ name }) => isSetting(name) && defaultOf('run', name) !== undefined);
    const written = (name: string) => JSON.stringify(defaultOf('run', name));
    expect(known.map(({ name, value }) => [name, value])).toEqual(known.map(({ name }) => [name, written(name)]));
  });

  it('has an example of which all is taken', async () => {
    const [json = ''] = blocks(text, 'json');
    const { found, warnings } = await read(json);
    expect(warnings).toEqual([]);
    expect([Object.keys(found?.settings ?? {}).length, found?.guide]).toEqual([5, { guidanceScale: 5 }]);
  });

  it('ends warnings as they end', async () => {
    const bad = {
      author: 'me',
      reasons: { foo: 'y' },
      settings: { maskMod: 1, seed: 4, guidanceScale: '3', negativePrompt: 'ugly' },
    };
    const { warnings } = await read({ version: 1, ...bad });
    const all = [...warnings, ...(await read({ version: 2 })).warnings, ...(await read('{')).warnings];
    const ends = [...text.matchAll(/^\| [^|]+ \| `([^`]+[.])` \|$/gm)].map(([, end = '']) => end);
    expect(ends).toHaveLength(all.length);
    for (const end of ends)
      expect(
        all.filter(line => line.endsWith(end)),
        end,
      ).toHaveLength(1);
  });
});
