/** What the benchmark of pictures measures, on pictures and captions whose measure is known. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { captionFits, maskIou, means, psnrWhere } from '../../bench/quality/measures.ts';
import { Naturalness } from '../../bench/quality/naturalness.ts';

import { chosenScenes, containerSwaps, otherSwaps, readScenes } from '../../bench/quality/scenes.ts';
import { comparison, GAP } from '../../bench/quality/sheets.ts';

import { asText, merged, withMeasured } from '../../bench/quality/table.ts';
import { NAMED, parseVariant, parseVariants } from '../../bench/quality/variants.ts';
import type { RgbImage } from '../../src/io/image.ts';
import { diskFolder } from '../support/folder.ts';
import { testGpu } from '../support/gpu.ts';
import { openPipeline } from '../support/pipeline.ts';

const SCENES = 'bench/quality/scenes';
const scenes = await readScenes(SCENES);
const folder = mkdtempSync(join(tmpdir(), 'scenes-'));
afterAll(() => rmSync(folder, { recursive: true }));

function flat(width: number, height: number, value: number) {
  return { width, height, data: new Uint8Array(3 * width * height).fill(value) };
}

describe('intersection over union', () => {
  const region = Uint8Array.from([1, 1, 0, 0, 1, 1, 0, 0]); // 4 x 2
  const mask = (...data: number[]) => ({ data: Float32Array.from(data), shape: [1, 1, data.length] });

  it('is 1 for the region itself, at the resolution of latents', () => expect(maskIou(mask(1, 0), region, 4)).toBe(1));
  it('is 0 beside it', () => expect(maskIou(mask(0, 1), region, 4)).toBe(0));
  it('counts what is masked too much', () => expect(maskIou(mask(1, 1), region, 4)).toBe(0.5));
  it('counts a grey mask above one half', () => {
    expect(maskIou(mask(0.5, 0), region, 4)).toBe(0);
    expect(maskIou(mask(0.51, 0.4), region, 4)).toBe(1);
  });
  it('is 0 where both are empty', () => expect(maskIou(mask(0, 0), new Uint8Array(8), 4)).toBe(0));
  it('reads rows of the mask as rows of the picture', () => {
    const top = Uint8Array.from([1, 1, 1, 1, 0, 0, 0, 0]);
    expect(maskIou({ data: Float32Array.from([1, 1, 0, 0]), shape: [1, 2, 2] }, top, 4)).toBe(1);
  });
});

describe('PSNR over a region', () => {
  it('is that of the mean squared error of its pixels alone', () => {
    const [a, b] = [flat(2, 1, 10), flat(2, 1, 10)];
    b.data.set([20, 10, 10], 0); // 100 / 3 on the first pixel, nothing on the second
    expect(psnrWhere(a, b, Uint8Array.from([1, 0]), 1)).toBeCloseTo(10 * Math.log10((255 ** 2 * 3) / 100), 10);
    expect(psnrWhere(a, b, Uint8Array.from([1, 0]), 0)).toBeCloseTo(10 * Math.log10(255 ** 2 / 1e-9), 10);
    expect(psnrWhere(a, b, Uint8Array.from([1, 1]), 1)).toBeCloseTo(10 * Math.log10((255 ** 2 * 6) / 100), 10);
  });
});

it.each([
  ['a photograph of a bowl of apples on a wooden table', 'apples', 'bowl', true],
  ['a bowl of green apples on a white table', 'apples', 'bowl', false],
  ['a bowl of green apples on a white table', 'green apples', 'bowl', true],
  ['a bowl of apples', 'green apples', 'bowl', false],
  ['a basket of apples', 'apples', 'bowl', false],
  ['a plate of pears', 'lemons', 'plate', false],
])('"%s" with %s in a %s: %s', (caption, fruit, container, fits) => {
  expect(captionFits(caption, { fruit, container })).toBe(fits);
});

describe('how much the UNet believes latents', () => {
  it('is the error that torch finds, and a torn picture is believed less', async () => {
    const golden = JSON.parse(readFileSync('test/golden/quality/naturalness.json', 'utf8'));
    const pipe = await openPipeline('models/orchard/stable-diffusion');
    const unet = diskFolder('models/orchard/stable-diffusion/unet');
    const judge = await Naturalness.open(await testGpu(), unet, pipe.scheduler);
    try {
      const { promptEmbeds } = await pipe.encodePrompt(golden.prompt);
      const errorOf = ({ latents, shape }: { latents: number[]; shape: number[] }) =>
        judge.errorOf({ data: Float32Array.from(latents), shape }, promptEmbeds);
      for (const name of ['whole', 'torn', 'whole'] as const) {
        expect(Math.abs((await errorOf(golden[name])) / golden[name].error - 1)).toBeLessThan(1e-4);
      }
      expect(golden.torn.error).toBeGreaterThan(1.5 * golden.whole.error);
    } finally {
      judge.dispose();
      pipe.dispose();
    }
  });
});

describe('scenes', () => {
  it('are 24, a quarter of them container swaps, each with the region where its pictures differ', () => {
    expect(scenes.map(({ change }) => change).filter(change => change === 'container').length).toBe(6);
    expect(scenes.length).toBe(24);
    for (const { source, truth, region } of scenes) {
      const differ = region.map((_, i) =>
        Number([0, 1, 2].some(c => Math.abs(source.data[3 * i + c] - truth.data[3 * i + c]) > 12)),
      );
      expect(differ).toEqual(region);
    }
  });

  it('turned are other container swaps of the same form', async () => {
    const swaps = containerSwaps(scenes);
    const [first] = scenes.filter(({ change }) => change === 'container');
    expect(swaps.length).toBe(18);
    expect(new Set(swaps.map(({ id }) => id)).size).toBe(18);
    expect(swaps[0]).toMatchObject({ sourcePrompt: first.targetPrompt, targetPrompt: first.sourcePrompt });
    expect(swaps[0].container).toBe('basket');
    expect(swaps[0].source).toBe(first.truth);
    const [, , , , , , both] = swaps;
    const row = (data: ArrayLike<number>, y: number) => Array.from(data).slice(128 * y, 128 * (y + 1));
    expect(row(both.region, 70)).toEqual(row(first.region, 70).reverse());
    expect([...both.source.data.slice(0, 3)]).toEqual([...first.truth.data.slice(3 * 127, 3 * 128)]);
  });

  it('have pictures that other swaps are made of, half of them of containers, none of them a scene', () => {
    const swaps = otherSwaps(scenes);
    const key = ({ source, targetPrompt }: { source: RgbImage; targetPrompt: string }) =>
      `${source.data.slice(0, 3000).join()} ${targetPrompt}`;
    const drawn = scenes.flatMap(scene => [scene, { source: scene.truth, targetPrompt: scene.sourcePrompt }]);
    const known = new Set(drawn.map(key));
    expect(swaps.filter(swap => known.has(key(swap)))).toEqual([]);
    expect(new Set(swaps.map(key)).size).toBe(swaps.length);
    const changes = swaps.map(({ change }) => change);
    expect([changes.filter(c => c === 'fruit').length, changes.filter(c => c === 'container').length]).toEqual([
      21, 21,
    ]);
    expect(swaps[0]).toMatchObject({ id: '00-after', sourcePrompt: 'a plate of strawberries', container: 'bowl' });
    expect(swaps[0]).not.toHaveProperty('truth');
    for (const { sourcePrompt, targetPrompt, fruit, container } of swaps) {
      expect(targetPrompt).toBe(`a ${container} of ${fruit}`);
      expect(targetPrompt).not.toBe(sourcePrompt);
    }
  });

  it('are chosen by their ids, in the order asked for', () => {
    expect(chosenScenes(scenes, ['06', '01']).map(({ id }) => id)).toEqual(['06', '01']);
    expect(() => chosenScenes(scenes.slice(0, 2), ['99'])).toThrow('no scene is called "99"; there are 00, 01');
    expect(() => chosenScenes(scenes, ['06', '01', '06'])).toThrow('scene "06" is chosen twice');
  });

  it('that name one fruit and one container have no other swaps of them', () => {
    const [apples] = scenes;
    const alike = { ...apples, sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of apples' };
    expect(otherSwaps([alike])).toEqual([]);
    const fruits = otherSwaps([{ ...alike, targetPrompt: 'a bowl of pears' }, alike]);
    expect(fruits.filter(({ sourcePrompt, targetPrompt }) => sourcePrompt === targetPrompt)).toEqual([]);
  });

  it.each([
    ['no list', {}, 'not a list of cases'],
    ['a field that is missing', [{ id: '00' }], 'cases.json[0].change: not a text'],
  ])('are refused with the place: %s', async (_, cases, message) => {
    writeFileSync(join(folder, 'cases.json'), JSON.stringify(cases));
    await expect(readScenes(folder)).rejects.toThrow(message);
  });
});

it('a comparison has a row for each scene that every variant edited: source, edits, drawn result', () => {
  const two = scenes.slice(0, 2);
  const [first] = two;
  const sheet = comparison(two, { a: [flat(128, 128, 10), flat(128, 128, 20)], b: [flat(128, 128, 30)] });
  expect([sheet.width, sheet.height]).toEqual([4 * 128 + 5 * GAP, 128 + 2 * GAP]);
  const middle = [0, 1, 2, 3].map(i => sheet.data[3 * (sheet.width * 64 + GAP + i * (128 + GAP) + 64)]);
  const of = ({ data }: { data: ArrayLike<number> }) => data[3 * (128 * (64 - GAP) + 64)];
  expect(middle).toEqual([of(first.source), 10, 30, of(first.truth)]);
  expect(comparison(two, { a: [flat(128, 128, 10), flat(128, 128, 20)] }).height).toBe(2 * (128 + 2 * GAP));
});

describe('variants', () => {
  it('with a name are read', () => {
    for (const name of Object.keys(NAMED)) expect(parseVariant(name).options).toBe(NAMED[name]);
    expect(parseVariant('diffusers')).toMatchObject({ mendQuirks: false, args: { guidanceScale: 7.5 } });
  });

  it("are options of pentimento edit, with a shell's quotes", () => {
    const { args, name, mendQuirks } = parseVariant("mine=--negative-prompt '' --guidance-scale 4");
    expect(name).toBe('mine');
    expect(args).toMatchObject({ negativePrompt: '', guidanceScale: 4, inpaintStrength: 0.8 });
    expect(mendQuirks).toBe(false);
    expect(parseVariant('a=--mend-quirks --negative-prompt "a bowl"').args.negativePrompt).toBe('a bowl');
  });

  it.each([
    ['nobody', 'no variant is called "nobody"'],
    ['a=--guidance-scale much', 'variant a:'],
    ['a=--no-such-option 1', "unknown option '--no-such-option'"],
    ['a=left over', 'too many arguments'],
  ])('%s is refused', (text, message) => expect(() => parseVariant(text)).toThrow(message));
});

it.each([
  [['a=--eta 1', 'a='], 'two variants are called "a"'],
  [['diffusers', 'demo', 'diffusers'], 'two variants are called "diffusers"'],
  [['../up='], 'variant ../up: a name of files'],
  [['toString'], 'no variant is called "toString"'],
])('variants %j are refused', (texts, message) => expect(() => parseVariants(texts)).toThrow(message));

describe('tables', () => {
  const measured = { ok: 0.5, nat: 0.1234, bg: 30, pasted: 33, inside: 13, iou: 0.6, seconds: 9 };
  const row = { ...measured, cases: 2, options: '--eta 1' };

  it('have means', () => {
    const other = { ...measured, ok: 0, bg: 31 };
    expect(means([measured, other])).toEqual({ ...measured, ok: 0.25, bg: 30.5 });
    const { bg: _, ...undrawn } = measured;
    expect(means([undrawn, measured])).toEqual(undrawn);
  });

  it('say the same in text and documents, and runs add to what was recorded', () => {
    expect(asText({ mine: row })).toContain('mine         2  50 %  0.12     30.0    33.0    13.0  0.60        9.0');
    const all = merged({ scenes: { b: row, a: row } }, 'scenes', { a: { ...row, cases: 24 } }, ['a', 'b']);
    expect(Object.keys(all.scenes)).toEqual(['a', 'b']);
    const text = withMeasured('before\n<!-- measured: npm run bench:quality -->\nold\n<!-- /measured -->\nafter', all);
    expect(text).toContain('| a | 24 | 50 % | 0.12 | 30.0 | 33.0 | 13.0 | 0.60 | `--eta 1` |');
    expect(text).not.toContain('old');
    const { bg: _, ...undrawn } = row;
    expect(withMeasured(text, { swaps: { a: undrawn } })).toContain('| a | 2 | 50 % | 0.12 | - | 33.0 |');
    expect(text.startsWith('before') && text.endsWith('after')).toBe(true);
  });

  it('of docs/quality.md are those of bench/results/quality.json', () => {
    const document = readFileSync('docs/quality.md', 'utf8');
    const recorded = JSON.parse(readFileSync('bench/results/quality.json', 'utf8'));
    expect(withMeasured(document, recorded)).toBe(document);
  });
});

it('keeps no rows over some of the scenes in place of those over all', () => {
  for (const some of [
    ['--only', '01'],
    ['--cases', '2'],
  ]) {
    const bench = ['--import', './test/support/run-typescript.mjs', 'bench/quality.ts', '--record', ...some];
    const { status, stderr } = spawnSync(process.execPath, bench, { encoding: 'utf8' });
    expect(stderr).toBe('bench: --record keeps rows over all scenes: leave out --only and --cases\n');
    expect(status).toBe(2);
  }
});
