/** `pentimento edit` of many pictures: what is done, skipped, kept and refused. A stub stands for the model but where it says so. */
import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WeightsError } from '../../src/core/errors.ts';
import { DeviceLostError } from '../../src/gpu/device-lost.ts';
import { resize } from '../../src/io/resize.ts';
import { readImage, saveImage } from '../../src/node/images.ts';
import { pentimento } from '../support/command.ts';
import { stubOutput, stubRun } from '../support/stub-run.ts';

const APPLES = 'models/orchard/samples/apples-bowl.png';
const PROMPTS = ['--source', 'a bowl of apples', '--target', 'a bowl of pears'];
const TINY = ['--num-inference-steps', '2', '--num-maps-per-mask', '1', '--size', '64x64'];

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-pictures-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(root, { recursive: true });
});
const at = (...names: string[]) => join(root, ...names);

/** Small pictures below `in`, each of another size. */
async function pictures(...names: string[]): Promise<void> {
  const apples = await readImage(APPLES);
  for (const [i, name] of names.entries()) {
    await mkdir(dirname(at('in', name)), { recursive: true });
    await saveImage(at('in', name), resize(apples, 32 + i, 32, 'bicubic'));
  }
}

const args = (...more: string[]) => ['edit', at('in'), ...PROMPTS, ...TINY, '-o', at('out'), ...more];

async function edit(...more: string[]) {
  return pentimento(args(...more));
}

async function lines(): Promise<Record<string, unknown>[]> {
  const text = await readFile(at('out', 'results.jsonl'), 'utf8');
  expect(text.endsWith('\n')).toBe(true);
  return text
    .slice(0, -1)
    .split('\n')
    .map(line => JSON.parse(line));
}

/** Names and hashes of all files of the results but the manifest. */
async function results(folder = 'out'): Promise<Record<string, string>> {
  const entries = await readdir(at(folder), { recursive: true, withFileTypes: true });
  const found: Record<string, string> = {};
  for (const entry of entries.filter(e => e.isFile() && e.name !== 'results.jsonl')) {
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(at(folder).length + 1);
    found[name] = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
  }
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)));
}

const errorIn = (stderr: string) => /^error: .*/m.exec(stderr)?.[0].replaceAll(root, 'DIR');

