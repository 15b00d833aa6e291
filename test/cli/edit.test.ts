import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Measured } from '../../src/cli/measured.ts';
import { type GreyImage, rgbToGrey } from '../../src/io/image.ts';
import { resize } from '../../src/io/resize.ts';
import { readImage, saveImage } from '../../src/node/images.ts';
import { pentimento } from '../support/command.ts';
import { readEdits, recordedMask, recordedPicture } from '../support/edits.ts';

const SAMPLES = 'models/orchard/samples';
const APPLES = `${SAMPLES}/apples-bowl.png`;
const PROMPTS = ['--source', 'a bowl of apples', '--target', 'a bowl of pears'];
// What is compared with recordings of diffusers asks for its settings, and for the picture as it takes and returns it.
const DIFFUSERS = ['--preset', 'diffusers'];
const QUICK = ['--num-inference-steps', '10', '--num-maps-per-mask', '2', '--seed', '0', ...DIFFUSERS];
const TINY = ['--num-inference-steps', '4', '--num-maps-per-mask', '1', '--seed', '0'];

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-edit-'));
});
afterEach(() => rm(root, { recursive: true }));

const at = (name: string) => join(root, name);

async function run(...args: string[]) {
  const { code, stdout, stderr } = await pentimento(args);
  expect(stderr).not.toMatch(/^error/m);
  expect(code).toBe(0);
  return JSON.parse(stdout);
}

/** Mean and largest difference of two pictures in steps of 1/255. */
async function difference(path: string, recorded: Uint8Array | Uint8ClampedArray) {
  const { data } = await readImage(path);
  expect(data.length).toBe(recorded.length);
  const errors = Array.from(data, (v, i) => Math.abs(v - recorded[i]));
  return { mean: errors.reduce((a, b) => a + b, 0) / errors.length, most: Math.max(...errors) };
}

/** The mask as latents see it, from the squares of the picture. */
async function latentMask(path: string) {
  const mask = rgbToGrey(await readImage(path));
  return Array.from(resize(mask, mask.width / 8, mask.height / 8, 'box').data);
}

/** 1 at each pixel that has a set one within `reach` pixels on both axes. */
function reached({ width, height, data }: GreyImage, reach: number) {
  const spread = (
    from: ArrayLike<number>,
    length: number,
    step: (line: number, i: number) => number,
    lines: number,
  ) => {
    const out = new Uint8Array(from.length);
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < length; i++) {
        if (!from[step(line, i)]) continue;
        for (let j = Math.max(0, i - reach); j <= Math.min(length - 1, i + reach); j++) out[step(line, j)] = 1;
      }
    }
    return out;
  };
  const across = spread(data, width, (y, x) => y * width + x, height);
  return spread(across, height, (x, y) => y * width + x, width);
}

/** Memory and time: weights that were loaded lie in both peaks, and loading takes a part of the whole. */
function checkMeasured({ peakBytes, hostPeakBytes, timingsMs }: Measured): void {
  expect(peakBytes).toBeGreaterThan(20e6);
  expect(peakBytes).toBeLessThan(1e9);
  expect(hostPeakBytes).toBeGreaterThan(100e6);
  expect(timingsMs['load']).toBeGreaterThan(0);
  expect(timingsMs['load']).toBeLessThan(timingsMs['total']);
  expect(Object.values(timingsMs).every(Number.isInteger)).toBe(true);
}

