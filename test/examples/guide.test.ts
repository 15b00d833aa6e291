/** Every code block of the published guide has its twin in examples/guide; here they run on the embedded models. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DiffEditPipeline, Gpu, NdArray, RgbImage } from 'pentimento';
import { readImage } from 'pentimento/node';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { type Averages, averageEmbeddings } from '../../examples/guide/average-embeddings.ts';
import { captionPicture } from '../../examples/guide/caption-picture.ts';
import { edit, showEdit } from '../../examples/guide/edit.ts';
import { editWithCaption } from '../../examples/guide/edit-with-caption.ts';
import { editWithEmbeddings } from '../../examples/guide/edit-with-embeddings.ts';
import { findMask, sourcePrompt, targetPrompt } from '../../examples/guide/find-mask.ts';
import { invert } from '../../examples/guide/invert.ts';
import { loadCaptioner } from '../../examples/guide/load-captioner.ts';
import { loadLanguageModel } from '../../examples/guide/load-language-model.ts';
import { loadPicture } from '../../examples/guide/load-picture.ts';
import { loadPipeline } from '../../examples/guide/load-pipeline.ts';
import { writePrompts } from '../../examples/guide/write-prompts.ts';
import { maxError, relativeL2 } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { golden, caption as recordedCaption, written } from '../support/guide.ts';
import { renewed } from '../support/renewed.ts';

const few = { numInferenceSteps: 4, numMapsPerMask: 1 };
const steps = { numInferenceSteps: 4 };

let gpu: Gpu;
let pipeline: DiffEditPipeline;
let picture: RgbImage;
renewed(async () => {
  gpu = await testGpu();
  pipeline = await loadPipeline(gpu);
  picture = await loadPicture(pipeline);
});
afterAll(() => pipeline.dispose());

describe('the examples of the guide', () => {
  test('load the pipeline with nothing on the device yet, and bring a picture to its size', async () => {
    expect(pipeline.bytes).toBe(0);
    expect([picture.width, picture.height]).toEqual([128, 128]);
    const market = await loadPicture(pipeline, 'models/orchard/samples/market.jpg');
    expect([market.width, market.height]).toEqual([128, 128]);
  });

  test('find a mask, invert and edit by prompts, as one run does', async () => {
    const mask = await findMask(pipeline, picture, few);
    expect(mask.shape).toEqual([1, 16, 16]);
    const latents = await invert(pipeline, picture, steps);
    expect(latents.shape).toEqual([1, 3, 4, 16, 16]);
    const edited = await edit(pipeline, mask, latents, steps);
    const run = await pipeline.run({ image: picture, sourcePrompt, targetPrompt, seed: 0, ...few });
    expect(mask).toEqual(run.mask?.mask);
    expect(maxError(edited.data, (run.images as RgbImage[])[0].data)).toBeLessThanOrEqual(1);
    const sheet = showEdit(pipeline, picture, mask, edited);
    expect([sheet.width, sheet.height]).toEqual([3 * 128 + 4 * 8, 128 + 2 * 8]);
  });

  test('write the recorded sentences, average their embeddings and edit with them', async () => {
    const languageModel = await loadLanguageModel(gpu);
    const sentences = await writePrompts(languageModel);
    languageModel.dispose();
    expect(sentences).toEqual({ source: written.bowl.texts, target: written.basket.texts });
    const averages: Averages = await averageEmbeddings(pipeline, sentences);
    const error = (embeds: NdArray, name: string) => relativeL2(embeds.data, golden.floats(name).data);
    expect(error(averages.sourceEmbeds, 'guide.source_embeds')).toBeLessThanOrEqual(1e-4);
    expect(error(averages.targetEmbeds, 'guide.target_embeds')).toBeLessThanOrEqual(1e-4);
    const edited = await editWithEmbeddings(pipeline, picture, averages, few);
    const run = await pipeline.run({
      ...{ image: picture, seed: 0, ...few },
      ...{ sourcePromptEmbeds: averages.sourceEmbeds, targetPromptEmbeds: averages.targetEmbeds },
    });
    expect(maxError(edited.data, (run.images as RgbImage[])[0].data)).toBeLessThanOrEqual(1);
  });

  test('caption the picture as recorded, free the device, and edit with the caption', async () => {
    const captioner = await loadCaptioner(gpu);
    const caption = await captionPicture(captioner, picture);
    expect(caption).toBe(recordedCaption);
    expect(captioner.bytes).toBe(0);
    captioner.dispose();
    const edited = await editWithCaption(pipeline, picture, caption, { targetPrompt }, few);
    const run = await pipeline.run({ image: picture, sourcePrompt: caption, targetPrompt, seed: 0, ...few });
    expect(edited).toEqual((run.images as RgbImage[])[0]);
  });

  // Each block by itself is above; all of them once more take as long as those.
  test.runIf(process.env['PENTIMENTO_FULL'])('run from the first block to the last', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'pentimento-guide-'));
    const { argv } = process;
    const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
    try {
      process.argv = ['node', 'run.ts', folder, '4', '1'];
      await import('../../examples/guide/run.ts');
      expect(log.mock.calls).toEqual([[recordedCaption]]);
      const names = ['guide-caption.png', 'guide-embeddings.png', 'guide-prompts.png'];
      expect((await readdir(folder)).sort()).toEqual(names);
      const sizes = await Promise.all(names.map(async name => (await readImage(join(folder, name))).width));
      expect(sizes).toEqual([128, 128, 3 * 128 + 4 * 8]);
    } finally {
      process.argv = argv;
      log.mockRestore();
      await rm(folder, { recursive: true });
    }
  });

  test('are short, and import the package by its name', async () => {
    const folder = new URL('../../examples/guide/', import.meta.url);
    for (const name of await readdir(folder)) {
      const text = await readFile(new URL(name, folder), 'utf8');
      expect(text.split('\n').length - 1, name).toBeLessThanOrEqual(80);
      const imports = [...text.matchAll(/from '([^']+)'/g)].map(([, from]) => from);
      for (const from of imports) expect(from, name).toMatch(/^(pentimento(\/node)?|node:[a-z]+|\.\/[a-z-]+\.ts)$/);
    }
  });
});
