import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RgbImage, rgbToGrey } from '../../src/io/image.ts';
import { resize } from '../../src/io/resize.ts';
import { readImage, saveImage } from '../../src/node/images.ts';
import { pentimento } from '../support/command.ts';

const PROMPTS = ['--source', 'a bowl of apples', '--target', 'a bowl of pears'];
// Binary masks: a file of one is the same mask again.
const EXACT = ['--preset', 'diffusers', '--fit', 'nearest'];
const TINY = ['--num-inference-steps', '2', '--num-maps-per-mask', '1', '--seed', '0', ...EXACT];

let root: string;
let photo: RgbImage;
const at = (name: string) => join(root, name);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-fit-'));
  photo = resize(await readImage('models/orchard/samples/market.jpg'), 300, 200, 'lanczos');
  await saveImage(at('photo.png'), photo);
});
afterAll(() => rm(root, { recursive: true }));

async function run(...args: string[]) {
  const { code, stdout, stderr } = await pentimento(args);
  expect(stderr).not.toMatch(/^error/m);
  expect(code).toBe(0);
  return { ...JSON.parse(stdout), stderr };
}

const edit = (...args: string[]) => run('edit', at('photo.png'), ...PROMPTS, ...TINY, ...args, '--json');

async function size(path: string) {
  const { width, height } = await readImage(path);
  return `${width}x${height}`;
}

describe('a photo of 300x200', () => {
  it('is edited in its own proportions and comes back at its own size, its own pixels outside the mask', async () => {
    const { files, stderr, ...result } = await edit('-o', at('out.png'));
    expect(result).toMatchObject({
      ...{ fit: 'nearest', workingSize: { width: 160, height: 104 }, outputSize: { width: 300, height: 200 } },
    });
    expect(stderr).toContain('Picture 300x200, worked at 160x104 (--fit nearest), result 300x200.');
    expect(await size(files.mask)).toBe('160x104');
    const [made, mask] = [await readImage(files.image), rgbToGrey(await readImage(files.mask))];
    expect([made.width, made.height]).toEqual([300, 200]);
    // Far from the mask, by the edge's 4 sigma and a latent, no pixel differs.
    const near = (x: number, y: number) => {
      const [u, v] = [(x * 160) / 300, (y * 104) / 200];
      return mask.data.some((m, i) => m > 0 && Math.abs((i % 160) - u) < 26 && Math.abs(Math.floor(i / 160) - v) < 26);
    };
    const changed = Array.from({ length: 300 * 200 }, (_, i) => i).filter(i =>
      [0, 1, 2].some(c => made.data[3 * i + c] !== photo.data[3 * i + c]),
    );
    expect(changed.length).toBeGreaterThan(0);
    expect(changed.filter(i => i % 17 === 0 && !near(i % 300, Math.floor(i / 300)))).toEqual([]);
  });

  it.each([
    ['crop', [], '300x200', '128x128'],
    ['pad', ['--no-paste-back'], '128x85', '128x85'],
  ])('by --fit %s %j becomes %s, with a mask of %s', async (fit, options, result, seen) => {
    const { files, workingSize, outputSize } = await edit('--fit', fit, ...options, '-o', at(`${fit}.png`));
    expect([await size(files.image), await size(files.mask)]).toEqual([result, seen]);
    expect(workingSize).toEqual({ width: 128, height: 128 });
    expect(`${outputSize.width}x${outputSize.height}`).toBe(result);
    const sheet = await readImage(files.sheet);
    expect(sheet.height).toBe(Number(result.split('x')[1]) + 16);
  });

  it('has latents that fit only where it was fitted alike, and a mask that both commands see alike', async () => {
    const invert = ['invert', at('photo.png'), '--source', 'a bowl of apples', ...EXACT, '--num-inference-steps', '2'];
    const inverted = await run(...invert, '--seed', '0', '-o', at('x.safetensors'), '--json');
    expect(inverted).toMatchObject({ fit: 'nearest', workingSize: { width: 160, height: 104 } });
    const masked = await run('mask', at('photo.png'), ...PROMPTS, ...TINY, '-o', at('m.png'), '--json');
    expect(masked.stderr).toContain('Picture 300x200, worked at 160x104 (--fit nearest), result 160x104.');
    const given = ['--mask', at('m.png'), '--latents', at('x.safetensors')];
    const { files } = await edit(...given, '-o', at('given.png'));
    expect((await readImage(files.image)).data).toEqual((await readImage(at('out.png'))).data);
    const other = ['edit', at('photo.png'), ...PROMPTS, ...TINY, ...given, '--fit', 'crop', '-o', at('no.png')];
    const { code, stderr } = await pentimento(other);
    expect(code).toBe(2);
    expect(stderr).toContain('Make the mask as large as the picture');
    const { stderr: latents } = await pentimento(other.filter(arg => arg !== '--mask' && arg !== at('m.png')));
    expect(latents).toMatch(/expected crop, got nearest \(.*x\.safetensors\)\. Pass --fit nearest, or invert again\./);
  });

  it('is planned at the size that the edit works at', async () => {
    const plan = ['plan', '--default-limits', '--json'];
    expect(await run(...plan, at('photo.png'))).toMatchObject({
      ...{ size: { width: 160, height: 104 }, workingSize: { width: 160, height: 104 } },
      ...{ outputSize: { width: 300, height: 200 }, fit: 'nearest' },
    });
    const cropped = await run(...plan, '300x200', '--fit', 'crop', '--no-paste-back', '--size', '64x96');
    expect([cropped.workingSize, cropped.outputSize]).toEqual(new Array(2).fill({ width: 64, height: 96 }));
    const { code, stderr } = await pentimento(['plan', '--keep-size']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('--keep-size keeps the size of a picture')]);
  });
});

describe('pictures that no model can take as they are', () => {
  it.each([
    [[], 'sides of at most 16 to 1, got 1x1000 (--fit). Cut a part out first, or pass --fit crop or --fit squash.'],
    [['--fit', 'pad'], 'at least 8 pixels of it, got 1x128 of 128x128, from 1x1000 (--fit). Cut a part'],
    [['--keep-size'], 'the picture is smaller than 8 pixels: got 1x1000. Leave --keep-size out.'],
    [['--fit', 'stretch'], 'Allowed choices are nearest, crop, pad, squash'],
  ])('are refused: %j', async (options, text) => {
    await saveImage(at('line.png'), { width: 1, height: 1000, data: new Uint8Array(3000) });
    const { code, stderr } = await pentimento(['edit', at('line.png'), ...PROMPTS, ...options, '-o', at('no.png')]);
    expect(stderr).toContain(text);
    expect(code).toBe(2);
  });
});
