import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import type { NdArray } from '../../../src/core/ndarray.ts';
import type { FolderSource } from '../../../src/core/tensor-source.ts';
import type { Gpu } from '../../../src/gpu/device.ts';
import type { RgbImage } from '../../../src/io/image.ts';
import { resize } from '../../../src/io/resize.ts';
import { readImage } from '../../../src/node/images.ts';
import { runGuide } from '../../../src/pipeline/guide/guide.ts';
import type { GuideArgs, GuideEvent } from '../../../src/pipeline/guide/guide-arguments.ts';
import { relativeL2 } from '../../support/close.ts';
import { type Counter, countDevice } from '../../support/counting.ts';
import { diskFolder } from '../../support/folder.ts';
import { freshGpu } from '../../support/gpu.ts';
import { caption, golden, scene, written } from '../../support/guide.ts';
import { meanError, wrongPixels } from '../../support/pipeline.ts';
import { renewed } from '../../support/renewed.ts';

const { source: from, target: to, seed, image: sample } = scene;
const models = {
  diffusion: diskFolder('models/orchard/stable-diffusion'),
  t5: diskFolder('models/orchard/t5'),
  blip: diskFolder('models/orchard/blip'),
};

let gpu: Gpu;
let counter: Counter;
let image: RgbImage;
renewed(async () => {
  gpu = await freshGpu();
  counter = countDevice(gpu);
  image = await readImage(new Uint8Array(readFileSync(`models/orchard/samples/${sample}`)));
});
afterAll(() => {
  counter.stop();
  gpu.dispose();
});

/** Two sentences for each concept, three steps. */
const quick = (more: Partial<GuideArgs> = {}): GuideArgs => ({
  ...{ gpu, models, image, from, to, seed },
  ...{ numPrompts: 2, numInferenceSteps: 4, numMapsPerMask: 1, outputType: 'np' },
  ...more,
});

