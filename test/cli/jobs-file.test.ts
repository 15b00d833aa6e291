/** Files of jobs: every option a line may have, in both kinds, and what is wrong of one. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readJobs } from '../../src/cli/jobs-file.ts';
import { resize } from '../../src/io/resize.ts';
import { readImage, saveImage } from '../../src/node/images.ts';
import { plainNames } from '../../src/pipeline/batch/plain-edit.ts';
import { pentimento } from '../support/command.ts';
import { stubRun } from '../support/stub-run.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-jobs-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(root, { recursive: true });
});
const at = (...names: string[]) => join(root, ...names);

/** Every key, by the option's first name, with a value as JSON has it and what it becomes. */
const OPTIONS: Readonly<Record<string, readonly [written: unknown, parsed: object]>> = {
  source: ['a bowl, "red"', { sourcePrompt: 'a bowl, "red"' }],
  target: ['a\nbasket', { targetPrompt: 'a\nbasket' }],
  sourceNegativePrompt: ['sn', { sourceNegativePrompt: 'sn' }],
  targetNegativePrompt: ['tn', { targetNegativePrompt: 'tn' }],
  numMapsPerMask: [3, { numMapsPerMask: 3 }],
  maskEncodeStrength: [0.4, { maskEncodeStrength: 0.4 }],
  maskThresholdingRatio: [2.5, { maskThresholdingRatio: 2.5 }],
  maskGuidanceScale: [4, { maskGuidanceScale: 4 }],
  threshold: [0.6, { threshold: 0.6 }],
  continuous: [true, { continuous: true }],
  softMask: [true, { maskMode: 'soft' }],
  maskExponent: [0.6, { maskExponent: 0.6 }],
  maskCleanup: [false, { maskCleanup: false }],
  erode: [2, { erode: 2 }],
  dilate: [1, { dilate: 1 }],
  blur: [1.5, { blur: 1.5 }],
  invertGuidanceScale: [1, { invertGuidanceScale: 1 }],
  invertNegativePrompt: ['vn', { invertNegativePrompt: 'vn' }],
  lambdaAutoCorr: [19, { lambdaAutoCorr: 19 }],
  lambdaKl: [18, { lambdaKl: 18 }],
  numRegSteps: [2, { numRegSteps: 2 }],
  numAutoCorrRolls: [4, { numAutoCorrRolls: 4 }],
  inversion: ['ddpm', { inversion: 'ddpm' }],
  inversionRounds: [1, { inversionRounds: 1 }],
  numInferenceSteps: [20, { numInferenceSteps: 20 }],
  guidanceScale: [3, { guidanceScale: 3 }],
  guidanceInterval: [[0.1, 0.8], { guidanceInterval: [0.1, 0.8] }],
  guidanceRescale: [0.7, { guidanceRescale: 0.7 }],
  inpaintStrength: [0.7, { inpaintStrength: 0.7 }],
  negativePrompt: ['n', { negativePrompt: 'n' }],
  numImagesPerPrompt: [2, { numImagesPerPrompt: 2 }],
  eta: [0.5, { eta: 0.5 }],
  clipSkip: [1, { clipSkip: 1 }],
  seed: [5, { seed: 5 }],
  fit: ['crop', { fit: 'crop' }],
  size: [{ width: 64, height: 96 }, { size: { width: 64, height: 96 } }],
  pasteBack: [false, { pasteBack: false }],
};
const FILES = { image: 'deep/a.png', mask: 'm.png', output: 'x/y.png' };
const PARSED = Object.assign({}, ...Object.values(OPTIONS).map(([, parsed]) => parsed));

const kebab = (key: string) => key.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`);
const typed = (value: unknown) => {
  const { width, height } = Object(value);
  return width ? `${width}x${height}` : String(value);
};
const cell = (text: string) => `"${text.replaceAll('"', '""')}"`;

async function jobs(text: string, name = 'jobs.jsonl') {
  await writeFile(at(name), text);
  return readJobs(at(name));
}