describe('a folder of pictures', () => {
  it('goes to a folder of results of the same names, with a line each in the manifest', async () => {
    await pictures('b10.png', 'b2.jpg', 'deep/er/a b.png', '.hidden/x.png', '.x.png');
    await writeFile(at('in', 'notes.txt'), 'words');
    const run = stubRun();
    const { code, stdout, stderr } = await edit('--seed', '7');
    expect([code, errorIn(stderr)]).toEqual([0, undefined]);
    // As people count, and what was made in the order in which it was.
    const files = ['b2', 'b10', 'deep/er/a b'].flatMap(name => [`${name}.png`, `${name}.mask.png`]);
    expect(stdout).toBe([...files, 'results.jsonl'].map(name => `${at('out', name)}\n`).join(''));
    expect(Object.keys(await results()).sort()).toEqual([...files].sort());
    expect(run).toHaveBeenCalledTimes(3);
    const [first, ...rest] = await lines();
    expect(rest.map(line => line['name'])).toEqual(['b10.png', 'deep/er/a b.png']);
    expect(first).toMatchObject({
      ...{ version: 1, name: 'b2.png', input: '../in/b2.jpg', seed: 7, dtype: 'float32', model: 'orchard (embedded)' },
      ...{ files: { image: 'b2.png', mask: 'b2.mask.png' }, masked: 0.5, workingSize: { height: 64 } },
      ...{ pictureSize: { width: 33, height: 32 }, outputSize: { width: 33, height: 32 } },
      ...{ edit: { sourcePrompt: 'a bowl of apples', numInferenceSteps: 2, seed: 7, fit: 'nearest', pasteBack: true } },
      sha256: createHash('sha256')
        .update(await readFile(at('in', 'b2.jpg')))
        .digest('hex'),
    });
    expect(first['id']).toMatch(/^[0-9a-f]{64}$/);
    expect(stderr).toMatch(/^1\/3 b2\.png: [\d.]+ s, mask 50 %, \d+ s left\n2\/3 b10\.png: /m);
  });

  it('is searched without the results that lie below it, and by patterns', async () => {
    await pictures('a.png', 'b.PNG', 'deep/c.png', 'deep/[d].png');
    const run = stubRun();
    const into = ['-o', at('in', 'edited'), ...PROMPTS, ...TINY, '--seed', '0'];
    expect((await pentimento(['edit', at('in'), ...into])).code).toBe(0);
    expect(run).toHaveBeenCalledTimes(4);
    const again = await pentimento(['edit', at('in'), ...into]);
    expect(run).toHaveBeenCalledTimes(4);
    expect(again.stderr).toContain('4 of 4 pictures were done before.');
    const by = await pentimento(['edit', at('in', '{deep,no}/*.png'), '-o', at('out'), ...PROMPTS, ...TINY]);
    expect([by.code, run.mock.calls.length]).toEqual([0, 4 + 2]);
    expect(Object.keys(await results())).toEqual([
      ...['deep/[d].mask.png', 'deep/[d].png', 'deep/c.mask.png', 'deep/c.png'],
    ]);
  });

  it('makes what a picture becomes alone', async () => {
    await pictures('b.png');
    const alone = ['edit', at('in', 'b.png'), ...PROMPTS, ...TINY, '--seed', '3', '-o', at('alone.png')];
    expect((await pentimento(alone)).code).toBe(0);
    expect((await edit('--seed', '3')).code).toBe(0); // by the model itself
    for (const name of ['b.png', 'b.mask.png']) {
      expect(await readFile(at('out', name))).toEqual(await readFile(at(name.replace('b', 'alone'))));
    }
    const [line] = await lines();
    expect(Object.keys(line['timingsMs'] as object)).toContain('invert');
  });

  it('says everything in one document where JSON is asked for', async () => {
    await pictures('a.png', 'b.png');
    await writeFile(at('in', 'c.png'), 'words');
    stubRun();
    const { code, stdout } = await edit('--json', '--seed', '1');
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({
      ...{ command: 'edit', folder: at('out'), files: { manifest: at('out', 'results.jsonl') } },
      ...{ pictures: 3, done: 2, skipped: 0, seed: 1, preset: 'recommended', settings: { numInferenceSteps: 2 } },
      ...{ failed: [{ name: 'c.png', input: '../in/c.png', error: { class: 'InputError', received: 'text' } }] },
      ...{ timingsMs: { edit: 2, total: expect.any(Number) }, model: 'orchard (embedded)', peakBytes: 0 },
    });
  });
});

