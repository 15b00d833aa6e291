import { afterAll, beforeAll, expect, test } from 'vitest';
import { PentimentoError } from '../../src/core/errors.ts';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { DiffEditPipeline } from '../../src/pipeline/diffedit.ts';
import { openPipeline, seeded } from '../support/pipeline.ts';

/** Nothing is loaded: every refusal comes before any work on the device. */
let pipeline: DiffEditPipeline;
beforeAll(async () => {
  pipeline = await openPipeline('test/golden/sd1/model', { modelCpuOffload: true });
});
afterAll(() => pipeline.dispose());

const zeros = (...shape: number[]): NdArray => ({ data: new Float32Array(shape.reduce((a, b) => a * b, 1)), shape });
const image = { width: 40, height: 24, data: new Uint8Array(40 * 24 * 3) };
const embeds = zeros(1, 77, 48);
const prompt = 'a pear';
const mask = { image, sourcePrompt: prompt, targetPrompt: prompt };
const invert = { image, prompt };
const edit = { prompt, maskImage: zeros(1, 12, 20), imageLatents: zeros(1, 40, 4, 12, 20) };

type Call = 'generateMask' | 'invert' | 'edit' | 'run';

/** What a call with these arguments is refused with. */
async function refusal(call: Call, args: object): Promise<string> {
  const method = pipeline[call].bind(pipeline) as (args: unknown) => Promise<unknown>;
  const error = await method(args).then(
    () => 'accepted',
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(PentimentoError);
  expect(pipeline.bytes).toBe(0);
  return (error as PentimentoError).message;
}

test('prompts and embeddings exclude each other, and one of them is needed', async () => {
  expect(await refusal('invert', { image })).toMatchInlineSnapshot(
    `"invert: neither prompt nor promptEmbeds was given: expected one of the two. Pass prompt: a string, or a list with one for each picture."`,
  );
  expect(await refusal('invert', { ...invert, promptEmbeds: embeds })).toMatchInlineSnapshot(
    `"invert: prompt and promptEmbeds were both given: expected one of the two. Leave promptEmbeds out."`,
  );
  expect(await refusal('edit', { ...edit, negativePrompt: 'x', negativePromptEmbeds: embeds })).toMatchInlineSnapshot(
    `"edit: negativePrompt and negativePromptEmbeds were both given: expected one of the two. Leave negativePromptEmbeds out."`,
  );
  expect(await refusal('generateMask', { image, sourcePrompt: prompt })).toMatchInlineSnapshot(
    `"generateMask: neither targetPrompt nor targetPromptEmbeds was given: expected one of the two. Pass targetPrompt: a string, or a list with one for each picture."`,
  );
  expect(await refusal('generateMask', { image, targetPrompt: prompt })).toMatchInlineSnapshot(
    `"generateMask: neither sourcePrompt nor sourcePromptEmbeds was given: expected one of the two. Pass sourcePrompt: a string, or a list with one for each picture."`,
  );
  expect(await refusal('generateMask', { ...mask, sourcePromptEmbeds: embeds })).toMatchInlineSnapshot(
    `"generateMask: sourcePrompt and sourcePromptEmbeds were both given: expected one of the two. Leave sourcePromptEmbeds out."`,
  );
  expect(
    await refusal('generateMask', { ...mask, targetNegativePrompt: 'x', targetNegativePromptEmbeds: embeds }),
  ).toMatchInlineSnapshot(
    `"generateMask: targetNegativePrompt and targetNegativePromptEmbeds were both given: expected one of the two. Leave targetNegativePromptEmbeds out."`,
  );
});

test('prompts are strings or lists of strings', async () => {
  expect(await refusal('invert', { image, prompt: 7 })).toMatchInlineSnapshot(
    `"invert: not a prompt: expected a string, or a list of strings with at least one, got number (prompt)"`,
  );
  expect(await refusal('invert', { image, prompt: [] })).toMatchInlineSnapshot(
    `"invert: not a prompt: expected a string, or a list of strings with at least one, got a list of nothing (prompt)"`,
  );
  expect(await refusal('invert', { image, prompt: ['a', 7] })).toMatchInlineSnapshot(
    `"invert: not a prompt: expected a string, or a list of strings with at least one, got a list of string and number (prompt)"`,
  );
});

test('negatives follow the prompts in kind and number', async () => {
  expect(await refusal('invert', { ...invert, negativePrompt: ['x'] })).toMatchInlineSnapshot(
    `"invert: prompt and negativePrompt are of different kinds: expected a string, got a list of 1 (negativePrompt)"`,
  );
  expect(await refusal('invert', { image, prompt: ['a', 'b'], negativePrompt: 'x' })).toMatchInlineSnapshot(
    `"invert: prompt and negativePrompt are of different kinds: expected a list of 2, got a string (negativePrompt)"`,
  );
  expect(await refusal('invert', { image, prompt: ['a', 'b'], negativePrompt: ['x'] })).toMatchInlineSnapshot(
    `"invert: prompt and negativePrompt differ in number: expected 2, got 1 (negativePrompt)"`,
  );
  expect(await refusal('invert', { image, promptEmbeds: zeros(2, 77, 48), negativePrompt: 'x' })).toMatchInlineSnapshot(
    `"invert: prompt and negativePrompt differ in number: expected 2, got 1 (negativePrompt)"`,
  );
});

test('embeddings have three axes, the model’s width and the shape of their negatives', async () => {
  expect(await refusal('invert', { image, promptEmbeds: zeros(77, 48) })).toMatchInlineSnapshot(
    `"invert: not embeddings: expected [B, L, D] and as many values, got [77, 48] (promptEmbeds). Pass what encodePrompt returns."`,
  );
  expect(
    await refusal('invert', { image, promptEmbeds: embeds, negativePromptEmbeds: zeros(2, 77, 48) }),
  ).toMatchInlineSnapshot(
    `"invert: promptEmbeds and negativePromptEmbeds differ in shape: expected [1, 77, 48], got [2, 77, 48]. Encode both for the same number of prompts."`,
  );
  const wide = { image, promptEmbeds: zeros(1, 77, 50), negativePromptEmbeds: zeros(1, 77, 50) };
  expect(await refusal('invert', wide)).toMatchInlineSnapshot(
    `"invert: embeddings do not fit the model or each other: expected [1, 77, 48], got [1, 77, 50] (promptEmbeds). Encode prompt and negative prompt with this pipeline, for the same number of prompts."`,
  );
});

test('numbers lie in their ranges', async () => {
  for (const inpaintStrength of [-0.1, 1.1, Number.NaN, null, '0.5']) {
    expect(await refusal('invert', { ...invert, inpaintStrength: inpaintStrength ?? 'none' })).toContain(
      'a number from 0 to 1',
    );
  }
  expect(await refusal('edit', { ...edit, inpaintStrength: 2 })).toMatchInlineSnapshot(
    `"edit: strength out of range: expected a number from 0 to 1, got 2 (inpaintStrength)"`,
  );
  expect(await refusal('generateMask', { ...mask, maskEncodeStrength: -1 })).toMatchInlineSnapshot(
    `"generateMask: strength out of range: expected a number from 0 to 1, got -1 (maskEncodeStrength)"`,
  );
  expect(await refusal('generateMask', { ...mask, numMapsPerMask: 0 })).toMatchInlineSnapshot(
    `"generateMask: not a count: expected a whole number >= 1, got 0 (numMapsPerMask)"`,
  );
  expect(await refusal('generateMask', { ...mask, numMapsPerMask: true })).toMatchInlineSnapshot(
    `"generateMask: not a count: expected a whole number >= 1, got true (numMapsPerMask)"`,
  );
  expect(await refusal('generateMask', { ...mask, maskThresholdingRatio: 0 })).toMatchInlineSnapshot(
    `"generateMask: not a ratio: expected a number > 0, got 0 (maskThresholdingRatio)"`,
  );
  expect(await refusal('generateMask', { ...mask, dilate: 0.5 })).toMatchInlineSnapshot(
    `"generateMask: not a count: expected a whole number >= 0, got 0.5 (dilate)"`,
  );
  expect(await refusal('invert', { ...invert, callbackSteps: 0 })).toMatchInlineSnapshot(
    `"invert: not a count: expected a whole number >= 1, got 0 (callbackSteps)"`,
  );
  expect(await refusal('invert', { ...invert, guidanceScale: Number.NaN })).toMatchInlineSnapshot(
    `"invert: not a number in range: expected a finite number, got NaN (guidanceScale)"`,
  );
  expect(await refusal('edit', { ...edit, eta: -1 })).toMatchInlineSnapshot(
    `"edit: not a number in range: expected a finite number >= 0, got -1 (eta)"`,
  );
  expect(await refusal('edit', { ...edit, numImagesPerPrompt: 0 })).toMatchInlineSnapshot(
    `"edit: not a count: expected a whole number >= 1, got 0 (numImagesPerPrompt)"`,
  );
  expect(await refusal('edit', { ...edit, clipSkip: 1.5 })).toMatchInlineSnapshot(
    `"edit: not a count: expected a whole number >= 0, got 1.5 (clipSkip)"`,
  );
  expect(await refusal('invert', { ...invert, numInferenceSteps: 1001 })).toMatchInlineSnapshot(
    `"setTimesteps: the number of inference steps does not suit the schedule: expected a whole number from 1 to 1000, got 1001 (numInferenceSteps). The model was trained on 1000 timesteps: ask for at most that many."`,
  );
});

test('a strength that leaves no step is refused', async () => {
  expect(await refusal('generateMask', { ...mask, numInferenceSteps: 1 })).toMatchInlineSnapshot(
    `"generateMask: numInferenceSteps 1 at maskEncodeStrength 0.5 leave no step: expected at least 1 of 1, got 0 (maskEncodeStrength). Use more steps or a higher strength."`,
  );
  expect(await refusal('invert', { ...invert, inpaintStrength: 0 })).toMatchInlineSnapshot(
    `"invert: numInferenceSteps 50 at inpaintStrength 0 leave no step: expected at least 1 of 50, got 0 (inpaintStrength). Use more steps or a higher strength."`,
  );
  expect(await refusal('edit', { ...edit, inpaintStrength: 0.01 })).toMatchInlineSnapshot(
    `"edit: numInferenceSteps 50 at inpaintStrength 0.01 leave no step: expected at least 1 of 50, got 0 (inpaintStrength). Use more steps or a higher strength."`,
  );
});

test('a picture is needed, with the channels of the VAE', async () => {
  expect(await refusal('invert', { prompt })).toMatchInlineSnapshot(
    `"invert: no picture: expected an image, an array, or a list of either, got undefined (image). Pass what loadImage returns."`,
  );
  expect(await refusal('generateMask', { ...mask, image: 'pear.png' })).toMatchInlineSnapshot(
    `"preprocessImage: not a picture or array: got string. Paths and URLs go through loadImage first."`,
  );
  expect(await refusal('invert', { ...invert, image: zeros(24, 40) })).toMatchInlineSnapshot(
    `"invert: a picture with another number of channels than the VAE takes: expected 3 (or 4 for latents), got [1, 1, 24, 40] (image). Repeat a grey channel three times, or pass the picture as an image."`,
  );
  expect(await refusal('invert', { ...invert, image: zeros(24, 40, 4) })).toMatchInlineSnapshot(
    `"preprocessImage: a picture with alpha: got [24, 40, 4]. Drop the fourth channel; latents are passed as [N, 4, H, W]."`,
  );
  const rgba = { width: 40, height: 24, data: new Uint8Array(40 * 24 * 4) };
  expect(await refusal('invert', { ...invert, image: rgba })).toMatchInlineSnapshot(
    `"resize: the data of a 40 x 24 picture has another length: expected 2880 bytes, got 3840. This looks like RGBA: convert it with rgbaToRgb first."`,
  );
});

test('an edit needs a mask and latents of the same size, steps and prompts', async () => {
  expect(await refusal('edit', { ...edit, maskImage: undefined })).toMatchInlineSnapshot(
    `"edit: no mask: got undefined (maskImage). Make one with generateMask(), or pass a picture of latent size: white is what changes."`,
  );
  expect(await refusal('edit', { ...edit, imageLatents: undefined })).toMatchInlineSnapshot(
    `"edit: no inverted latents: got undefined (imageLatents). Make them with invert()."`,
  );
  expect(await refusal('edit', { ...edit, maskImage: zeros(24, 40) })).toMatchInlineSnapshot(
    `"edit: mask and inverted latents differ in size: expected [B, T, 4, 24, 40], as the mask says, got [1, 40, 4, 12, 20] (imageLatents). The mask must have the size of the latents (the picture divided by the VAE factor), not of the picture."`,
  );
  expect(await refusal('edit', { ...edit, numInferenceSteps: 10 })).toMatchInlineSnapshot(
    `"edit: inverted latents of another number of prompts or steps: expected [1, 8], got [1, 40] (imageLatents). Give invert() and edit() the same numInferenceSteps, inpaintStrength and number of prompts."`,
  );
  expect(await refusal('edit', { ...edit, prompt: ['a', 'b'] })).toMatchInlineSnapshot(
    `"edit: inverted latents of another number of prompts or steps: expected [2, 40], got [1, 40] (imageLatents). Give invert() and edit() the same numInferenceSteps, inpaintStrength and number of prompts."`,
  );
  expect(await refusal('edit', { ...edit, maskImage: zeros(3, 12, 20) })).toMatchInlineSnapshot(
    `"preprocessMask: masks and prompts differ in number: expected 1 or 1, got 3"`,
  );
  expect(
    await refusal('edit', { ...edit, maskImage: { data: new Float32Array(240).fill(255), shape: [12, 20] } }),
  ).toMatchInlineSnapshot(`"preprocessMask: a mask value outside [0, 1]: got 255. Divide bytes by 255."`);
  expect(await refusal('edit', { ...edit, pasteBack: { image }, outputType: 'np' })).toMatchInlineSnapshot(
    `"edit: pasteBack makes pictures: expected outputType 'pil', got np (pasteBack)"`,
  );
});

test('a run takes a seed or a generator, and checks all phases before the first', async () => {
  const run = { image, sourcePrompt: prompt, targetPrompt: prompt };
  expect(await refusal('run', { ...run, seed: 1, generator: seeded(1) })).toMatchInlineSnapshot(
    `"run: seed and generator were both given: expected one of the two. Leave the generator out: each phase draws from a fresh one with the seed."`,
  );
  expect(await refusal('run', { ...run, eta: -1 })).toMatchInlineSnapshot(
    `"run: not a number in range: expected a finite number >= 0, got -1 (eta)"`,
  );
  expect(await refusal('run', { ...run, targetPrompt: undefined })).toMatchInlineSnapshot(
    `"run: neither targetPrompt nor targetPromptEmbeds was given: expected one of the two. Pass targetPrompt: a string, or a list with one for each picture."`,
  );
});
