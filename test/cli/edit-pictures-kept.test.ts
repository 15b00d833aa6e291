/** What the pictures and the manifest of earlier calls are to later ones. A stub stands for the model. */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { saveImage } from '../../src/node/images.ts';
import { pentimento } from '../support/command.ts';
import { stubRun } from '../support/stub-run.ts';

const PROMPTS = ['--source', 'a bowl of apples', '--target', 'a bowl of pears', '--seed', '0'];
const TINY = ['--num-inference-steps', '2', '--num-maps-per-mask', '1', '--size', '64x64'];

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-kept-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(root, { recursive: true });
});
const at = (...names: string[]) => join(root, ...names);

/** Pictures, each of other colours. */
async function pictures(...names: string[]): Promise<void> {
  for (const [i, name] of names.entries()) {
    await mkdir(dirname(at(name)), { recursive: true });
    await saveImage(at(name), { width: 8, height: 8, data: new Uint8Array(192).fill(i + 1) });
  }
}

async function edit(folder: string, ...more: string[]) {
  const { code, stderr } = await pentimento(['edit', at(folder), ...PROMPTS, ...TINY, '-o', at('out'), ...more]);
  return { code, error: /^error: .*/m.exec(stderr)?.[0].replaceAll(root, 'DIR') };
}

const results = async () => (await readdir(at('out'), { recursive: true })).filter(name => /\.png$/.test(name)).sort();

it('another folder with pictures of the same names takes no result of the first', async () => {
  await pictures('monday/x.png', 'tuesday/x.png');
  const run = stubRun();
  await edit('monday');
  const first = await readFile(at('out', 'x.png'));
  for (const folder of ['tuesday', 'monday', 'tuesday']) expect(await edit(folder)).toEqual({ code: 0 });
  expect(run).toHaveBeenCalledTimes(2);
  expect(await readFile(at('out', 'x.png'))).toEqual(first);
  expect(await results()).toEqual(['x.mask.png', 'x.png', 'x.png.mask.png', 'x.png.png']);
  // Those of pictures that were moved go with them.
  await rename(at('monday'), at('moved'));
  await edit('moved');
  expect(run).toHaveBeenCalledTimes(2);
});

it('a folder where a result would be, and a file where its folder would, are refused before the model runs', async () => {
  await pictures('in/a.png', 'in/deep/b.png');
  const run = stubRun();
  await mkdir(at('out', 'a.png'), { recursive: true });
  expect(await edit('in', '--force')).toEqual({
    code: 2,
    error: 'error: output: a folder has this name (DIR/out/a.png). Name a file.',
  });
  await rm(at('out', 'a.png'), { recursive: true });
  await writeFile(at('out', 'deep'), 'a file');
  expect(await edit('in')).toEqual({
    code: 2,
    error: 'error: output: the folder is a file: got DIR/out/deep (DIR/out/deep/b.png). Name another folder.',
  });
  expect(run).not.toHaveBeenCalled();
});

it('a result without bytes, as a power cut may leave it, is made anew', async () => {
  await pictures('in/a.png');
  stubRun();
  await edit('in');
  const made = await readFile(at('out', 'a.png'));
  await writeFile(at('out', 'a.png'), '');
  await edit('in');
  expect(await readFile(at('out', 'a.png'))).toEqual(made);
});

it('a last line that is whole, and has lost only its end to an editor, counts', async () => {
  await pictures('in/a.png');
  const run = stubRun();
  await edit('in');
  const text = await readFile(at('out', 'results.jsonl'), 'utf8');
  await writeFile(at('out', 'results.jsonl'), text.trimEnd());
  expect(await edit('in')).toEqual({ code: 0 });
  expect(run).toHaveBeenCalledTimes(1);
  await pictures('in/a.png', 'in/b.png');
  await edit('in');
  expect((await readFile(at('out', 'results.jsonl'), 'utf8')).split('\n').map(line => line.slice(0, 26))).toEqual([
    ...['{"version":1,"name":"a.png', '{"version":1,"name":"b.png', ''],
  ]);
});

it('a file of the same name as the manifest that is of somebody else is left as it is', async () => {
  await pictures('in/a.png');
  await mkdir(at('out'));
  for (const text of ['words', '{"theirs":1}']) {
    await writeFile(at('out', 'results.jsonl'), text);
    expect((await edit('in')).code).toBe(2);
    expect(await readFile(at('out', 'results.jsonl'), 'utf8')).toBe(text);
  }
});

it.skipIf(process.platform === 'win32')('a picture with a backslash in its name is one of the folder', async () => {
  await pictures('in/a\\..\\b.png');
  const run = stubRun();
  for (const _ of [1, 2]) expect(await edit('in')).toEqual({ code: 0 });
  expect(run).toHaveBeenCalledTimes(1);
});

it.skipIf(process.platform === 'win32')(
  'results that lie among the pictures behind a link are no pictures',
  async () => {
    await pictures('in/a.png');
    await symlink(at('in'), at('link'));
    const run = stubRun();
    for (const _ of [1, 2]) expect(await edit('in', '-o', at('link', 'edited'))).toEqual({ code: 0 });
    expect(run).toHaveBeenCalledTimes(1);
    expect((await edit('in', '-o', at('link'))).error).toContain('the results would lie among the pictures');
  },
);

it('nothing that somebody wrote into the manifest becomes part of the contact sheet but as text', async () => {
  await pictures('in/a.png');
  stubRun();
  await edit('in');
  const text = await readFile(at('out', 'results.jsonl'), 'utf8');
  const forged = text.replace(/"pictureSize":\{"width":8/, '"pictureSize":{"width":"\\"><script>"');
  await writeFile(at('out', 'results.jsonl'), forged.replace(/"masked":[\d.]+/, '"masked":"<script>"'));
  expect(await edit('in', '--contact-sheet')).toEqual({ code: 0 });
  expect(await readFile(at('out', 'contact-sheet.html'), 'utf8')).not.toContain('<script>');
});

it.skipIf(process.platform === 'win32')('a pipe among the pictures is none, and holds nothing up', async () => {
  await pictures('in/a.png');
  execFileSync('sh', ['-c', 'mkfifo "$0"', at('in', 'pipe.png')]);
  const run = stubRun();
  expect(await edit('in')).toEqual({ code: 0 });
  const names = ['edit', at('in', 'pipe.png'), at('in', 'a.png'), ...PROMPTS, ...TINY, '-o', at('named')];
  const { code, stderr } = await pentimento(names);
  expect([code, stderr]).toEqual([3, expect.stringContaining('edit: not a file')]);
  expect(run).toHaveBeenCalledTimes(2);
});