describe('the same command again', () => {
  it('does nothing but what is missing, is of another edit, or is forced', async () => {
    await pictures('a.png', 'b.png', 'c.png');
    const run = stubRun();
    await edit();
    const [{ seed }] = await lines();
    const made = await results();
    const runsOf = async (...more: string[]) => {
      run.mockClear();
      expect((await edit(...more)).code).toBe(0);
      return run.mock.calls.length;
    };
    expect(await runsOf()).toBe(0);
    expect(await lines()).toHaveLength(3);
    await rm(at('out', 'b.mask.png'));
    expect(await runsOf()).toBe(1);
    expect(await results()).toEqual(made);
    await saveImage(at('in', 'c.png'), resize(await readImage(APPLES), 40, 40, 'bicubic'));
    expect(await runsOf()).toBe(1);
    expect(await runsOf('--force')).toBe(3);
    // Without --seed the folder keeps the one that it has.
    expect(new Set((await lines()).map(line => line['seed']))).toEqual(new Set([seed]));
    expect(await runsOf('--guidance-scale', '3')).toBe(3);
    expect(await runsOf('--guidance-scale', '3', '--mend-quirks')).toBe(3);
    expect(await runsOf('--guidance-scale', '3', '--mend-quirks')).toBe(0);
  });

  it('tries again what failed, behind the rest', async () => {
    await pictures('a.png', 'c.png');
    await writeFile(at('in', 'b.png'), 'words');
    const run = stubRun();
    const first = await edit('--seed', '0');
    expect(first.code).toBe(3);
    expect(first.stderr).toMatch(
      /\nfailed: b\.png: loadImage: not a picture .*\nerror: edit: 1 of 3 pictures failed\./,
    );
    expect(Object.keys(await results())).toEqual(['a.mask.png', 'a.png', 'c.mask.png', 'c.png']);
    expect((await lines()).map(line => [line['name'], 'error' in line])).toEqual([
      ...[
        ['a.png', false],
        ['b.png', true],
        ['c.png', false],
      ],
    ]);
    await pictures('a.png', 'c.png', 'd.png', 'b.png');
    run.mockClear();
    expect((await edit('--seed', '0')).code).toBe(0);
    expect(run).toHaveBeenCalledTimes(2);
    expect((await lines()).slice(3).map(line => line['name'])).toEqual(['d.png', 'b.png']);
  });

  it('goes on where Ctrl-C ended it, and what was finished stays', async () => {
    const names = ['a.png', 'b.png', 'c.png', 'd.png'];
    await pictures(...names);
    stubRun();
    await edit('--seed', '0');
    const whole = await results();
    await rm(at('out'), { recursive: true });
    const controller = new AbortController();
    vi.restoreAllMocks();
    stubRun((given, call) => {
      if (call === 2) controller.abort();
      given.signal?.throwIfAborted();
      return stubOutput(given);
    });
    const { signal } = controller;
    const { code, stdout, stderr } = await pentimento(args('--seed', '0', '--contact-sheet'), { signal });
    expect(code).toBe(130);
    const sheet = await readFile(at('out', 'contact-sheet.html'), 'utf8');
    expect(names.filter(name => sheet.includes(name))).toEqual(['a.png', 'b.png']);
    await rm(at('out', 'contact-sheet.html'));
    // In the first of all there is nothing to show.
    vi.restoreAllMocks();
    const first = new AbortController();
    stubRun(given => {
      first.abort();
      given.signal?.throwIfAborted();
      return stubOutput(given);
    });
    const nothing = ['edit', at('in'), ...PROMPTS, ...TINY, '-o', at('none'), '--contact-sheet'];
    expect((await pentimento(nothing, { signal: first.signal })).code).toBe(130);
    expect(await readdir(at('none')).catch(() => [])).not.toContain('contact-sheet.html');
    expect(stderr).toMatch(/\ninterrupted, 2 of 4 pictures are done\. The same command goes on\.\n$/);
    expect(stdout.split('\n')).toHaveLength(5);
    expect(Object.keys(await results())).toEqual(['a.mask.png', 'a.png', 'b.mask.png', 'b.png']);
    vi.restoreAllMocks();
    const run = stubRun();
    expect((await edit('--seed', '0')).code).toBe(0);
    expect(run).toHaveBeenCalledTimes(2);
    expect(await results()).toEqual(whole);
  });

  it('is told to go on where the device is lost twice in a row', async () => {
    await pictures('a.png', 'b.png', 'c.png', 'd.png', 'e.png');
    stubRun((given, call) => {
      if (call === 0 || call > 1) throw new DeviceLostError('edit', { reason: 'unknown', message: 'gone', losses: 1 });
      return stubOutput(given);
    });
    const { code, stderr } = await edit('--seed', '0');
    expect(code).toBe(1);
    expect(errorIn(stderr)).toMatch(
      /the device was lost: .* twice in a row; 1 of 5 pictures are done\. The same command/,
    );
    vi.restoreAllMocks();
    const run = stubRun();
    expect((await edit('--seed', '0')).code).toBe(0);
    expect(run).toHaveBeenCalledTimes(4);
  });

  it('drops a line that a kill tore, and files that were being written', async () => {
    await pictures('a.png', 'b.png');
    const run = stubRun();
    await edit('--seed', '0');
    const made = await results();
    const text = await readFile(at('out', 'results.jsonl'), 'utf8');
    await writeFile(at('out', 'results.jsonl'), text.slice(0, -20));
    for (const name of ['b.png.123.part', 'b.mask.png.123.old']) await writeFile(at('out', name), 'torn');
    await writeFile(at('out', 'other.png.123.part'), 'of others');
    // As the killed command left it.
    const lock = JSON.stringify({ version: 1, pid: 2 ** 22 + 1, host: hostname() });
    await writeFile(at('out', '.pentimento.lock'), lock);
    run.mockClear();
    expect((await edit('--seed', '0')).code).toBe(0);
    expect(run).toHaveBeenCalledTimes(1);
    expect((await lines()).map(line => line['name'])).toEqual(['a.png', 'b.png']);
    expect(Object.keys(await results())).toEqual([...Object.keys(made), 'other.png.123.part']);
  });
});

it('ends at what is of no picture, such as weights that are damaged', async () => {
  await pictures('a.png', 'b.png');
  const run = stubRun(() => {
    throw new WeightsError({ op: 'safetensors', problem: 'the file is cut short' });
  });
  const { code, stderr } = await edit();
  expect([code, errorIn(stderr), run.mock.calls.length]).toEqual([2, 'error: safetensors: the file is cut short', 1]);
});