describe('a jobs file', () => {
  it('takes every option of an edit, under either spelling, as JSON and as CSV', async () => {
    const written = Object.fromEntries(Object.entries(OPTIONS).map(([key, [value]]) => [key, value]));
    expect(Object.keys(PARSED).sort()).toEqual([...plainNames()].sort());
    const camel = { ...FILES, ...written };
    const dashed = Object.fromEntries(Object.entries(camel).map(([key, value]) => [kebab(key), value]));
    const { source: sourcePrompt, target: targetPrompt, softMask: _, ...rest } = camel as Record<string, unknown>;
    const byOwnNames = { ...rest, sourcePrompt, targetPrompt, maskMode: 'soft' };
    const found = await jobs([camel, dashed, byOwnNames].map(row => JSON.stringify(row)).join('\n'));
    const table = [Object.keys(dashed), Object.values(dashed).map(typed)].map(row => row.map(cell).join(','));
    const [fromTable] = await jobs(table.join('\r\n'), 'jobs.csv');
    for (const job of [...found, fromTable]) {
      expect(job).toMatchObject({ picture: at('deep/a.png'), mask: at('m.png'), output: 'x/y.png' });
      expect(job.options).toEqual(PARSED);
    }
  });

  it('may begin with a mark of its encoding, end its lines as Windows does, and leave lines and cells out', async () => {
    const rows = ['image,source,negative-prompt,seed', 'a.png,"x, y",,3', '', 'https://h.example/b.png?c=1,z,n,'];
    const lines = ['{"picture":"a.png","seed":null}', '  ', '{"image":"/b.png","keep-size":true}', ''];
    expect(await jobs(`\uFEFF${rows.join('\r\n')}\r\n`, 'jobs.csv')).toEqual([
      { place: `${at('jobs.csv')}, line 2`, picture: at('a.png'), options: { sourcePrompt: 'x, y', seed: 3 } },
      {
        place: `${at('jobs.csv')}, line 4`,
        picture: 'https://h.example/b.png?c=1',
        options: { sourcePrompt: 'z', negativePrompt: 'n' },
      },
    ]);
    expect(await jobs(`\uFEFF${lines.join('\r\n')}`)).toEqual([
      { place: `${at('jobs.jsonl')}, line 1`, picture: at('a.png'), options: {} },
      { place: `${at('jobs.jsonl')}, line 3`, picture: '/b.png', options: { keepSize: true } },
    ]);
  });

  it.each([
    [
      'jobs.txt',
      '',
      'jobs: the name does not say how to read the file: got .txt (DIR/jobs.txt). Let it end in .jsonl or .csv.',
    ],
    ['jobs.csv', 'image\n', 'jobs: no job in the file (DIR/jobs.csv). Write one a line.'],
    [
      'jobs.csv',
      'image,seed\na.png\n',
      'jobs: no CSV: got Invalid Record Length: columns length is 2, got 1 on line 2 (DIR/jobs.csv). Give each line',
    ],
    ['jobs.csv', 'image,seed,seed\na,1,2\n', 'jobs: a column that is there twice: got "seed" (DIR/jobs.csv, line 1)'],
    [
      'jobs.csv',
      'image,seed\na.png,1\nb.png,1.5\n',
      'jobs: a wrong value: got "1.5" (DIR/jobs.csv, line 3, seed). Give a whole number of at least 0.',
    ],
    [
      'jobs.csv',
      'image,continuous\na.png,yes\n',
      'jobs: a wrong value: got "yes" (DIR/jobs.csv, line 2, continuous). Give true or false.',
    ],
    ['jobs.jsonl', '{"image":"a"}\n{"image":', 'jobs: a line that is no JSON: got '],
    ['jobs.jsonl', '["a.png"]', 'jobs: a line that is no object: got ["a.png"] (DIR/jobs.jsonl, line 1). Write {'],
    ['jobs.jsonl', '{"source":"a"}', 'jobs: a line without a picture (DIR/jobs.jsonl, line 1). Give it an image.'],
    ['jobs.jsonl', '{"image":""}', 'jobs: no name of a file: got "" (DIR/jobs.jsonl, line 1, image)'],
    [
      'jobs.jsonl',
      '{"image":"a","guidance_scale":2}',
      'jobs: there is no such key: got 2 (DIR/jobs.jsonl, line 1, guidance_scale). Write guidance-scale.',
    ],
    [
      'jobs.jsonl',
      '{"image":"a","tarket":"b"}',
      'jobs: there is no such key: got "b" (DIR/jobs.jsonl, line 1, tarket). Write target.',
    ],
    [
      'jobs.jsonl',
      '{"image":"a","__proto__":{}}',
      'jobs: there is no such key: got {} (DIR/jobs.jsonl, line 1, __proto__). Known are image,',
    ],
    [
      'jobs.jsonl',
      '{"image":"a","model":"m"}',
      'jobs: an option of the whole command: got "m" (DIR/jobs.jsonl, line 1, model). Give --model on the command line, for all lines.',
    ],
    [
      'jobs.jsonl',
      '{"image":"a","dtype":"float16"}',
      'jobs: an option of the whole command: got "float16" (DIR/jobs.jsonl, line 1, dtype). Give --dtype on',
    ],
    [
      'jobs.jsonl',
      '{"image":"a","picture":"b"}',
      'jobs: two keys of one meaning: got [image, picture] (DIR/jobs.jsonl, line 1). Leave image or picture out.',
    ],
    [
      'jobs.jsonl',
      '{"image":"a","size":"64x64","keepSize":true}',
      'jobs: both size and keep-size (DIR/jobs.jsonl, line 1). Leave one',
    ],
    [
      'jobs.jsonl',
      '{"image":"a","size":[64,64]}',
      'jobs: a wrong value: got [64, 64] (DIR/jobs.jsonl, line 1, size). Give width and height in pixels',
    ],
    [
      'jobs.jsonl',
      '{"image":"a","fit":"stretch"}',
      'jobs: a wrong value: got "stretch" (DIR/jobs.jsonl, line 1, fit). Allowed choices are nearest,',
    ],
    [
      'jobs.jsonl',
      '{"image":"a","source":5}',
      'jobs: a wrong value: got 5 (DIR/jobs.jsonl, line 1, source). Give a text.',
    ],
    [
      'jobs.jsonl',
      '{"image":"a","maskMode":"hard"}',
      'jobs: a wrong value: got "hard" (DIR/jobs.jsonl, line 1, maskMode). Give soft or binary.',
    ],
    [
      'jobs.jsonl',
      '{"image":"a","guidanceScale":{"a":1}}',
      'jobs: a wrong value: got {"a":1} (DIR/jobs.jsonl, line 1, guidanceScale)',
    ],
  ])('%# %s: says file, line, key and value of what is wrong', async (name, text, message) => {
    const error = await jobs(text, name).catch((cause: Error) => cause);
    expect((error as Error).message.replaceAll(root, 'DIR')).toContain(message);
  });

  it('that is not there is said so', async () => {
    await expect(readJobs(at('no.csv'))).rejects.toThrow(/^jobs: the file cannot be read: got no such file.*no\.csv/);
  });
});