describe('edit', () => {
  it('makes the recorded picture and mask from a seed, and a sheet beside them', async () => {
    const args = ['edit', APPLES, ...PROMPTS, ...QUICK];
    const result = await run(...args, '-o', at('deep/out.png'), '--json');
    expect(result.files).toEqual({
      image: at('deep/out.png'),
      mask: at('deep/out.mask.png'),
      sheet: at('deep/out.sheet.png'),
    });
    expect(await readdir(at('deep'))).toHaveLength(3);
    expect((await difference(result.files.image, await recordedPicture('quick'))).mean).toBeLessThanOrEqual(1);
    expect(await latentMask(result.files.mask)).toEqual(await recordedMask('quick'));
    const sheet = await readImage(result.files.sheet);
    expect([sheet.width, sheet.height]).toEqual([3 * 128 + 4 * 8, 128 + 2 * 8]);
    expect(result).toMatchObject({ command: 'edit', seed: 0, dtype: 'float32', model: 'orchard (embedded)' });
    checkMeasured(result);
  });

  it('makes the same from the mask and latents that mask and invert wrote', async () => {
    const mask = await run('mask', APPLES, ...PROMPTS, ...QUICK, '-o', at('mask.png'), '--json');
    expect(await latentMask(at('mask.png'))).toEqual(await recordedMask('quick'));
    expect(mask.masked).toBeGreaterThan(0);
    checkMeasured(mask);
    const steps = ['--num-inference-steps', '10', '--seed', '0', ...DIFFUSERS];
    const inverted = await run(
      'invert',
      APPLES,
      '--prompt',
      'a bowl of apples',
      ...steps,
      '-o',
      at('x.safetensors'),
      '--json',
    );
    expect(inverted.steps).toBe(8);
    checkMeasured(inverted);
    const reuse = ['--mask', at('mask.png'), '--latents', at('x.safetensors')];
    const result = await run('edit', APPLES, ...PROMPTS, ...QUICK, ...reuse, '-o', at('out.png'), '--json');
    expect((await difference(at('out.png'), await recordedPicture('quick'))).mean).toBeLessThanOrEqual(1);
    expect(Object.keys(result.timingsMs)).not.toContain('mask');
    expect(Object.keys(result.timingsMs)).not.toContain('invert');
    expect(result.files).toEqual({ image: at('out.png'), sheet: at('out.sheet.png') });
  });

  it('refuses latents that were made with other settings', async () => {
    await run(
      'invert',
      APPLES,
      '--prompt',
      'a bowl of apples',
      '--num-inference-steps',
      '4',
      '--seed',
      '0',
      '-o',
      at('x.safetensors'),
      '--json',
    );
    const line = async (...more: string[]) => {
      const { code, stderr } = await pentimento([
        'edit',
        APPLES,
        ...PROMPTS,
        '--latents',
        at('x.safetensors'),
        '-o',
        at('out.png'),
        ...more,
      ]);
      expect(code).toBe(2);
      return /^error: .*/m.exec(stderr)?.[0].replaceAll(root, 'DIR');
    };
    expect(await line()).toMatchInlineSnapshot(
      `"error: latents: the latents were made with another --num-inference-steps: expected 50, got 4 (DIR/x.safetensors). Pass --num-inference-steps 4, or invert again."`,
    );
    expect(await line('--num-inference-steps', '4', '--inpaint-strength', '0.5')).toMatchInlineSnapshot(
      `"error: latents: the latents were made with another --inpaint-strength: expected 0.5, got 1 (DIR/x.safetensors). Pass --inpaint-strength 1, or invert again."`,
    );
    expect(await line('--num-inference-steps', '4', '--size', '64x64')).toMatchInlineSnapshot(
      `"error: latents: the latents have another size: expected width 64, got 128x128 (DIR/x.safetensors). Pass --size 128x128, or invert again."`,
    );
    expect(await line('--num-inference-steps', '4', '--keep-size', '--size', '64x64')).toContain('--keep-size');
    await saveImage(at('other.png'), resize(await readImage(APPLES), 64, 64, 'bicubic'));
    const other = ['edit', at('other.png'), ...PROMPTS, '--num-inference-steps', '4', '--latents', at('x.safetensors')];
    const { code, stderr } = await pentimento([...other, '-o', at('out.png')]);
    expect(code).toBe(2);
    expect(/^error: .*/m.exec(stderr)?.[0].replaceAll(root, 'DIR')).toMatchInlineSnapshot(
      `"error: latents: the latents are of another picture (DIR/x.safetensors). Name the picture that was inverted, or invert again."`,
    );
    expect((await readdir(root)).sort()).toEqual(['other.png', 'x.safetensors']);
  });

  it('notes where latents were inverted with another prompt, and takes them', async () => {
    const { encodeLatents, pictureHash, readLatents } = await import('../../src/cli/latents.ts');
    const picture = pictureHash(await readImage(APPLES));
    const made = {
      model: 'm',
      fingerprint: 'f',
      numInferenceSteps: 2,
      inpaintStrength: 1,
      width: 8,
      height: 8,
      picture,
    };
    const settings = { ...made, prompt: 'a bowl', negativePrompt: '', guidanceScale: 1, seed: 0 };
    const latents = { data: Float32Array.from({ length: 8 }, (_, i) => i), shape: [1, 2, 4, 1, 1] };
    await writeFile(at('x.safetensors'), encodeLatents({ latents }, settings));
    const notes: string[] = [];
    const read = (needed: object, expected: object) =>
      readLatents(at('x.safetensors'), { ...made, ...needed }, expected, line => notes.push(line));
    expect(await read({}, { prompt: 'a bowl', guidanceScale: 1 })).toEqual({ latents });
    const noise = { ...latents, data: latents.data.map(value => -value) };
    await writeFile(at('y.safetensors'), encodeLatents({ latents, noise }, settings));
    expect(await readLatents(at('y.safetensors'), made, {}, line => notes.push(line))).toEqual({ latents, noise });
    await rm(at('y.safetensors'));
    expect(notes).toEqual([]);
    await read({}, { prompt: 'a basket', negativePrompt: undefined, guidanceScale: 7.5 });
    expect(notes).toEqual([
      'The latents were inverted with the prompt "a bowl", not "a basket".',
      'The latents were inverted with guidance scale "1", not "7.5".',
    ]);
    await expect(read({ fingerprint: 'g' }, {})).rejects.toThrow('another model made these latents: got m');
    const bytes = await readFile(at('x.safetensors'));
    await writeFile(at('x.safetensors'), bytes.subarray(0, bytes.length - 4));
    await expect(read({}, {})).rejects.toThrow(/safetensors/);
    await rm(at('x.safetensors'));
    await expect(read({}, {})).rejects.toThrow(/x\.safetensors/);
  });

  it('pastes the changed region into a picture of any size and leaves the rest as it was', async () => {
    const market = `${SAMPLES}/market.jpg`;
    const result = await run('edit', market, ...PROMPTS, ...TINY, '--no-soft-mask', '-o', at('out.png'), '--json');
    expect(result).toMatchObject({
      ...{ fit: 'nearest', workingSize: { width: 144, height: 112 }, outputSize: { width: 411, height: 327 } },
    });
    const [before, after, mask] = await Promise.all([
      readImage(market),
      readImage(at('out.png')),
      readImage(at('out.mask.png')),
    ]);
    expect([after.width, after.height]).toEqual([before.width, before.height]);
    expect([mask.width, mask.height]).toEqual([144, 112]);
    expect(after.data.some((v, i) => v !== before.data[i])).toBe(true);
    // Beyond the soft edge (a sigma of half a latent, cut off at four; a latent more for the interpolation) nothing may differ.
    const scale = Math.max(before.width / mask.width, before.height / mask.height);
    const reach = Math.ceil((4 * 4 + 8) * scale);
    const near = reached(rgbToGrey(resize(mask, before.width, before.height, 'box')), reach);
    expect(near.some(v => v === 0)).toBe(true);
    const wrong = near.filter(
      (v, i) => v === 0 && [0, 1, 2].some(c => before.data[3 * i + c] !== after.data[3 * i + c]),
    );
    expect(wrong.length).toBe(0);
  });

  it("works at the picture's own size when asked to, in float16, two pictures, one network at a time on the device", async () => {
    const small = resize(await readImage(APPLES), 71, 66);
    await saveImage(at('small.png'), small);
    const memory = ['--dtype', 'float16', '--enable-model-cpu-offload', '--enable-vae-slicing'];
    const more = [
      ...memory,
      '--num-images-per-prompt',
      '2',
      '--keep-size',
      '--no-paste-back',
      '-o',
      at('out.jpg'),
      '--json',
    ];
    const result = await run('edit', at('small.png'), ...PROMPTS, ...TINY, ...more);
    expect(result).toMatchObject({ dtype: 'float16', files: { image1: at('out.1.jpg'), image2: at('out.2.jpg') } });
    expect((await readdir(root)).sort()).toEqual([
      'out.1.jpg',
      'out.2.jpg',
      'out.mask.png',
      'out.sheet.png',
      'small.png',
    ]);
    // Cut down to what the VAE can halve.
    const after = await readImage(at('out.1.jpg'));
    expect([after.width, after.height]).toEqual([64, 64]);
  });

  it('prints the files that it wrote, one a line, and how far it is on stderr', async () => {
    const { code, stdout, stderr } = await pentimento(['edit', APPLES, ...PROMPTS, ...TINY, '-o', at('out.png')]);
    expect(code).toBe(0);
    expect(stdout).toBe(`${at('out.png')}\n${at('out.mask.png')}\n${at('out.sheet.png')}\n`);
    for (const line of [
      /^Using the embedded model\. .* knows fruit/m,
      /^inverting: 4 steps, [\d.]+ s$/m,
      /^editing: 4 steps/m,
    ]) {
      expect(stderr).toMatch(line);
    }
  });

  it('stops at Ctrl-C with code 130 and leaves no file', async () => {
    const controller = new AbortController();
    const onStderr = (text: string) => {
      if (text.includes('encoding picture')) controller.abort();
    };
    const { code, stdout, stderr } = await pentimento(['edit', APPLES, ...PROMPTS, ...TINY, '-o', at('out.png')], {
      signal: controller.signal,
      onStderr,
    });
    expect(code).toBe(130);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/interrupted, nothing was written\n$/);
    expect(await readdir(root)).toEqual([]);
  });
});