describe('what is refused before any work', () => {
  it.each([
    [
      ['a.png'],
      () => args('--latents', 'x.safetensors'),
      'edit: --latents are of one picture (x.safetensors). Leave them out, or name one picture.',
    ],
    [
      ['a.png'],
      () => args('-o', at('x.png')),
      'edit: several pictures go to a folder (DIR/x.png). Name a folder with -o, such as -o edited.',
    ],
    [
      ['a.png'],
      () => args('-o', at('in', 'a.png', 'x')),
      'output: the folder is a file: got DIR/in/a.png (DIR/in/a.png/x/results.jsonl). Name another folder.',
    ],
    [
      ['a.png'],
      () => args('--jobs', at('x.jsonl')),
      'edit: both pictures and --jobs (DIR/in). Name the pictures in the file, or leave --jobs out.',
    ],
    [
      ['a.png'],
      () => args('--inpaint-strength', '0.1'),
      'edit: --num-inference-steps 2 at --inpaint-strength 0.1 leave no step: expected at least 1 of 2, got 0 (--inpaint-strength). Use more steps or a higher strength.',
    ],
    [
      ['a.png'],
      () => ['edit', at('in', '*.png'), ...PROMPTS, '-o', at('in')],
      'edit: the results would lie among the pictures (DIR/in). Name another folder with -o, such as -o edited.',
    ],
    [
      ['a.png'],
      () => args('--mask', at('no.png')),
      'readImage: no readable file: got no such file or directory (DIR/no.png). Check the path.',
    ],
    [
      ['a.png'],
      () => args('--size', '100x128'),
      'size: sides must be multiples of 8: got 100x128. Pass --size 96x128.',
    ],
    [
      ['a.txt.png'],
      () => ['edit', at('in', '*.jpg'), ...PROMPTS, '-o', at('out')],
      'edit: no picture is found (DIR/in/*.jpg). Name a folder or a pattern with png, jpg, jpeg, gif, bmp, webp, avif.',
    ],
    [
      ['a.png'],
      () => ['edit', at('in'), at('b.png'), ...PROMPTS, '-o', at('out')],
      'edit: no such file or folder (DIR/b.png). Check the path.',
    ],
    [
      ['a.png'],
      () => ['edit', at('in', 'a.png'), '--force', ...PROMPTS, '-o', at('x.png')],
      'edit: --force is for several pictures. Leave it out, or name a folder with -o.',
    ],
    [
      ['a.png'],
      () => ['edit', at('in', 'a.png'), ...PROMPTS, '-o', at('in')],
      'output: writing this file would destroy an input (a picture) (DIR/in/a.png). Write to another name with -o.',
    ],
  ])('%# says what is wrong, and writes nothing', async (names, command, message) => {
    await pictures(...names);
    const run = stubRun();
    const before = await readdir(root, { recursive: true });
    const { code, stdout, stderr } = await pentimento(command());
    expect([code, stdout, errorIn(stderr)]).toEqual([2, '', `error: ${message}`]);
    expect(run).not.toHaveBeenCalled();
    expect(await readdir(root, { recursive: true })).toEqual(before);
  });

  it('a manifest of another version, one that is none, and files of others', async () => {
    await pictures('a.png');
    const run = stubRun();
    await edit();
    const text = await readFile(at('out', 'results.jsonl'), 'utf8');
    const refused = async (manifest: string, ...more: string[]) => {
      await writeFile(at('out', 'results.jsonl'), manifest);
      run.mockClear();
      const { code, stderr } = await edit(...more);
      expect([code, run.mock.calls.length]).toEqual([2, 0]);
      return errorIn(stderr);
    };
    expect(await refused(text.replace('"version":1', '"version":2'))).toBe(
      'error: manifest: a manifest of another version: expected 1, got 2 (DIR/out/results.jsonl, line 1). Name another folder with -o, or move this file away.',
    );
    expect(await refused(`${text}{"version":1}\n`)).toContain(
      'a line that tells of no picture (DIR/out/results.jsonl, line 2)',
    );
    const outside = text.replace('"name":"a.png"', '"name":"../a.png"');
    expect(await refused(outside)).toContain('a line that tells of no picture (DIR/out/results.jsonl, line 1)');
    expect(await refused(`words\n${text}`)).toContain('a line that is no JSON (DIR/out/results.jsonl, line 1)');
    expect(await refused('')).toBe(
      'error: output: a file of this name is there, and the manifest does not tell of it (DIR/out/a.png). Name another folder with -o, or give --force to write over it.',
    );
    expect((await edit('--force')).code).toBe(0);
  });

  it('a second command in the same folder', async () => {
    await pictures('a.png');
    let second: Awaited<ReturnType<typeof edit>> | undefined;
    stubRun(async given => {
      second ??= await edit();
      return stubOutput(given);
    });
    expect((await edit()).code).toBe(0);
    expect(second?.code).toBe(2);
    expect(errorIn(second?.stderr ?? '')).toContain(
      `another command writes to this folder: got process ${process.pid} on ${hostname()} (DIR/out). Wait for it`,
    );
    expect(await readdir(at('out'))).not.toContain('.pentimento.lock');
    await writeFile(at('out', '.pentimento.lock'), JSON.stringify({ version: 1, pid: 1, host: 'elsewhere.invalid' }));
    expect(errorIn((await edit()).stderr)).toContain('got process 1 on elsewhere.invalid');
    await writeFile(at('out', '.pentimento.lock'), ''); // killed while it took the folder
    expect((await edit()).code).toBe(0);
  });
});