describe('the whole guide', () => {
  test('gives the recorded caption, sentences, embeddings, mask and picture', async () => {
    const result = await runGuide({ gpu, models, image, from, to, seed, outputType: 'np' });
    expect(result.caption).toBe(caption);
    expect(result.sourcePrompts).toEqual(written[from].texts);
    expect(result.targetPrompts).toEqual(written[to].texts);
    const embeds = { source: result.sourceEmbeds, target: result.targetEmbeds };
    for (const [name, { data }] of Object.entries(embeds)) {
      expect(relativeL2(data, golden.floats(`guide.${name}_embeds`).data), name).toBeLessThanOrEqual(1e-4);
    }
    const map = golden.floats('guide.mask_map').data;
    expect(relativeL2(result.mask.map.data, map)).toBeLessThanOrEqual(1e-3);
    expect(wrongPixels(result.mask, { mask: golden.ints('guide.mask').data, map })).toBe(0);
    expect(result.latents.shape).toEqual(golden.floats('guide.inverted').shape);
    const pixels = (result.images as NdArray).data;
    expect(meanError(pixels, golden.floats('guide.image').data)).toBeLessThanOrEqual(1 / 255);
    expect(result.seed).toBe(seed);
  });

  test('holds one network at a time with offload, everything without, and makes the same', async () => {
    const events: GuideEvent[] = [];
    counter.resetPeak();
    const one = await runGuide(quick({ onProgress: e => events.push(e) }));
    expect(counter.liveBytes).toBe(0);
    const onePeak = counter.peakBytes;
    counter.resetPeak();
    const all = await runGuide(quick({ offload: false }));
    expect(counter.liveBytes).toBe(0);
    const { timings: _, peakBytes: peakOfOne, ...made } = one;
    const { timings: __, peakBytes: peakOfAll, ...madeToo } = all;
    expect(madeToo).toEqual(made);
    // All weights, 2 bytes each as the files hold them: 12.9 M, 1.2 M and 1.7 M.
    expect(peakOfAll).toBeGreaterThan(2 * 15.8e6);
    expect(peakOfOne).toBeLessThan(peakOfAll - 2 * 7e6);
    // What is not counted: staging of loads and read-backs, which come and go.
    expect(peakOfOne).toBeLessThanOrEqual(onePeak);
    expect(Math.max(...events.map(e => e.bytes))).toBeLessThanOrEqual(peakOfOne);
    const phases = [...new Set(events.map(e => e.phase))].filter(phase => phase !== 'compile');
    expect(phases).toEqual(['load', 'caption', 'prompts', 'text', 'encode', 'mask', 'invert', 'edit', 'decode']);
    const sentences = events.filter(e => e.phase === 'prompts').map(e => `${e.step}/${e.of}`);
    expect(sentences).toEqual(['0/4', '1/4', '2/4', '3/4', '4/4']);
    const captions = events.filter(e => e.phase === 'caption');
    expect(captions[0]).toMatchObject({ step: 0, of: 128 });
    expect(captions.at(-1)?.step).toBe(captions.at(-1)?.of);
    expect(Object.keys(one.timings).sort()).toEqual([...phases].sort());
    const maxBytes = Math.floor(0.6 * onePeak);
    const said: string[] = [];
    counter.resetPeak();
    const less = await runGuide(
      quick({ maxBytes, offload: false, hostMemory: true, vaeSlicing: true, onWarning: message => said.push(message) }),
    );
    const { timings: ___, peakBytes: peakOfLess, ...madeWithin } = less;
    expect(madeWithin).toEqual(made);
    expect(counter.peakBytes).toBeLessThanOrEqual(maxBytes);
    expect(peakOfLess).toBeLessThanOrEqual(counter.peakBytes);
    expect(said.join('\n')).toMatch(/one network at a time on the device, the UNet's weights streamed/);
  });

  test('refuses a budget that any of its models would exceed, before one works', async () => {
    counter.take();
    const events: GuideEvent[] = [];
    const refused = (more: Partial<GuideArgs>) =>
      runGuide(quick({ onProgress: e => events.push(e), ...more })).catch(String);
    expect(await refused({ maxBytes: 1e6 })).toMatch(
      /^DeviceError: runGuide: the call needs more device memory than it may take: expected at most 1000000 bytes, got \d+ bytes .*\(maxBytes\)/,
    );
    expect(await refused({ maxBytes: 2e7, numPrompts: 300 })).toMatch(
      /^DeviceError: runGuide: the language model needs .* at most 20000000 bytes, got \d+ bytes.*\(maxBytes\)\. .*numPrompts.*larger maxBytes\.$/,
    );
    expect(await refused({ vaeTiling: { pixels: 50 } })).toContain('no size of tiles');
    expect(events).toEqual([]);
    expect([counter.take().buffers, counter.liveBytes]).toEqual([0, 0]);
  });

  test('brings the picture to any size, and lets the captioner begin by itself', async () => {
    const result = await runGuide(
      quick({ size: ({ vaeScaleFactor }) => ({ width: 12 * vaeScaleFactor, height: 64 }), captionPrefix: null }),
    );
    expect([result.image.width, result.image.height]).toEqual([96, 64]);
    expect(result.mask.mask.shape).toEqual([1, 8, 12]);
    expect(result.caption).toMatch(/^a /);
  });

  test('fits the picture as asked, pastes back by that fit, and refuses another picture for it before any model works', async () => {
    const photo = resize(image, 150, 100, 'bicubic');
    const fitted = { fit: 'crop', size: () => ({ width: 64, height: 64 }), image: photo, outputType: 'pil' } as const;
    const result = await runGuide(quick({ ...fitted, pasteBack: { image: photo } }));
    expect(result.fitted.region).toEqual({ left: 25, top: 0, width: 100, height: 100 });
    expect([result.image.width, result.image.height]).toEqual([64, 64]);
    const [edited] = result.images as RgbImage[];
    expect([edited.width, edited.height]).toEqual([150, 100]);
    const margin = (i: number) => Math.floor(i / 3) % 150 < 25 || Math.floor(i / 3) % 150 >= 125;
    expect(edited.data.filter((v, i) => margin(i) && v !== photo.data[i]).length).toBe(0);
    const events: GuideEvent[] = [];
    const other = quick({ ...fitted, pasteBack: { image }, onProgress: e => events.push(e) });
    await expect(runGuide(other)).rejects.toThrow('runGuide.pasteBack: the fit is of another picture');
    expect(events).toEqual([]);
  });

  test.each(['caption', 'prompts', 'invert'])('ends at the signal during %s and leaves nothing behind', async phase => {
    const controller = new AbortController();
    const reason = new TypeError('enough');
    const onProgress = (e: GuideEvent) => {
      if (e.phase === phase) controller.abort(reason);
    };
    await expect(runGuide(quick({ signal: controller.signal, onProgress }))).rejects.toBe(reason);
    expect(counter.liveBytes).toBe(0);
  });

  test('refuses what it can before any model is opened', async () => {
    const opened: string[] = [];
    const folder = (label: string): FolderSource => ({
      ...models.t5,
      text: async path => {
        opened.push(`${label}/${path}`);
        return models.t5.text(path);
      },
    });
    const untouched = { diffusion: folder('diffusion'), t5: folder('t5'), blip: folder('blip') };
    const refused = (more: Partial<GuideArgs>) => runGuide(quick({ models: untouched, ...more })).catch(String);
    expect(await refused({ models: { ...untouched, t5: null as unknown as FolderSource } })).toMatchInlineSnapshot(
      `"InputError: runGuide.models.t5: no model folder: expected a FolderSource, got null. Make one with await directory(path) of 'pentimento/node', mapFolder() or urlFolder()."`,
    );
    expect(await refused({ models: null as unknown as GuideArgs['models'] })).toMatchInlineSnapshot(
      `"InputError: runGuide.models: arguments go by name: expected an object, got null"`,
    );
    expect(await refused({ from: '' })).toMatchInlineSnapshot(
      `"InputError: generatePrompts: no concept: expected a noun such as bowl, got "". Name what the picture contains, or what it shall contain."`,
    );
    expect(await refused({ to: '  ' })).toMatchInlineSnapshot(
      `"InputError: generatePrompts: no concept: expected a noun such as bowl, got "  ". Name what the picture contains, or what it shall contain."`,
    );
    expect(await refused({ numPrompts: 0 })).toMatchInlineSnapshot(
      `"InputError: runGuide: no number of sentences: expected a whole number of at least 1, got 0 (numPrompts). The published guide writes 16."`,
    );
    const styled = { loras: [{ source: new Uint8Array() }], crossAttentionKwargs: { scale: 0.5 } };
    expect(await refused(styled)).toContain('runGuide: a scale of LoRA adapters for one call');
    expect(await refused({ seed: 0.5 })).toMatchInlineSnapshot(
      `"InputError: Generator: the seed is no whole number of at most 64 bits: got 0.5 (seed). Give an integer; beyond 2^53 write it as a bigint, for example 12345678901234567890n."`,
    );
    expect(await refused({ image: { ...image, width: 3 } })).toMatchInlineSnapshot(
      `"InputError: runGuide: the data of a 3 x 128 picture has another length: expected 1152 bytes, got 49152. Pass width * height * 3 bytes, R G B."`,
    );
    expect(await refused({ guidanceScale: Number.NaN })).toMatchInlineSnapshot(
      `"InputError: runGuide: not a number in range: expected a finite number, got NaN (guidanceScale)"`,
    );
    expect(await refused({ threshold: 2 })).toMatchInlineSnapshot(
      `"InputError: runGuide: not a number in range: expected a number from 0 to 1, got 2 (threshold)"`,
    );
    expect(await refused({ inpaintStrength: 1.5 })).toMatchInlineSnapshot(
      `"InputError: runGuide: strength out of range: expected a number from 0 to 1, got 1.5 (inpaintStrength)"`,
    );
    expect(await refused({ maskEncodeStrength: -1 })).toMatchInlineSnapshot(
      `"InputError: runGuide: strength out of range: expected a number from 0 to 1, got -1 (maskEncodeStrength)"`,
    );
    expect(await refused({ invertGuidanceScale: 'a' as never })).toMatchInlineSnapshot(
      `"InputError: runGuide: not a number in range: expected a finite number, got "a" (invertGuidanceScale)"`,
    );
    expect(await refused({ negativePrompt: ['a', 'b'] })).toMatchInlineSnapshot(
      `"InputError: runGuide: prompt and negativePrompt differ in number: expected 1, got 2 (negativePrompt)"`,
    );
    expect(await refused({ numInferenceSteps: 0 })).toMatchInlineSnapshot(
      `"InputError: runGuide: not a count: expected a whole number >= 1, got 0 (numInferenceSteps)"`,
    );
    expect(await refused({ numInferenceSteps: 1 })).toMatchInlineSnapshot(
      `"InputError: runGuide: numInferenceSteps 1 at maskEncodeStrength 0.5 leave no step: expected at least 1 of 1, got 0 (maskEncodeStrength). Use more steps or a higher strength."`,
    );
    expect(await refused({ inpaintStrength: 0.1 })).toMatchInlineSnapshot(
      `"InputError: runGuide: numInferenceSteps 4 at inpaintStrength 0.1 leave no step: expected at least 1 of 4, got 0 (inpaintStrength). Use more steps or a higher strength."`,
    );
    expect(opened).toEqual([]);
  });

  test('refuses what needs the configs before any model works', async () => {
    const events: GuideEvent[] = [];
    const refused = (more: Partial<GuideArgs>) =>
      runGuide(quick({ onProgress: e => events.push(e), ...more })).catch(String);
    expect(await refused({ numInferenceSteps: 1001 })).toMatchInlineSnapshot(
      `"InputError: setTimesteps: the number of inference steps does not suit the schedule: expected a whole number from 1 to 1000, got 1001 (numInferenceSteps). The model was trained on 1000 timesteps: ask for at most that many."`,
    );
    const source = new Uint8Array(readFileSync('test/golden/lora/peft.safetensors'));
    expect(await refused({ loras: [{ source }] })).toContain('the adapter does not fit the model');
    expect(await refused({ size: () => ({ width: 64, height: 4 }) })).toMatchInlineSnapshot(
      `"InputError: preprocessImage: the picture is too small: expected sides of at least 8, got 64 x 4"`,
    );
    expect(await refused({ size: () => ({ width: 64.5, height: 64 }) })).toMatchInlineSnapshot(
      `"InputError: resize: sides must be positive whole: got 64.5 x 64"`,
    );
    expect(events).toEqual([]);
    expect(counter.liveBytes).toBe(0);
  });
});
