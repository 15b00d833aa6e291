import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { rgbToGrey } from '../../src/io/image.ts';
import { resize } from '../../src/io/resize.ts';
import { readImage } from '../../src/node/images.ts';
import { pentimento } from '../support/command.ts';
import { caption, golden, scene, written } from '../support/guide.ts';
import { meanError } from '../support/pipeline.ts';

const { source, target, seed, image } = scene;
const PICTURE = `models/orchard/samples/${image}`;
const CONCEPTS = ['--from', source, '--to', target, '--seed', `${seed}`];
const QUICK = ['--num-inference-steps', '4', '--num-maps-per-mask', '1', '--num-prompts', '2'];
const { guide: recommended } = JSON.parse(await readFile('models/orchard/stable-diffusion/pentimento.json', 'utf8'));
/** test/pipeline/guide makes the recorded texts and pictures every day; the command does it here with PENTIMENTO_FULL, else a short guide. */
const FULL = process.env['PENTIMENTO_FULL'] !== undefined;
const FILES = ['edited.png', 'mask.png', 'noise.png', 'report.html'];

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'pentimento-guide-'));
});
afterEach(() => rm(root, { recursive: true }));

describe('guide', () => {
  it('makes texts, mask and picture from a seed, those recorded, and a report of all of it', async () => {
    const out = join(root, 'deep', 'out');
    const { code, stdout, stderr } = await pentimento([
      ...['guide', PICTURE, ...CONCEPTS, ...(FULL ? [] : QUICK), '--preset', 'diffusers', '-o', out, '--json'],
    ]);
    expect(stderr).not.toMatch(/^error/m);
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({
      ...{ command: 'guide', image: PICTURE, seed, caption, dtype: 'float32' },
      ...(FULL ? { sourcePrompts: written[source].texts, targetPrompts: written[target].texts } : {}),
      ...{ model: 'orchard (embedded)', t5: 'orchard t5 (embedded)', blip: 'orchard blip (embedded)' },
    });
    expect((await readdir(out)).sort()).toEqual(FILES);
    const edited = await readImage(result.files.image);
    expect([edited.width, edited.height]).toEqual([128, 128]);
    if (FULL) {
      const pixels = Array.from(edited.data, v => v / 255);
      expect(meanError(pixels, golden.floats('guide.image').data)).toBeLessThanOrEqual(1 / 255);
      const mask = rgbToGrey(await readImage(result.files.mask));
      const small = Array.from(resize(mask, 16, 16, 'box').data, v => v / 255);
      const wrong = Array.from(golden.ints('guide.mask').data).filter((v, i) => v !== small[i]);
      expect(wrong.length).toBeLessThanOrEqual(1); // a pixel at the threshold may fall to either side
    }
    const noise = await readImage(result.files.noise);
    expect([noise.width, noise.height]).toEqual([128, 128]);
    expect(result.peakBytes).toBeGreaterThan(17e6); // the UNet's weights
    for (const phase of ['load', 'caption', 'prompts', 'text', 'mask', 'invert', 'edit', 'decode', 'total']) {
      expect(result.timingsMs[phase], phase).toBeGreaterThan(0);
    }

    const html = await readFile(result.files.report, 'utf8');
    for (const text of [caption, ...result.sourcePrompts, ...result.targetPrompts]) expect(html).toContain(text);
    const pictures = [...html.matchAll(/src="(data:image\/png;base64,[^"]+)"/g)].map(([, url]) => url);
    const shown = await Promise.all(pictures.map(path => readImage(path)));
    const files = ['', 'mask', 'noise', 'image'].map(key => (key ? result.files[key] : PICTURE));
    expect(shown).toEqual(await Promise.all(files.map(path => readImage(path))));
  });

  it('says on stderr how far it is, and prints the files', async () => {
    const args = ['guide', PICTURE, ...CONCEPTS, ...QUICK, '-o', root, '--no-prefix', '--no-offload'];
    const { code, stdout, stderr } = await pentimento(args);
    expect(code).toBe(0);
    const names = ['report.html', 'edited.png', 'mask.png', 'noise.png'];
    expect(stdout).toBe(names.map(name => `${join(root, name)}\n`).join(''));
    for (const line of [/^captioning: /m, /^writing prompts: 4 sentences, /m, /^inverting: 4 steps/m]) {
      expect(stderr).toMatch(line);
    }
    expect(stderr.match(/^Settings that the model recommends: .*--soft-mask/gm)).toHaveLength(1);
    const html = await readFile(join(root, 'report.html'), 'utf8');
    for (const [name, value] of [
      ...[
        ['mask mode', 'soft (recommended)'],
        ['negative prompt', 'empty (recommended)'],
        ['num inference steps', '4'],
      ],
      ...[
        ['preset', 'recommended'],
        ['mask exponent', `${recommended.maskExponent} (recommended)`],
      ],
    ]) {
      expect(html).toContain(`<th>${name}</th><td class="n">${value}</td>`);
    }
  });

  it('stops at Ctrl-C with code 130 and leaves no file', async () => {
    const controller = new AbortController();
    const onStderr = (text: string) => {
      if (text.includes('writing prompts')) controller.abort();
    };
    const out = join(root, 'out');
    const args = ['guide', PICTURE, ...CONCEPTS, ...QUICK, '-o', out];
    const { code, stdout, stderr } = await pentimento(args, { signal: controller.signal, onStderr });
    expect(code).toBe(130);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/interrupted, nothing was written\n$/);
    expect(existsSync(out)).toBe(false);
  });

  it('names every setting in its help', async () => {
    const { stdout } = await pentimento(['guide', '--help']);
    const options = ['from', 'to', 'num-prompts', 'prefix', 'no-prefix', 'model', 't5', 'blip', 'seed', 'no-offload'];
    const phases = ['num-maps-per-mask', 'num-inference-steps', 'guidance-scale', 'inpaint-strength', 'size', 'json'];
    const memory = ['max-memory', 'allow-tiles', 'vae-tile', 'stream-weights', 'host-memory', 'max-binding', 'trusted'];
    for (const option of [...options, ...phases, ...memory]) expect(stdout).toContain(`--${option} `);
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain('The embedded model knows fruit');
  });

  it.each([
    ['no concepts', [PICTURE]],
    ['an empty concept', [PICTURE, '--from', 'bowl', '--to', ' ']],
    ['no picture', CONCEPTS],
    ['a picture that is not there', ['nowhere.png', ...CONCEPTS]],
    ['a language model that is not there', [PICTURE, ...CONCEPTS, '--t5', 'nowhere']],
    ['a captioner that is not there', [PICTURE, ...CONCEPTS, '--blip', 'nowhere']],
    ['a size that the model cannot work at', [PICTURE, ...CONCEPTS, '--size', '100x128']],
  ])('ends with code 2 and one line for %s', async (_, args) => {
    const out = join(root, 'out');
    const { code, stdout, stderr } = await pentimento(['guide', ...args, '-o', out]);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(existsSync(out)).toBe(false);
    expect(stderr.split('\n').filter(line => line.startsWith('error'))).toMatchSnapshot();
  });

  it('keeps within --max-memory, says how, and refuses what cannot be kept within it before it works', async () => {
    const guide = (...more: string[]) =>
      pentimento(['guide', PICTURE, ...CONCEPTS, ...QUICK, '-o', root, '--json', ...more]);
    const within = await guide('--max-memory', '14MB', '--stream-weights', '--host-memory', '--vae-tile', '128');
    expect(within.code).toBe(0);
    expect(JSON.parse(within.stdout).peakBytes).toBeLessThanOrEqual(14e6);
    const refused = await guide('--max-memory', '1MB');
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(
        /^error: guide: the call needs more device memory than it may take: expected at most 1000000 bytes.*\(--max-memory\)/m,
      ),
    ]);
    const sentences = await guide('--max-memory', '20MB', '--num-prompts', '300');
    expect(sentences.stderr).toMatch(
      /the language model needs .*Use --dtype float16.*fewer sentences \(--num-prompts\), or a larger --max-memory\./,
    );
    const tiles = await guide('--vae-tile', '50');
    expect([tiles.code, tiles.stderr]).toEqual([2, expect.stringContaining('got 50 (--vae-tile)')]);
    for (const { stderr } of [refused, sentences, tiles]) expect(stderr).not.toMatch(/captioning/);
  });

  it('refuses a file in place of the folder before it works', async () => {
    await writeFile(join(root, 'file'), '');
    const { code, stderr } = await pentimento(['guide', PICTURE, ...CONCEPTS, '-o', join(root, 'file')]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: output: /m);
  });
});