describe('invert', () => {
  it('keeps its settings beside the latents', async () => {
    const result = await run(
      'invert',
      APPLES,
      '--source',
      'a bowl of apples',
      ...['--num-inference-steps', '4'],
      '--seed',
      '7',
      '--decode-latents',
      '-o',
      at('x.safetensors'),
      '--json',
    );
    const bytes = await readFile(at('x.safetensors'));
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0))));
    expect(header.latents).toMatchObject({ dtype: 'F32', shape: [1, 4, 4, 16, 16] });
    expect(header.__metadata__).toEqual({
      ...Object.fromEntries(Object.entries(result.settings).map(([key, value]) => [key, String(value)])),
      format: 'pentimento.latents',
    });
    expect(header.__metadata__).toMatchObject({
      seed: '7',
      numInferenceSteps: '4',
      inpaintStrength: '1',
      guidanceScale: '1',
      inversion: 'ddim',
      prompt: 'a bowl of apples',
    });
    expect((await readdir(root)).sort()).toEqual(['x.safetensors', ...[1, 2, 3, 4].map(step => `x.step-${step}.png`)]);
  });
});

// Everything as diffusers has it by default, 50 steps and 10 maps, as the peer recorded it. One here, all of them in the full run.
const edits = readEdits().filter(e => !e.steps);
describe.each(process.env.PENTIMENTO_FULL ? edits : edits.filter(e => e.name === 'apples-to-pears-gentle'))(
  '$name by the settings of diffusers',
  e => {
    it('makes the recorded picture and mask', async () => {
      const guidance = e.guidance
        ? ['--guidance-scale', `${e.guidance}`, '--invert-guidance-scale', `${e.invert_guidance}`]
        : [];
      const prompts = ['--source', e.source, '--target', e.target, '--seed', `${e.seed}`];
      await run('edit', `${SAMPLES}/${e.image}`, ...prompts, ...guidance, ...DIFFUSERS, '-o', at('out.png'), '--json');
      expect((await difference(at('out.png'), await recordedPicture(e.name))).mean).toBeLessThanOrEqual(1);
      const [got, wanted] = [await latentMask(at('out.mask.png')), await recordedMask(e.name)];
      // Pixels at the threshold may fall to either side.
      expect(got.filter((v, i) => v !== wanted[i]).length).toBeLessThanOrEqual(1);
    });
  },
);