describe('edit --jobs', () => {
  const TINY = ['--num-inference-steps', '2', '--num-maps-per-mask', '1', '--size', '64x64'];
  const edit = async (text: string, ...more: string[]) => {
    await writeFile(at('jobs.jsonl'), text);
    const done = await pentimento(['edit', '--jobs', at('jobs.jsonl'), '-o', at('out'), ...TINY, ...more]);
    return { ...done, error: /^error: .*/m.exec(done.stderr)?.[0].replaceAll(root, 'DIR') };
  };

  it('runs each line with its own options, and takes the rest from the command line and the model', async () => {
    const apples = await readImage('models/orchard/samples/apples-bowl.png');
    for (const name of ['a.png', 'b.png', 'm.png']) await saveImage(at(name), resize(apples, 32, 32));
    const run = stubRun();
    const rows = [
      { image: 'a.png', target: 'pears', guidanceScale: 4, seed: 9 },
      { image: 'a.png', target: 'plums', output: 'sub/plums.jpg', numImagesPerPrompt: 2 },
      { image: 'b.png', source: 'a basket', mask: 'm.png', keepSize: true, pasteBack: false },
      { image: 'a.png', target: 'limes' },
    ];
    const text = rows.map(row => JSON.stringify(row)).join('\n');
    const { code, stderr } = await edit(text, '--source', 'a bowl', '--target', 'fruit', '--seed', '1');
    expect([code, stderr.match(/Settings that the model recommends/g)?.length]).toEqual([0, 3]);
    const given = run.mock.calls.map(([args]) => args);
    expect(given.map(args => [args.sourcePrompt, args.targetPrompt, args.seed, args.guidanceScale])).toEqual([
      ['a bowl', 'pears', 9, 4],
      ['a bowl', 'plums', 1, 2],
      ['a basket', 'fruit', 1, 2],
      ['a bowl', 'limes', 1, 2],
    ]);
    expect(given.map(args => [args.image, args.maskImage, args.pasteBack].map(Boolean))).toEqual([
      ...[
        [true, false, true],
        [true, false, true],
        [true, true, false],
        [true, false, true],
      ],
    ]);
    expect(given[2].image).toMatchObject({ width: 32, height: 32 });
    const manifest = (await readFile(at('out', 'results.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map(line => JSON.parse(line));
    expect(manifest.map(({ files }) => files)).toEqual([
      { image: 'a.png', mask: 'a.mask.png' },
      { image1: 'sub/plums.1.jpg', image2: 'sub/plums.2.jpg', mask: 'sub/plums.mask.png' },
      { image: 'b.png' },
      { image: 'a-2.png', mask: 'a-2.mask.png' },
    ]);
    run.mockClear();
    // The seed of the folder is not that of a line.
    expect((await edit(text, '--source', 'a bowl', '--target', 'fruit')).code).toBe(0);
    expect(run).not.toHaveBeenCalled();
  });

  it.each([
    [
      '{"image":"a.png","source":"x"}',
      'jobs: a line without a target prompt (DIR/jobs.jsonl, line 1). Give target in the line, or --target for all lines.',
    ],
    [
      '{"image":"a.png","source":"x","target":"y","inpaintStrength":0.1}',
      'jobs: --num-inference-steps 2 at --inpaint-strength 0.1 leave no step: expected at least 1 of 2, got 0 (DIR/jobs.jsonl, line 1, inpaintStrength). Use more steps or a higher strength.',
    ],
    [
      '{"image":"a.png","source":"x","target":"y","output":"../x.png"}',
      'jobs: a name that leads elsewhere: got "../x.png" (DIR/jobs.jsonl, line 1). Give a relative name',
    ],
    [
      '{"image":"a.png","source":"x","target":"y","output":"x.gif"}',
      'jobs: the name does not say how to write the file: got x.gif (DIR/jobs.jsonl, line 1). Let output end in .png or .jpg or .jpeg.',
    ],
    [
      '{"image":"a.png","source":"x","target":"y","output":"x.png"}\n{"image":"b.png","source":"x","target":"y","output":"X.png"}',
      'jobs: two lines write the same file: got X.png (DIR/jobs.jsonl, line 1 and DIR/jobs.jsonl, line 2). Give each line an output of its own.',
    ],
  ])('%# refuses what is wrong before anything is loaded', async (text, message) => {
    const run = stubRun();
    const { code, stdout, error } = await edit(text);
    expect([code, stdout]).toEqual([2, '']);
    expect(error).toContain(`error: ${message}`);
    expect(run).not.toHaveBeenCalled();
  });
});
