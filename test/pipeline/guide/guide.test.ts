import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import type { NdArray } from '../../../src/core/ndarray.ts';
import type { RgbImage } from '../../../src/io/image.ts';
import { readImage } from '../../../src/node/images.ts';
import type { DiffEditPipeline } from '../../../src/pipeline/diffedit/pipeline.ts';
import { embedPrompts } from '../../../src/pipeline/diffusion/embed-prompts.ts';
import { maxError, relativeL2 } from '../../support/close.ts';
import { golden, scene, written } from '../../support/guide.ts';
import { array, openPipeline, seeded, wrongPixels } from '../../support/pipeline.ts';
import { renewed } from '../../support/renewed.ts';

const { source, target, seed, image: sample } = scene;
const embeds = { source: array(golden, 'guide.source_embeds'), target: array(golden, 'guide.target_embeds') };

describe('the second half of the guide, each phase fed the recorded one before', () => {
  let pipeline: DiffEditPipeline;
  let image: RgbImage;
  renewed(async () => {
    pipeline = await openPipeline('models/orchard/stable-diffusion');
    image = await readImage(new Uint8Array(readFileSync(`models/orchard/samples/${sample}`)));
  });
  afterAll(() => pipeline.dispose());

  test.each(['source', 'target'] as const)('averages the %s sentences to the recorded embedding', async which => {
    const mean = await embedPrompts(pipeline, written[{ source, target }[which]].texts);
    expect(mean.shape).toEqual([1, 77, 128]);
    expect(relativeL2(mean.data, embeds[which].data)).toBeLessThanOrEqual(1e-4);
    expect(await pipeline.embedPrompts(written[{ source, target }[which]].texts)).toEqual(mean);
  });

  test('finds the recorded mask between the two embeddings', async () => {
    const found = await pipeline.generateMask({
      image,
      sourcePromptEmbeds: embeds.source,
      targetPromptEmbeds: embeds.target,
      generator: seeded(seed),
    });
    const map = golden.floats('guide.mask_map').data;
    expect(relativeL2(found.map.data, map)).toBeLessThanOrEqual(1e-3);
    expect(wrongPixels(found, { mask: golden.ints('guide.mask').data, map })).toBe(0);
  });

  test('inverts under the source embedding to the recorded latents', async () => {
    const { latents } = await pipeline.invert({ image, promptEmbeds: embeds.source, generator: seeded(seed) });
    const recorded = golden.floats('guide.inverted');
    expect(latents.shape).toEqual(recorded.shape);
    expect(maxError(latents.data, recorded.data)).toBeLessThanOrEqual(1e-3);
  });

  test('edits under the target embedding, away from the source one, to the recorded latents and picture', async () => {
    let last: NdArray | undefined;
    const { images } = await pipeline.edit({
      maskImage: array(golden, 'guide.mask'),
      imageLatents: array(golden, 'guide.inverted'),
      promptEmbeds: embeds.target,
      negativePromptEmbeds: embeds.source,
      generator: seeded(seed),
      outputType: 'np',
      callbackSteps: 1,
      callback: async (step, _, latents) => {
        if (step === 39) last = await latents();
      },
    });
    expect(maxError(last?.data ?? [], golden.floats('guide.latents').data)).toBeLessThanOrEqual(1e-3);
    expect(maxError((images as NdArray).data, golden.floats('guide.image').data)).toBeLessThanOrEqual(3 / 255);
  });
});