describe('names of results', () => {
  it('do not meet, and stay when pictures come that would take them', async () => {
    await pictures('x.png', 'A.png');
    stubRun();
    await edit('--seed', '0');
    await pictures('x.png', 'A.png', 'x.jpg', 'deep/x.png');
    await copyFile(at('in', 'x.jpg'), at('in', 'a.jpg'));
    expect((await edit('--seed', '0')).code).toBe(0);
    const made = Object.keys(await results()).filter(name => !name.includes('.mask.'));
    expect(made).toEqual(['A.png', 'a.jpg.png', 'deep/x.png', 'x.jpg.png', 'x.png']);
  });

  it('are many where many pictures are made of one', async () => {
    await pictures('x.png');
    stubRun();
    await edit('--num-images-per-prompt', '2', '--seed', '0');
    expect(Object.keys(await results())).toEqual(['x.1.png', 'x.2.png', 'x.mask.png']);
    const mask = ['--mask', at('in', 'x.png'), '--force', '--seed', '0'];
    expect((await edit(...mask)).code).toBe(0);
    expect((await lines())[1]).toMatchObject({ files: { image: 'x.png' }, mask: '../in/x.png' });
  });
});

it('one picture goes into a folder where -o is one', async () => {
  await pictures('a.png');
  stubRun();
  const into = ['edit', at('in', 'a.png'), ...PROMPTS, ...TINY, '-o', `${at('new')}/`];
  expect((await pentimento(into)).code).toBe(0);
  expect(Object.keys(await results('new'))).toEqual(['a.mask.png', 'a.png']);
});

it('a contact sheet shows all edits of the manifest, with addresses that lead to their files', async () => {
  await pictures('a b#.png', 'deep/c.png');
  await writeFile(at('in', '<bad>.png'), 'words');
  stubRun();
  const { code, stdout } = await edit('--contact-sheet', '--target', 'pears & "plums" <b>');
  expect(code).toBe(3);
  expect(stdout).toContain(at('out', 'contact-sheet.html'));
  const page = await readFile(at('out', 'contact-sheet.html'), 'utf8');
  expect(page).toContain('2 edited, 1 failed');
  expect(page).toContain('<dd>pears &amp; &quot;plums&quot; &lt;b&gt;</dd>');
  expect(page).toContain('<h2>&lt;bad&gt;.png</h2>');
  const images = [...page.matchAll(/<img src="([^"]*)" width="(\d+)" height="(\d+)" loading="lazy"[^>]* alt="[^"]+"/g)];
  expect(images.map(([, url]) => url)).toEqual([
    ...['../in/a%20b%23.png', 'a%20b%23.mask.png', 'a%20b%23.png'],
    ...['../in/deep/c.png', 'deep/c.mask.png', 'deep/c.png'],
  ]);
  for (const [, url, width, height] of images.filter(([, url]) => !url.includes('.mask.'))) {
    const picture = await readImage(new URL(url, `file://${at('out')}/`));
    expect([picture.width, picture.height]).toEqual([Number(width), Number(height)]);
  }
});
