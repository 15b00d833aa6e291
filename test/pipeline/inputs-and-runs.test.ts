/** What phases take, and what they give together. */
import { describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import { maxError } from '../support/close.ts';
import { seeded } from '../support/pipeline.ts';
import { edit, few, frame, H, half, image, SOURCE, scene, TARGET, W } from '../support/scene.ts';

const shared = scene();
const { editLatents } = shared;

describe('without guidance', () => {
  test('all phases run on the conditional prediction alone', async () => {
    const plain = { numInferenceSteps: 4, guidanceScale: 1 };
    const found = await shared.pipeline.generateMask({
      ...plain,
      image,
      sourcePrompt: SOURCE,
      targetPrompt: TARGET,
      numMapsPerMask: 2,
      generator: seeded(0),
    });
    // Without guidance the difference is that of the two positives; with it the default negatives cancel and only scale it.
    const guided = await shared.pipeline.generateMask({
      ...few,
      image,
      sourcePrompt: SOURCE,
      targetPrompt: TARGET,
      numMapsPerMask: 2,
      generator: seeded(0),
    });
    expect(
      maxError(
        guided.map.data,
        found.map.data.map(v => 5 * v),
      ),
    ).toBeLessThan(1e-4);
    expect(found.mask.data).toEqual(guided.mask.data);
    const { latents } = await shared.pipeline.invert({ ...plain, image, prompt: SOURCE, generator: seeded(1) });
    expect(maxError(latents.data, shared.inverted.data)).toBeGreaterThan(1e-3);
    const one = await shared.pipeline.edit({ ...edit, ...plain, imageLatents: shared.inverted });
    // Guidance towards the prompt from itself is no guidance.
    const same = await shared.pipeline.edit({ ...edit, negativePrompt: TARGET, imageLatents: shared.inverted });
    expect(maxError((one.images as NdArray).data, (same.images as NdArray).data)).toBeLessThan(1e-4);
  });
});

describe('inputs', () => {
  test('latents beside the shared.inverted ones are ignored', async () => {
    const latents = { data: new Float32Array(4 * H * W).fill(7), shape: [1, 4, H, W] };
    expect(await editLatents({ latents })).toEqual(await editLatents({}));
  });

  test('latents as one array, as a list and flattened are the same', async () => {
    const expected = await editLatents({});
    const [, steps, ...rest] = shared.inverted.shape;
    expect(await editLatents({ imageLatents: [shared.inverted] })).toEqual(expected);
    expect(await editLatents({ imageLatents: { data: shared.inverted.data, shape: [steps, ...rest] } })).toEqual(
      expected,
    );
    const list = Array.from({ length: steps }, (_, t) => ({ data: frame(shared.inverted, t), shape: [1, 4, H, W] }));
    expect(await editLatents({ imageLatents: list })).toEqual(expected);
  });

  test('a picture given as latents skips the encoder and draws no noise for it', async () => {
    const z = { data: frame(shared.inverted, 0), shape: [1, 4, H, W], layout: 'nchw' as const };
    const run = (seed: number) => shared.pipeline.invert({ ...few, image: z, prompt: SOURCE, generator: seeded(seed) });
    expect((await run(1)).latents).toEqual((await run(2)).latents);
  });

  test('one picture serves several prompts', async () => {
    const { latents } = await shared.pipeline.invert({ ...few, image, prompt: [SOURCE, SOURCE], generator: seeded(1) });
    expect(frame(latents, 0, 0)).toEqual(frame(latents, 0, 1));
  });

  test('a list of generators draws row by row', async () => {
    const both = await shared.pipeline.invert({
      ...few,
      image: [image, image],
      prompt: [SOURCE, SOURCE],
      generator: [seeded(1), seeded(2)],
    });
    expect(maxError(frame(both.latents, 0, 0), frame(shared.inverted, 0))).toBeLessThan(1e-4);
    expect(maxError(frame(both.latents, 0, 1), frame(shared.inverted, 0))).toBeGreaterThan(1e-2);
  });

  test('a prompt and its embeddings give the same', async () => {
    const { promptEmbeds, negativePromptEmbeds } = await shared.pipeline.encodePrompt(TARGET, {
      negativePrompt: SOURCE,
    });
    const latents = await editLatents({
      prompt: undefined,
      negativePrompt: undefined,
      promptEmbeds,
      negativePromptEmbeds,
    });
    expect(latents).toEqual(await editLatents({}));
    const many = await shared.pipeline.encodePrompt([SOURCE, TARGET], { numImagesPerPrompt: 2 });
    expect(many.promptEmbeds.shape).toEqual([4, 77, 48]);
  });
});

describe('a run', () => {
  const prompts = { image, sourcePrompt: SOURCE, targetPrompt: TARGET };

  test('gives what its phases give one by one, the edit pushed away from the source prompt', async () => {
    const all = await shared.pipeline.run({
      ...few,
      ...prompts,
      numMapsPerMask: 2,
      invertGuidanceScale: 1,
      seed: 5,
      outputType: 'latent',
      returnLatents: true,
    });
    const found = await shared.pipeline.generateMask({ ...few, ...prompts, numMapsPerMask: 2, generator: seeded(5) });
    const { latents } = await shared.pipeline.invert({
      ...few,
      image,
      prompt: SOURCE,
      guidanceScale: 1,
      generator: seeded(5),
    });
    expect(all.mask?.mask).toEqual(found.mask);
    expect(all.latents).toEqual(latents);
    expect(all.images).toEqual(await editLatents({ maskImage: found.mask, imageLatents: latents }));
  });

  test('hands each phase its own guidance and negatives', async () => {
    const [mask, invert] = [{ numMapsPerMask: 1 }, { inpaintStrength: 1 }];
    const steps = { ...few, numInferenceSteps: 2 };
    const first = { ...steps, ...prompts, ...mask, ...invert, seed: 5 };
    const dark = await shared.pipeline.encodePrompt('dark');
    const all = await shared.pipeline.run({
      ...first,
      maskGuidanceScale: 1,
      invertNegativePrompt: 'dark',
      outputType: 'latent',
      returnLatents: true,
    });
    const found = await shared.pipeline.generateMask({
      ...{ ...steps, ...prompts, ...mask },
      guidanceScale: 1,
      generator: seeded(5),
    });
    expect(all.mask?.map).toEqual(found.map);
    const { latents } = await shared.pipeline.invert({
      ...{ ...steps, ...invert, image },
      prompt: SOURCE,
      negativePrompt: 'dark',
      generator: seeded(5),
    });
    expect(all.latents).toEqual(latents);
    const embedded = await shared.pipeline.run({
      ...first,
      maskImage: half,
      invertNegativePromptEmbeds: dark.promptEmbeds,
      outputType: 'latent',
      returnLatents: true,
    });
    expect(embedded.latents).toEqual(latents);
  });

  test('skips the phases whose results it is given', async () => {
    const phases = new Set<string>();
    const { images, mask } = await shared.pipeline.run({
      ...few,
      ...prompts,
      maskImage: half,
      imageLatents: shared.inverted,
      outputType: 'latent',
      onProgress: e => phases.add(e.phase),
    });
    expect(mask).toBeUndefined();
    expect([...phases]).toEqual(['edit']);
    expect(images).toEqual(await editLatents({}));
  });
});
