/** What masks do to an edit, and what is mended of them. */
import { describe, expect, test, vi } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { Denoiser } from '../../src/pipeline/diffusion/denoiser.ts';
import { maxError } from '../support/close.ts';
import { openPipeline, picture, seeded } from '../support/pipeline.ts';
import { edit, few, frame, golden, H, image, mask, SOURCE, scene, shortRun, TARGET, W } from '../support/scene.ts';

const shared = scene();
const { editLatents } = shared;

describe('masks', () => {
  test('of zeros leave the least noisy latents exactly', async () => {
    const latents = await editLatents({ maskImage: mask(() => 0) });
    expect(latents.data).toEqual(frame(shared.inverted, shared.inverted.shape[1] - 1));
  });

  test('of equal prompts are all ones, because nothing divided by nothing counts as set', async () => {
    const found = await shared.pipeline.generateMask({
      ...few,
      image,
      sourcePrompt: SOURCE,
      targetPrompt: SOURCE,
      numMapsPerMask: 1,
      generator: seeded(0),
    });
    expect(found.mask.data.every(v => v === 1)).toBe(true);
    expect(found.map.data.every(v => v === 0)).toBe(true);
  });

  test('of a ratio without end are all zeros: nothing differs by so much', async () => {
    for (const maskThresholdingRatio of [Number.POSITIVE_INFINITY, 1e300]) {
      const { seed: _, ...args } = { ...shortRun, maskThresholdingRatio, numMapsPerMask: 1, guidanceScale: 1 };
      const { mask: found } = await shared.pipeline.generateMask({ ...args, generator: seeded(1) });
      expect(found.data.every(v => v === 0)).toBe(true);
    }
  });

  test('of more noisy copies than the host holds are refused before any is made', async () => {
    const { seed: _, ...args } = { ...shortRun, numMapsPerMask: 1e9 };
    await expect(shared.pipeline.generateMask(args)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: generateMask: more noise than the host holds at once: expected at most 279620, got 1000000000 (numMapsPerMask). Use fewer.]`,
    );
  });

  test('come as pictures of latent size', async () => {
    const found = await shared.pipeline.generateMask({
      ...few,
      image,
      sourcePrompt: SOURCE,
      targetPrompt: TARGET,
      numMapsPerMask: 1,
      outputType: 'pil',
      generator: seeded(0),
    });
    const [picture] = found.images ?? [];
    expect(picture).toMatchObject({ width: W, height: H, channels: 1 });
    expect(Array.from(picture?.data ?? [])).toEqual(Array.from(found.mask.data, v => 255 * v));
    expect(await editLatents({ maskImage: picture })).toEqual(await editLatents({ maskImage: found.mask }));
  });

  test('are continuous, thresholded, grown, shrunk and blurred on request', async () => {
    const find = (more: object) =>
      shared.pipeline.generateMask({
        ...few,
        image,
        sourcePrompt: SOURCE,
        targetPrompt: TARGET,
        numMapsPerMask: 1,
        generator: seeded(0),
        ...more,
      });
    const sum = ({ mask: { data } }: { mask: NdArray }) => data.reduce((a, b) => a + b, 0);
    const plain = await find({});
    const soft = await find({ continuous: true });
    expect(soft.mask.data.some(v => v > 0 && v < 1)).toBe(true);
    expect(Array.from(soft.mask.data, v => (v > 0.5 ? 1 : 0))).toEqual(Array.from(plain.mask.data));
    expect(Array.from((await find({ threshold: 0.3 })).mask.data)).toEqual(
      Array.from(soft.mask.data, v => (v > Math.fround(0.3) ? 1 : 0)),
    );
    expect(sum(plain)).toBeGreaterThan(0);
    expect(sum(await find({ dilate: 1 }))).toBeGreaterThan(sum(plain));
    expect(sum(await find({ erode: 1 }))).toBeLessThan(sum(plain));
    const blurred = await find({ blur: 1 });
    expect(blurred.mask.data.some(v => v > 0 && v < 1)).toBe(true);
  });

  test('are swapped between pictures as in the original, and in their own order when mended', async () => {
    const two = {
      data: Float32Array.from([...shared.inverted.data, ...shared.inverted.data]),
      shape: [2, ...shared.inverted.shape.slice(1)],
    };
    const maskImage = { data: Float32Array.from([...mask(() => 0).data, ...mask(() => 1).data]), shape: [2, H, W] };
    const both = {
      ...edit,
      prompt: [TARGET, TARGET],
      negativePrompt: [SOURCE, SOURCE],
      maskImage,
      imageLatents: two,
      numImagesPerPrompt: 2,
    };
    const kept = frame(shared.inverted, shared.inverted.shape[1] - 1);
    const untouched = (latents: NdArray) =>
      [0, 1, 2, 3].filter(n => maxError(latents.data.subarray(n * kept.length, (n + 1) * kept.length), kept) === 0);
    expect(untouched((await shared.pipeline.edit(both)).images as NdArray)).toEqual([0, 2]);
    const mended = await openPipeline('test/golden/sd1/model', { mendQuirks: true });
    expect(untouched((await mended.edit(both)).images as NdArray)).toEqual([0, 1]);
    mended.dispose();
  });
});

describe('with guidance', () => {
  const find = async (of: DiffEditPipeline, more: object) => {
    const call = { ...few, image, sourcePrompt: SOURCE, targetPrompt: TARGET, numMapsPerMask: 2 };
    return of.generateMask({ ...call, generator: seeded(0), ...more });
  };
  /** Its embeddings beside its text: the same to the model, and nothing that is known before the device works. */
  const mixed = async (of: DiffEditPipeline, negative: string) => ({
    sourceNegativePrompt: negative,
    targetNegativePromptEmbeds: (await of.encodePrompt(negative)).promptEmbeds,
  });

  test.each([[false], [true]])('one negative for both cancels out of the map (mended: %s)', async mendQuirks => {
    const pipeline = await openPipeline('test/golden/sd1/model', { mendQuirks });
    const map = vi.spyOn(Denoiser.prototype, 'map');
    for (const [negative, more] of [
      ['', {}],
      ['dark', { sourceNegativePrompt: 'dark', targetNegativePrompt: 'dark' }],
    ] as const) {
      const [two, four] = [await find(pipeline, more), await find(pipeline, await mixed(pipeline, negative))];
      expect(map.mock.calls.map(([, , rows]) => rows.length)).toEqual([2, 4]);
      map.mockClear();
      const largest = Math.max(...four.map.data);
      expect(maxError(two.map.data, four.map.data)).toBeLessThan(2e-6 * largest);
      expect(two.mask.data).toEqual(four.mask.data);
    }
    map.mockRestore();
    pipeline.dispose();
  });

  test('at noise levels outside its interval a map is that of the prompts alone', async () => {
    const alone = await find(shared.pipeline, { guidanceScale: 1 });
    const negatives = { sourceNegativePrompt: 'dark', targetNegativePrompt: 'red' };
    for (const more of [{}, negatives, { ...negatives, guidanceRescale: 0.7 }])
      expect(await find(shared.pipeline, { ...more, guidanceInterval: [0.9, 1] })).toEqual(alone);
  });
});

describe('mended', () => {
  test('guidance, blend and threshold follow the paper, each picture by itself', async () => {
    const mended = await openPipeline('test/golden/sd1/model', { mendQuirks: true });
    const find = (of: DiffEditPipeline, more: object) =>
      of.generateMask({
        ...few,
        image,
        sourcePrompt: SOURCE,
        targetPrompt: TARGET,
        numMapsPerMask: 1,
        generator: seeded(0),
        ...more,
      });
    const negatives = { sourceNegativePrompt: 'dark', targetNegativePrompt: 'red' };
    const [a, b] = [await find(shared.pipeline, negatives), await find(mended, negatives)];
    expect(maxError(a.map.data, b.map.data)).toBeGreaterThan(1e-3);
    const pair = {
      image: [image, picture(golden, 'image_b')],
      sourcePrompt: [SOURCE, SOURCE],
      targetPrompt: [TARGET, TARGET],
      continuous: true,
    };
    const both = await find(mended, pair);
    for (const n of [0, 1]) {
      const map = both.map.data.subarray(n * H * W, (n + 1) * H * W);
      const cut = (3 * map.reduce((x, y) => x + y, 0)) / map.length;
      const soft = map.map(v => Math.min(v, cut) / cut);
      expect(maxError(both.mask.data.subarray(n * H * W, (n + 1) * H * W), soft)).toBeLessThan(1e-5);
    }
    // The blend ends at the clean latents that run() knows, so a mask of zeros reconstructs the picture.
    const zeros = {
      maskImage: mask(() => 0),
      image,
      sourcePrompt: SOURCE,
      targetPrompt: TARGET,
      ...few,
      seed: 1,
      outputType: 'latent' as const,
    };
    const clean = (await mended.run(zeros)).images as NdArray;
    const noisy = (await shared.pipeline.run(zeros)).images as NdArray;
    expect(maxError(noisy.data, frame(shared.inverted, shared.inverted.shape[1] - 1))).toBe(0);
    expect(maxError(clean.data, noisy.data)).toBeGreaterThan(1e-3);
    mended.dispose();
  });
});
