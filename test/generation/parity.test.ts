import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { generate } from '../../src/generation/index.ts';
import { camelCase, refusedNames } from '../../src/generation/refused.ts';
import { settingNames } from '../../src/generation/settings.ts';
import { loadGeneration, toyTask } from './toy.ts';

const page = readFileSync(new URL('../../docs/parity-generate.md', import.meta.url), 'utf8');
const rows = new Map([...page.matchAll(/^\| `(\w+)` \| (done|refused)/gm)].map(([, name, state]) => [name, state]));
const { config, call, model } = loadGeneration('arguments') as Record<'config' | 'call' | 'model', string[]>;

describe('docs/parity-generate.md', () => {
  test('has one row for every argument of transformers 4.57.6, and no other', () => {
    expect([...rows.keys()].sort()).toEqual([...config, ...call, ...model].sort());
  });

  test('calls refused what the code refuses by name', () => {
    const refused = [...rows].filter(([, state]) => state === 'refused').map(([name]) => camelCase(name));
    expect(refused.sort()).toEqual([...refusedNames()].sort());
  });

  test('calls done what there is a setting or an option for', () => {
    const options = ['inputs', 'logitsProcessor', 'stoppingCriteria', 'prefixAllowedTokensFn'];
    options.push('attentionMask', 'decoderInputIds', 'interpolatePosEncoding'); // beside the inputs
    const done = [...rows].filter(([, state]) => state === 'done').map(([name]) => camelCase(name));
    expect(done.sort()).toEqual([...settingNames(), ...options].sort());
  });

  test.each(refusedNames())('%s is refused by name', async name => {
    const task = toyTask([[5, 9, 4]]);
    const options = { [name]: 'something' };
    await expect(generate(task, options)).rejects.toThrow(`generate: ${name} is not supported`);
    expect(task.decoders).toEqual([]);
  });

  test.each([
    ['useCache', true],
    ['guidanceScale', 1],
    ['numBeamGroups', 1],
    ['penaltyAlpha', null],
    ['returnDictInGenerate', true],
  ])('%s: %s asks for nothing', async (name, value) => {
    const options = { [name]: value, maxNewTokens: 1 };
    expect((await generate(toyTask([[5, 9, 4]]), options)).sequences).toEqual([[5, 9, 4, 35]]);
  });
});
