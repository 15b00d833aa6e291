import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeAll } from '../../src/cli/output.ts';
import { InputError } from '../../src/core/errors.ts';
import { pentimento } from '../support/command.ts';

const APPLES = 'models/orchard/samples/apples-bowl.png';
const SOURCE = ['--source', 'a bowl of apples'];
const PROMPTS = [...SOURCE, '--target', 'a bowl of pears'];

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-output-'));
});
afterEach(() => rm(root, { recursive: true }));

const at = (name: string) => join(root, name);
const file = (name: string, text: string) => ({ path: at(name), bytes: new TextEncoder().encode(text) });
const read = (name: string) => readFile(at(name), 'utf8');

describe('writing files', () => {
  it('makes folders, replaces what was there, and leaves nothing else', async () => {
    await writeFile(at('a'), 'before');
    await writeAll([file('a', 'after'), file('deep/b', 'new')]);
    expect([await read('a'), await read('deep/b')]).toEqual(['after', 'new']);
    expect((await readdir(root, { recursive: true })).sort()).toEqual(['a', 'deep', 'deep/b']);
  });

  it('puts everything back where one of the files cannot take its place', async () => {
    await writeFile(at('a'), 'before');
    await mkdir(at('c/full'), { recursive: true });
    const writing = writeAll([file('a', 'after'), file('b', 'new'), file('c', 'a folder is there')]);
    await expect(writing).rejects.toThrow(InputError);
    await expect(writing).rejects.toThrow(`output: the result cannot be written: got a folder (${at('c')})`);
    expect(await read('a')).toBe('before');
    expect((await readdir(root)).sort()).toEqual(['a', 'c']);
  });

  it('says so where a file is in the place of a folder', async () => {
    await writeFile(at('a'), 'before');
    const writing = writeAll([file('a/b', 'below a file')]);
    await expect(writing).rejects.toThrow('output: the result cannot be written');
    expect(await read('a')).toBe('before');
  });

  it('writes none where a folder cannot be made', async () => {
    await writeFile(at('taken'), 'a file');
    await expect(writeAll([file('a', 'new'), file('taken/b', 'new')])).rejects.toThrow(at('taken/b'));
    expect(await readdir(root)).toEqual(['taken']);
  });
});

describe('a name that is taken by a folder is refused before anything is loaded', () => {
  const edit = (...more: string[]) => ['edit', APPLES, ...PROMPTS, '-o', at('out.png'), ...more];
  it.each([
    ['out.mask.png', () => edit()],
    ['out.sheet.png', () => edit('--mask', APPLES)],
    ['out.2.png', () => edit('--num-images-per-prompt', '2')],
    ['x.step-08.png', () => ['invert', APPLES, ...SOURCE, ...invert('--num-inference-steps', '13')]],
    ['noise.png', () => ['guide', APPLES, '--from', 'bowl', '--to', 'basket', '-o', root]],
  ])('%s', async (name, args) => {
    await mkdir(at(name));
    const { code, stdout, stderr } = await pentimento(args());
    expect(stderr).toBe(`error: output: a folder has this name (${at(name)}). Name a file.\n`);
    expect(stdout).toBe('');
    expect(code).toBe(2);
    expect(await readdir(root)).toEqual([name]);
  });
  const invert = (...more: string[]) => ['--decode-latents', '-o', at('x.safetensors'), ...more];

  it('but not where that file is not written', async () => {
    await mkdir(at('out.mask.png'));
    const { stderr } = await pentimento(edit('--mask', at('nowhere.png')));
    expect(stderr).toMatch(/^error: readImage: no readable file/);
    expect(existsSync(at('out.png'))).toBe(false);
  });
});
