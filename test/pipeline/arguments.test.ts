import { afterAll, expect, test } from 'vitest';
import { PentimentoError } from '../../src/core/errors.ts';
import type { NdArray } from '../../src/core/ndarray.ts';
import { fitSize } from '../../src/io/fit.ts';
import type { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { DDIMInverseScheduler } from '../../src/schedulers/index.ts';
import { openPipeline, seeded } from '../support/pipeline.ts';
import { renewed } from '../support/renewed.ts';

/** Nothing is loaded: every refusal comes before any work on the device. */
let pipeline: DiffEditPipeline;
renewed(async () => {
  pipeline = await openPipeline('test/golden/sd1/model', { modelCpuOffload: true });
});
afterAll(() => pipeline.dispose());

const zeros = (...shape: number[]): NdArray => ({ data: new Float32Array(shape.reduce((a, b) => a * b, 1)), shape });
const image = { width: 40, height: 24, data: new Uint8Array(40 * 24 * 3) };
const embeds = zeros(1, 77, 48);
const prompt = 'a pear';
const mask = { image, sourcePrompt: prompt, targetPrompt: prompt };
const invert = { image, prompt };
const run = { image, sourcePrompt: prompt, targetPrompt: prompt };
const edit = { prompt, maskImage: zeros(1, 12, 20), imageLatents: zeros(1, 40, 4, 12, 20) };

type Call = 'generateMask' | 'invert' | 'edit' | 'run';

/** What a call with these arguments is refused with, before anything came to the device. */
async function refusal(call: Call, args: object, of = pipeline): Promise<string> {
  const method = of[call].bind(of) as (args: unknown) => Promise<unknown>;
  return refused(method(args), of);
}

async function refused(call: Promise<unknown>, of = pipeline): Promise<string> {
  const error = await call.then(
    () => 'accepted',
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(PentimentoError);
  expect(of.peakBytes).toBe(0);
  return String(error);
}

test('prompts and embeddings exclude each other, and one of them is needed', async () => {
  expect(await refusal('invert', { image })).toMatchInlineSnapshot(
    `"InputError: invert: neither prompt nor promptEmbeds was given: expected one of the two. Pass prompt: a string, or a list with one for each picture."`,
  );
  expect(await refusal('invert', { ...invert, promptEmbeds: embeds })).toMatchInlineSnapshot(
    `"InputError: invert: prompt and promptEmbeds were both given: expected one of the two. Leave promptEmbeds out."`,
  );
  expect(await refusal('edit', { ...edit, negativePrompt: 'x', negativePromptEmbeds: embeds })).toMatchInlineSnapshot(
    `"InputError: edit: negativePrompt and negativePromptEmbeds were both given: expected one of the two. Leave negativePromptEmbeds out."`,
  );
  expect(await refusal('generateMask', { image, sourcePrompt: prompt })).toMatchInlineSnapshot(
    `"InputError: generateMask: neither targetPrompt nor targetPromptEmbeds was given: expected one of the two. Pass targetPrompt: a string, or a list with one for each picture."`,
  );
  expect(await refusal('generateMask', { image, targetPrompt: prompt })).toMatchInlineSnapshot(
    `"InputError: generateMask: neither sourcePrompt nor sourcePromptEmbeds was given: expected one of the two. Pass sourcePrompt: a string, or a list with one for each picture."`,
  );
  expect(await refusal('generateMask', { ...mask, sourcePromptEmbeds: embeds })).toMatchInlineSnapshot(
    `"InputError: generateMask: sourcePrompt and sourcePromptEmbeds were both given: expected one of the two. Leave sourcePromptEmbeds out."`,
  );
  expect(
    await refusal('generateMask', { ...mask, targetNegativePrompt: 'x', targetNegativePromptEmbeds: embeds }),
  ).toMatchInlineSnapshot(
    `"InputError: generateMask: targetNegativePrompt and targetNegativePromptEmbeds were both given: expected one of the two. Leave targetNegativePromptEmbeds out."`,
  );
});

test('prompts are strings or lists of strings', async () => {
  expect(await refusal('invert', { image, prompt: 7 })).toMatchInlineSnapshot(
    `"InputError: invert: not a prompt: expected a string, or a list of strings with at least one, got number (prompt)"`,
  );
  expect(await refusal('invert', { image, prompt: [] })).toMatchInlineSnapshot(
    `"InputError: invert: not a prompt: expected a string, or a list of strings with at least one, got a list of nothing (prompt)"`,
  );
  expect(await refusal('invert', { image, prompt: ['a', 7] })).toMatchInlineSnapshot(
    `"InputError: invert: not a prompt: expected a string, or a list of strings with at least one, got a list of string and number (prompt)"`,
  );
});

test('negatives follow the prompts in kind and number', async () => {
  expect(await refusal('invert', { ...invert, negativePrompt: ['x'] })).toMatchInlineSnapshot(
    `"InputError: invert: prompt and negativePrompt are of different kinds: expected a string, got a list of 1 (negativePrompt)"`,
  );
  expect(await refusal('invert', { image, prompt: ['a', 'b'], negativePrompt: 'x' })).toMatchInlineSnapshot(
    `"InputError: invert: prompt and negativePrompt are of different kinds: expected a list of 2, got a string (negativePrompt)"`,
  );
  expect(await refusal('invert', { image, prompt: ['a', 'b'], negativePrompt: ['x'] })).toMatchInlineSnapshot(
    `"InputError: invert: prompt and negativePrompt differ in number: expected 2, got 1 (negativePrompt)"`,
  );
  expect(await refusal('invert', { image, promptEmbeds: zeros(2, 77, 48), negativePrompt: 'x' })).toMatchInlineSnapshot(
    `"InputError: invert: prompt and negativePrompt differ in number: expected 2, got 1 (negativePrompt)"`,
  );
});

test('embeddings have three axes, the model’s width and the shape of their negatives', async () => {
  expect(await refusal('invert', { image, promptEmbeds: zeros(77, 48) })).toMatchInlineSnapshot(
    `"ShapeError: invert: not embeddings: expected [B, L, D] and as many values, got [77, 48] (promptEmbeds). Pass what encodePrompt returns."`,
  );
  expect(
    await refusal('invert', { image, promptEmbeds: embeds, negativePromptEmbeds: zeros(2, 77, 48) }),
  ).toMatchInlineSnapshot(
    `"ShapeError: invert: promptEmbeds and negativePromptEmbeds differ in shape: expected [1, 77, 48], got [2, 77, 48]. Encode both for the same number of prompts."`,
  );
  const wide = { image, promptEmbeds: zeros(1, 77, 50), negativePromptEmbeds: zeros(1, 77, 50) };
  expect(await refusal('invert', wide)).toMatchInlineSnapshot(
    `"InputError: invert: embeddings do not fit the model or each other: expected [1, 77, 48], got [1, 77, 50] (promptEmbeds). Encode prompt and negative prompt with this pipeline, for the same number of prompts."`,
  );
});

test('what the host could not hold or work out is refused before anything begins', async () => {
  for (const numImagesPerPrompt of [1e5, 1e9])
    expect(await refusal('edit', { ...edit, numImagesPerPrompt })).toContain(
      'more pictures than the host holds at once',
    );
  expect(await refusal('run', { ...run, numImagesPerPrompt: 1e9 })).toContain('(numImagesPerPrompt)');
  expect(await refusal('invert', { ...invert, numRegSteps: 1e9 })).toMatchInlineSnapshot(
    `"InputError: invert: not a count of rounds: expected a whole number from 0 to 1000, got 1000000000 (numRegSteps)"`,
  );
  expect(await refusal('invert', { ...invert, numRegSteps: 1, numAutoCorrRolls: 1e9 })).toMatchInlineSnapshot(
    `"InputError: invert: not a count of rolls: expected a whole number from 1 to 1000, got 1000000000 (numAutoCorrRolls)"`,
  );
});

test('numbers lie in their ranges', async () => {
  for (const inpaintStrength of [-0.1, 1.1, Number.NaN, null, '0.5']) {
    expect(await refusal('invert', { ...invert, inpaintStrength })).toContain('a number from 0 to 1');
  }
  expect(await refusal('edit', { ...edit, inpaintStrength: 2 })).toMatchInlineSnapshot(
    `"InputError: edit: strength out of range: expected a number from 0 to 1, got 2 (inpaintStrength)"`,
  );
  expect(await refusal('generateMask', { ...mask, maskEncodeStrength: -1 })).toMatchInlineSnapshot(
    `"InputError: generateMask: strength out of range: expected a number from 0 to 1, got -1 (maskEncodeStrength)"`,
  );
  expect(await refusal('generateMask', { ...mask, numMapsPerMask: 0 })).toMatchInlineSnapshot(
    `"InputError: generateMask: not a count: expected a whole number >= 1, got 0 (numMapsPerMask)"`,
  );
  expect(await refusal('generateMask', { ...mask, numMapsPerMask: true })).toMatchInlineSnapshot(
    `"InputError: generateMask: not a count: expected a whole number >= 1, got true (numMapsPerMask)"`,
  );
  expect(await refusal('generateMask', { ...mask, maskThresholdingRatio: 0 })).toMatchInlineSnapshot(
    `"InputError: generateMask: not a ratio: expected a number > 0, got 0 (maskThresholdingRatio)"`,
  );
  expect(await refusal('generateMask', { ...mask, dilate: 0.5 })).toMatchInlineSnapshot(
    `"InputError: generateMask: not a count: expected a whole number >= 0, got 0.5 (dilate)"`,
  );
  expect(await refusal('invert', { ...invert, callbackSteps: 0 })).toMatchInlineSnapshot(
    `"InputError: invert: not a count: expected a whole number >= 1, got 0 (callbackSteps)"`,
  );
  expect(await refusal('invert', { ...invert, guidanceScale: Number.NaN })).toMatchInlineSnapshot(
    `"InputError: invert: not a number in range: expected a finite number, got NaN (guidanceScale)"`,
  );
  expect(await refusal('edit', { ...edit, eta: -1 })).toMatchInlineSnapshot(
    `"InputError: edit: not a number in range: expected a finite number >= 0, got -1 (eta)"`,
  );
  expect(await refusal('edit', { ...edit, numImagesPerPrompt: 0 })).toMatchInlineSnapshot(
    `"InputError: edit: not a count: expected a whole number >= 1, got 0 (numImagesPerPrompt)"`,
  );
  expect(await refusal('edit', { ...edit, clipSkip: 1.5 })).toMatchInlineSnapshot(
    `"InputError: edit: no number of layers to skip: expected a whole number from 0 to 3, got 1.5 (clipSkip)"`,
  );
  expect(await refusal('invert', { ...invert, numInferenceSteps: 1001 })).toMatchInlineSnapshot(
    `"InputError: setTimesteps: the number of inference steps does not suit the schedule: expected a whole number from 1 to 1000, got 1001 (numInferenceSteps). The model was trained on 1000 timesteps: ask for at most that many."`,
  );
});

test('null is no number: only what is left out gets a default', async () => {
  for (const name of ['numMapsPerMask', 'maskEncodeStrength', 'maskThresholdingRatio', 'guidanceScale'])
    expect(await refusal('generateMask', { ...mask, [name]: null })).toContain(`got null (${name})`);
  for (const name of ['numInferenceSteps', 'callbackSteps', 'numRegSteps', 'lambdaKl'])
    expect(await refusal('invert', { ...invert, [name]: null })).toContain(`got null (${name})`);
  for (const name of ['inpaintStrength', 'numImagesPerPrompt', 'eta'])
    expect(await refusal('edit', { ...edit, [name]: null })).toContain(`got null (${name})`);
  for (const name of ['maskGuidanceScale', 'invertGuidanceScale'])
    expect(await refusal('run', { ...run, [name]: null })).toContain(`got null (${name})`);
});

test('of two wrong arguments the one that diffusers checks first is named', async () => {
  expect(
    await refusal('generateMask', { ...mask, targetPrompt: undefined, sourcePrompt: 7, numMapsPerMask: 0 }),
  ).toMatchInlineSnapshot(
    `"InputError: generateMask: neither targetPrompt nor targetPromptEmbeds was given: expected one of the two. Pass targetPrompt: a string, or a list with one for each picture."`,
  );
  expect(
    await refusal('generateMask', { ...mask, numMapsPerMask: 0, maskThresholdingRatio: -1 }),
  ).toMatchInlineSnapshot(
    `"InputError: generateMask: not a count: expected a whole number >= 1, got 0 (numMapsPerMask)"`,
  );
  expect(await refusal('invert', { inpaintStrength: 2, callbackSteps: 0 })).toMatchInlineSnapshot(
    `"InputError: invert: strength out of range: expected a number from 0 to 1, got 2 (inpaintStrength)"`,
  );
  expect(
    await refusal('edit', { ...edit, maskImage: undefined, imageLatents: undefined, prompt: undefined }),
  ).toMatchInlineSnapshot(
    `"InputError: edit: neither prompt nor promptEmbeds was given: expected one of the two. Pass prompt: a string, or a list with one for each picture."`,
  );
});

test('a strength that leaves no step is refused', async () => {
  expect(await refusal('generateMask', { ...mask, numInferenceSteps: 1 })).toMatchInlineSnapshot(
    `"InputError: generateMask: numInferenceSteps 1 at maskEncodeStrength 0.5 leave no step: expected at least 1 of 1, got 0 (maskEncodeStrength). Use more steps or a higher strength."`,
  );
  expect(await refusal('invert', { ...invert, inpaintStrength: 0 })).toMatchInlineSnapshot(
    `"InputError: invert: numInferenceSteps 50 at inpaintStrength 0 leave no step: expected at least 1 of 50, got 0 (inpaintStrength). Use more steps or a higher strength."`,
  );
  expect(await refusal('edit', { ...edit, inpaintStrength: 0.01 })).toMatchInlineSnapshot(
    `"InputError: edit: numInferenceSteps 50 at inpaintStrength 0.01 leave no step: expected at least 1 of 50, got 0 (inpaintStrength). Use more steps or a higher strength."`,
  );
});

test('a refused call leaves the public schedulers as they were', async () => {
  const of = await openPipeline('test/golden/sd1/model', { modelCpuOffload: true });
  const { scheduler, inverseScheduler } = of;
  const state = () => [scheduler, inverseScheduler].map(s => [s.numInferenceSteps, s.timesteps]);
  const before = state();
  expect(before[0][0]).toBeNull();
  const few = { numInferenceSteps: 10 };
  for (const wrong of [{ numMapsPerMask: 0 }, { targetPrompt: ['a', 'b'] }, { image: undefined }, { generator: 7 }])
    await refusal('generateMask', { ...mask, ...few, ...wrong }, of);
  for (const wrong of [{ inpaintStrength: 0 }, { negativePrompt: ['x'] }, { image: zeros(24, 40) }])
    await refusal('invert', { ...invert, ...few, ...wrong }, of);
  await refusal('edit', { ...edit, ...few }, of);
  for (const wrong of [{ clipSkip: 9 }, { eta: -1 }, { maskImage: zeros(24, 40) }, { inpaintStrength: 0.01 }])
    await refusal('run', { ...run, ...few, ...wrong }, of);
  expect(state()).toEqual(before);
  of.dispose();
});

test('a picture is needed, with the channels of the VAE', async () => {
  expect(await refusal('invert', { prompt })).toMatchInlineSnapshot(
    `"InputError: invert: no picture: expected an image, an array, or a list of either, got undefined (image). Pass what loadImage or readImage returns."`,
  );
  expect(await refusal('generateMask', { ...mask, image: 'pear.png' })).toMatchInlineSnapshot(
    `"InputError: preprocessImage: not a picture or array: got string. Read addresses with loadImage, files with readImage of 'pentimento/node'."`,
  );
  expect(await refusal('invert', { ...invert, image: zeros(24, 40) })).toMatchInlineSnapshot(
    `"ShapeError: invert: a picture with another number of channels than the VAE takes: expected 3 (or 4 for latents), got [1, 1, 24, 40] (image). Repeat a grey channel three times, or pass the picture as an image."`,
  );
  expect(await refusal('invert', { ...invert, image: zeros(24, 40, 4) })).toMatchInlineSnapshot(
    `"InputError: preprocessImage: a picture with alpha: got [24, 40, 4]. Drop the fourth channel; latents are passed as [N, 4, H, W]."`,
  );
  const rgba = { width: 40, height: 24, data: new Uint8Array(40 * 24 * 4) };
  expect(await refusal('invert', { ...invert, image: rgba })).toMatchInlineSnapshot(
    `"InputError: resize: the data of a 40 x 24 picture has another length: expected 2880 bytes, got 3840. This looks like RGBA: convert it with rgbaToRgb first."`,
  );
});

test('an edit needs a mask and latents of the same size, steps and prompts', async () => {
  expect(await refusal('edit', { ...edit, maskImage: undefined })).toMatchInlineSnapshot(
    `"InputError: edit: no mask: got undefined (maskImage). Make one with generateMask(), or pass a picture of latent size: white is what changes."`,
  );
  for (const [imageLatents, received] of [
    [image, 'a picture'],
    [[image, image], 'a picture'],
    ['latents.safetensors', 'string'],
    [{ data: zeros(1).data }, 'object'],
  ])
    expect(await refusal('edit', { ...edit, imageLatents })).toBe(
      `InputError: edit: not inverted latents: expected an array, as invert() returns it, got ${received} (imageLatents). Call invert() with the picture and pass what it returns; run() does both.`,
    );
  expect(await refusal('run', { ...run, imageLatents: image })).toContain('run: not inverted latents');
  expect(
    await refusal('edit', { ...edit, imageLatents: { ...edit.imageLatents, shape: [1, 40, 4, 12, 21] } }),
  ).toContain('ShapeError');
  for (const nothing of [{ data: new Float32Array(4) }, 'apples.png', 5])
    for (const name of ['image', 'maskImage'])
      expect(await refusal('run', { ...run, [name]: nothing })).toMatch(/InputError: \w+: not a picture or array/);
  expect(await refusal('edit', { ...edit, imageLatents: undefined })).toMatchInlineSnapshot(
    `"InputError: edit: no inverted latents: got undefined (imageLatents). Make them with invert()."`,
  );
  expect(await refusal('edit', { ...edit, maskImage: zeros(24, 40) })).toMatchInlineSnapshot(
    `"ShapeError: edit: mask and inverted latents differ in size: expected [B, T, 4, 24, 40], as the mask says, got [1, 40, 4, 12, 20] (imageLatents). The mask must have the size of the latents (the picture divided by the VAE factor), not of the picture."`,
  );
  expect(await refusal('edit', { ...edit, numInferenceSteps: 10 })).toMatchInlineSnapshot(
    `"ShapeError: edit: inverted latents of another number of prompts or steps: expected [1, 8], got [1, 40] (imageLatents). Give invert() and edit() the same numInferenceSteps, inpaintStrength and number of prompts."`,
  );
  expect(await refusal('edit', { ...edit, prompt: ['a', 'b'] })).toMatchInlineSnapshot(
    `"ShapeError: edit: inverted latents of another number of prompts or steps: expected [2, 40], got [1, 40] (imageLatents). Give invert() and edit() the same numInferenceSteps, inpaintStrength and number of prompts."`,
  );
  expect(await refusal('edit', { ...edit, maskImage: zeros(3, 12, 20) })).toMatchInlineSnapshot(
    `"InputError: preprocessMask: masks and prompts differ in number: expected 1 or 1, got 3"`,
  );
  expect(
    await refusal('edit', { ...edit, maskImage: { data: new Float32Array(240).fill(255), shape: [12, 20] } }),
  ).toMatchInlineSnapshot(`"InputError: preprocessMask: a mask value outside [0, 1]: got 255. Divide bytes by 255."`);
  expect(await refusal('edit', { ...edit, pasteBack: { image }, outputType: 'np' })).toMatchInlineSnapshot(
    `"InputError: edit: pasteBack makes pictures: expected outputType 'pil', got "np" (pasteBack)"`,
  );
});

test('source and target belong together', async () => {
  expect(await refusal('generateMask', { ...mask, targetPrompt: ['a', 'b'] })).toMatchInlineSnapshot(
    `"InputError: generateMask: source and target differ in number or length: expected [1, 77], got [2, 77]. Pass as many source prompts as target prompts."`,
  );
  expect(
    await refusal('generateMask', { image, sourcePromptEmbeds: zeros(1, 70, 48), targetPrompt: prompt }),
  ).toMatchInlineSnapshot(
    `"InputError: generateMask: source and target differ in number or length: expected [1, 70], got [1, 77]. Pass as many source prompts as target prompts."`,
  );
  expect(await refusal('run', { ...run, sourcePrompt: ['a', 'b'] })).toMatchInlineSnapshot(
    `"InputError: run: source and target differ in number or length: expected [2, 77], got [1, 77]. Pass as many source prompts as target prompts."`,
  );
  const given = { ...run, sourcePrompt: ['a', 'b'], negativePrompt: 'x', maskImage: zeros(12, 20) };
  expect(await refusal('run', given)).toMatchInlineSnapshot(
    `"InputError: run: sourcePrompt and targetPrompt differ in number: expected 2, got 1 (targetPrompt). Pass as many target prompts as source prompts."`,
  );
});

test('pictures and generators fit the prompts', async () => {
  const three = [image, image, image];
  expect(await refusal('invert', { image: three, prompt: ['a', 'b'] })).toMatchInlineSnapshot(
    `"InputError: invert: pictures and prompts differ in number: expected 2, one for each prompt, got 3 (image). Pass one picture, or one for each prompt."`,
  );
  expect(
    await refusal('generateMask', { image: three, sourcePrompt: ['a', 'b'], targetPrompt: ['a', 'b'] }),
  ).toMatchInlineSnapshot(
    `"InputError: generateMask: pictures and prompts differ in number: expected 2, one for each prompt, got 3 (image). Pass one picture, or one for each prompt."`,
  );
  expect(await refusal('invert', { ...invert, generator: 7 })).toMatchInlineSnapshot(
    `"InputError: invert: not a generator: got number (generator). Make one with new Generator(seed)."`,
  );
  expect(await refusal('run', { ...run, seed: undefined, generator: [seeded(0), {}] })).toMatchInlineSnapshot(
    `"InputError: run: not a generator: got object (generator). Make one with new Generator(seed)."`,
  );
  const list = (count: number) => Array.from({ length: count }, (_, i) => seeded(i));
  expect(await refusal('invert', { ...invert, generator: list(2) })).toMatchInlineSnapshot(
    `"InputError: invert: the number of generators differs from the rows that are drawn: expected 1, got 2 (generator). Pass one generator, or one for each row."`,
  );
  expect(await refusal('invert', { image, prompt: ['a', 'b'], generator: list(2) })).toMatchInlineSnapshot(
    `"InputError: invert: pictures and prompts differ in number: expected 2, one for each prompt, got 1 (image). Pass one picture, or one for each prompt."`,
  );
  expect(await refusal('generateMask', { ...mask, numMapsPerMask: 3, generator: list(1) })).toMatchInlineSnapshot(
    `"InputError: generateMask: the number of generators differs from the rows that are drawn: expected 3, got 1 (generator). Pass one generator, or one for each row."`,
  );
  expect(await refusal('edit', { ...edit, eta: 1, numImagesPerPrompt: 2, generator: list(3) })).toMatchInlineSnapshot(
    `"InputError: edit: the number of generators differs from the rows that are drawn: expected 2, got 3 (generator). Pass one generator, or one for each row."`,
  );
  expect(await refusal('run', { ...run, generator: list(1) })).toMatchInlineSnapshot(
    `"InputError: run: the phases draw different numbers of rows, which one list of generators cannot serve: expected one generator, or a seed, got 1 for 10 (mask), 1 (inversion) (generator). Or call generateMask(), invert() and edit(), each with a list of its own."`,
  );
  expect(await refusal('run', { ...run, numMapsPerMask: 1, generator: list(2) })).toContain('expected 1, got 2');
});

test('regularisation takes one generator, and with guidance one picture unless the model predicts noise', async () => {
  const two = { image, prompt: ['a', 'b'], numRegSteps: 1 };
  const generator = [seeded(0), seeded(1)];
  expect(await refusal('invert', { ...two, image: [image, image], generator })).toMatchInlineSnapshot(
    `"InputError: invert: regularisation draws from one generator: expected 1, got 2 (generator). Pass one generator for the whole batch."`,
  );
  const inverseScheduler = DDIMInverseScheduler.fromConfig(pipeline.scheduler.config, {
    predictionType: 'v_prediction',
  });
  const other = await openPipeline('test/golden/sd1/model', { modelCpuOffload: true, inverseScheduler });
  expect(await refusal('invert', two, other)).toMatchInlineSnapshot(
    `"ShapeError: invert: guided inversion of several pictures cannot be regularised with v_prediction: expected one picture, got 2 (numRegSteps). Invert the pictures one by one, or with guidanceScale 1."`,
  );
  const sources = { sourcePrompt: ['a', 'b'], targetPrompt: ['c', 'd'] };
  expect(await refusal('run', { ...run, ...sources, numRegSteps: 1 }, other)).toContain('cannot be regularised');
  other.dispose();
  const narrow = { width: 4, height: 64, data: new Uint8Array(4 * 64 * 3) };
  expect(await refusal('invert', { image: narrow, prompt, numRegSteps: 1 })).toMatchInlineSnapshot(
    `"ShapeError: autoCorrelationGradient: the noise is too narrow for its height: got [16, 1]. Each halving down to 8 rows must leave at least one column."`,
  );
});

test('what results are pasted into is a picture for all or one for each prompt', async () => {
  expect(await refusal('edit', { ...edit, pasteBack: { image: undefined } })).toMatchInlineSnapshot(
    `"InputError: edit: not a picture: expected an RGB image (pasteBack.image)"`,
  );
  expect(await refusal('edit', { ...edit, pasteBack: { image: { ...image, width: 41 } } })).toMatchInlineSnapshot(
    `"InputError: edit: the data of a 41 x 24 picture has another length: expected 2952 bytes, got 2880. Pass width * height * 3 bytes, R G B."`,
  );
  expect(await refusal('edit', { ...edit, pasteBack: { image: [image, image] } })).toMatchInlineSnapshot(
    `"InputError: edit: pictures to paste into and prompts differ in number: expected 1, got 2 (pasteBack.image). Pass one picture for all results, or one for each prompt."`,
  );
  expect(await refusal('edit', { ...edit, pasteBack: { image, blur: -1 } })).toMatchInlineSnapshot(
    `"InputError: edit: not a number in range: expected a finite number >= 0, got -1 (pasteBack.blur)"`,
  );
  const photo = { width: 80, height: 48, data: new Uint8Array(3 * 80 * 48) };
  const fit = fitSize(photo, pipeline, { fit: 'squash', size: { width: 32, height: 24 } });
  expect(await refusal('edit', { ...edit, pasteBack: { image, fit } })).toMatchInlineSnapshot(
    `"InputError: edit.pasteBack: the fit is of another picture: expected what fitImage returns for 40x24, got 80x48 (fit)"`,
  );
  expect(await refusal('edit', { ...edit, pasteBack: { image: photo, fit } })).toMatchInlineSnapshot(
    `"InputError: edit: the edit has another size than the fit that it is pasted back by: expected 32x24, got 40x24 (pasteBack.fit). Pass the image that fitImage returned with this fit."`,
  );
  expect(await refusal('run', { ...run, pasteBack: { image: photo, fit } })).toMatchInlineSnapshot(
    `"InputError: run: the edit has another size than the fit that it is pasted back by: expected 32x24, got 40x24 (pasteBack.fit). Pass the image that fitImage returned with this fit."`,
  );
});

test('prompts to encode come with a count and a number of layers', async () => {
  const encode = (options: object) => refused(pipeline.encodePrompt(prompt, options));
  expect(await encode({ numImagesPerPrompt: 1.5 })).toMatchInlineSnapshot(
    `"InputError: encodePrompt: not a count: expected a whole number >= 1, got 1.5 (numImagesPerPrompt)"`,
  );
  expect(await encode({ clipSkip: -1 })).toMatchInlineSnapshot(
    `"InputError: encodePrompt: no number of layers to skip: expected a whole number from 0 to 3, got -1 (clipSkip)"`,
  );
  expect(await encode({ clipSkip: 4 })).toContain('from 0 to 3, got 4 (clipSkip)');
  expect(await encode({ negativePrompt: ['x'] })).toContain('of different kinds');
});

test('tiles have sides that belong together and an overlap that lets them meet', () => {
  for (const sizes of [{ pixels: 16, latents: 16 }, { latents: 0 }, { pixels: 15 }])
    expect(() => pipeline.enableVaeTiling(sizes)).toThrow('whole latents, and 2 times as many pixels');
  for (const overlap of [-0.25, 1, Number.NaN, 0.3])
    expect(() => pipeline.enableVaeTiling({ latents: 8, overlap })).toThrow('a share from 0 to below 1');
  expect(() => pipeline.enableVaeTiling({ pixels: 15 })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: enableVaeTiling: no size of tiles: expected whole latents, and 2 times as many pixels, got {"pixels":15,"latents":7.5,"overlap":0.25} (sizes). For example pixels 64, latents 32, overlap 0.25.]`,
  );
  for (const sizes of [{}, { pixels: 16 }, { latents: 10, overlap: 0.3 }, { overlap: 0 }])
    expect(() => pipeline.enableVaeTiling(sizes)).not.toThrow();
  pipeline.disableVaeTiling();
});

test('a run takes a seed or a generator, and checks all phases before the first', async () => {
  expect(await refusal('run', { ...run, seed: 1, generator: seeded(1) })).toMatchInlineSnapshot(
    `"InputError: run: seed and generator were both given: expected one of the two. Leave the generator out: each phase draws from a fresh one with the seed."`,
  );
  expect(await refusal('run', { ...run, seed: 1.5 })).toMatchInlineSnapshot(
    `"InputError: Generator: the seed is no whole number of at most 64 bits: got 1.5 (seed). Give an integer; beyond 2^53 write it as a bigint, for example 12345678901234567890n."`,
  );
  expect(await refusal('run', { ...run, eta: -1 })).toMatchInlineSnapshot(
    `"InputError: run: not a number in range: expected a finite number >= 0, got -1 (eta)"`,
  );
  expect(await refusal('run', { ...run, image: undefined })).toMatchInlineSnapshot(
    `"InputError: run: no picture: expected an image, an array, or a list of either, got undefined (image). Pass what loadImage or readImage returns."`,
  );
});

test('a run names arguments as its caller knows them', async () => {
  const masked = { ...run, maskImage: zeros(12, 20) };
  expect(await refusal('run', { ...run, targetPrompt: undefined })).toMatchInlineSnapshot(
    `"InputError: run: neither targetPrompt nor targetPromptEmbeds was given: expected one of the two. Pass targetPrompt: a string, or a list with one for each picture."`,
  );
  expect(await refusal('run', { ...masked, targetPrompt: undefined })).toMatchInlineSnapshot(
    `"InputError: run: neither targetPrompt nor targetPromptEmbeds was given: expected one of the two. Pass targetPrompt: a string, or a list with one for each picture."`,
  );
  expect(await refusal('run', { ...masked, sourcePrompt: undefined })).toMatchInlineSnapshot(
    `"InputError: run: neither sourcePrompt nor sourcePromptEmbeds was given: expected one of the two. Pass sourcePrompt: a string, or a list with one for each picture."`,
  );
  expect(await refusal('run', { ...masked, negativePrompt: ['x'] })).toMatchInlineSnapshot(
    `"InputError: run: targetPrompt and negativePrompt are of different kinds: expected a string, got a list of 1 (negativePrompt)"`,
  );
  expect(await refusal('run', { ...masked, sourcePrompt: ['x'] })).toMatchInlineSnapshot(
    `"InputError: run: targetPrompt and sourcePrompt are of different kinds: expected a string, got a list of 1 (sourcePrompt)"`,
  );
  expect(await refusal('run', { ...masked, invertNegativePrompt: ['x'] })).toMatchInlineSnapshot(
    `"InputError: run: sourcePrompt and invertNegativePrompt are of different kinds: expected a string, got a list of 1 (invertNegativePrompt)"`,
  );
  expect(
    await refusal('run', { ...masked, invertNegativePrompt: 'x', invertNegativePromptEmbeds: embeds }),
  ).toMatchInlineSnapshot(
    `"InputError: run: invertNegativePrompt and invertNegativePromptEmbeds were both given: expected one of the two. Leave invertNegativePromptEmbeds out."`,
  );
  const text = { sourcePrompt: undefined, sourcePromptEmbeds: zeros(1, 60, 48) };
  expect(await refusal('run', { ...masked, ...text })).toMatchInlineSnapshot(
    `"InputError: run: embeddings do not fit the model or each other: expected [1, 77, 48], got [1, 60, 48] (sourcePromptEmbeds). Encode prompt and negative prompt with this pipeline, for the same number of prompts."`,
  );
});

test('a mask and latents given to a run have the size of its picture', async () => {
  expect(await refusal('run', { ...run, maskImage: zeros(24, 40) })).toMatchInlineSnapshot(
    `"ShapeError: run: mask and picture differ in size: expected [12, 20], got [24, 40] (maskImage). The mask must have the size of the latents (the picture divided by the VAE factor), not of the picture."`,
  );
  expect(await refusal('run', { ...run, imageLatents: zeros(1, 40, 4, 24, 40) })).toMatchInlineSnapshot(
    `"ShapeError: run: picture and inverted latents differ in size: expected [B, T, 4, 12, 20], as the picture says, got [1, 40, 4, 24, 40] (imageLatents). Invert this picture, at the size at which it is edited."`,
  );
  expect(
    await refusal('run', { ...run, maskImage: zeros(12, 20), imageLatents: zeros(1, 40, 4, 12, 12) }),
  ).toMatchInlineSnapshot(
    `"ShapeError: run: mask and inverted latents differ in size: expected [B, T, 4, 12, 20], as the mask says, got [1, 40, 4, 12, 12] (imageLatents). The mask must have the size of the latents (the picture divided by the VAE factor), not of the picture."`,
  );
  expect(await refusal('run', { ...run, imageLatents: zeros(1, 8, 4, 12, 20) })).toMatchInlineSnapshot(
    `"ShapeError: run: inverted latents of another number of prompts or steps: expected [1, 40], got [1, 8] (imageLatents). Give invert() and edit() the same numInferenceSteps, inpaintStrength and number of prompts."`,
  );
});
