import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { goldenPath } from '../support/checkpoint.ts';
import { maxError, relativeL2 } from '../support/close.ts';
import { loadGolden } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { array, meanError, openPipeline, picture, seeded, wrongPixels } from '../support/pipeline.ts';
import { renewed } from '../support/renewed.ts';

const SOURCE = 'a bowl of fruits';
const TARGET = 'a basket of pears';
const run = { numInferenceSteps: 10, guidanceScale: 6 };

const EVERY = [
  ['sd1', 'float32'],
  ['sd2', 'float16'],
  ['sd2', 'float32'],
  ['sd1', 'float16'],
] as const;

// Each model and each precision every day, all four of them with PENTIMENTO_FULL.
describe.each(process.env['PENTIMENTO_FULL'] ? EVERY : EVERY.slice(0, 2))('%s in %s', (name, dtype) => {
  const golden = loadGolden(name);
  const full = dtype === 'float32';
  const tolerance = { map: full ? 1e-3 : 3e-2, latents: full ? 1e-3 : 3e-2, image: 2 / 255 };
  const image = picture(golden);
  const { seed } = golden.json;
  let pipeline: DiffEditPipeline;
  renewed(async () => {
    pipeline = await openPipeline(`test/golden/${name}/model`, { dtype });
  });
  afterAll(() => pipeline.dispose());

  /** Absolute for float32, the mean for float16. */
  const expectImage = (actual: unknown, of: string) => {
    const expected = golden.floats(of);
    expect((actual as NdArray).shape).toEqual(expected.shape);
    const error = (full ? maxError : meanError)((actual as NdArray).data, expected.data);
    expect(error, of).toBeLessThanOrEqual(tolerance.image);
  };
  const expectLatents = (actual: NdArray, of: string) => {
    const expected = golden.floats(of);
    expect(actual.shape).toEqual(expected.shape);
    expect(maxError(actual.data, expected.data), of).toBeLessThanOrEqual(tolerance.latents);
  };
  const edit = (more: object) =>
    pipeline.edit({
      ...run,
      prompt: TARGET,
      negativePrompt: SOURCE,
      maskImage: array(golden, 'diffedit.mask'),
      imageLatents: array(golden, 'diffedit.inverted'),
      generator: seeded(seed + 2),
      outputType: 'np',
      ...more,
    });

  test('finds the recorded map and mask', async () => {
    const found = await pipeline.generateMask({
      ...run,
      image,
      sourcePrompt: SOURCE,
      targetPrompt: TARGET,
      numMapsPerMask: 3,
      generator: seeded(seed),
    });
    const map = golden.floats('diffedit.mask_map');
    expect(found.map.shape).toEqual(map.shape);
    expect(relativeL2(found.map.data, map.data)).toBeLessThanOrEqual(tolerance.map);
    expect(wrongPixels(found, { mask: golden.ints('diffedit.mask').data, map: map.data })).toBe(0);
  });

  test('inverts to the recorded latents and pictures', async () => {
    const inverted = await pipeline.invert({
      ...run,
      image,
      prompt: SOURCE,
      generator: seeded(seed + 1),
      decodeLatents: true,
      outputType: 'np',
    });
    expectLatents(inverted.latents, 'diffedit.inverted');
    expectImage(inverted.images, 'diffedit.inverted_images');
  });

  test('edits to the recorded latents and picture', async () => {
    expectLatents((await edit({ outputType: 'latent' })).images as NdArray, 'diffedit.latents');
    expectImage((await edit({})).images, 'diffedit.image');
  });

  test('leaves layers of the text encoder out for the positive prompt alone', async () => {
    expectImage((await edit({ clipSkip: 1 })).images, 'diffedit.image_clip_skip');
  });

  test('adds the noise of eta', async () => {
    expectImage((await edit({ eta: 0.7, generator: seeded(seed + 3) })).images, 'diffedit.image_eta');
  });

  test('blends by a half mask and leaves the caller’s mask alone', async () => {
    const maskImage = array(golden, 'diffedit.half_mask');
    const before = maskImage.data.slice();
    expectImage((await edit({ maskImage })).images, 'diffedit.image_half');
    expect(maskImage.data).toEqual(before);
  });

  /** Copies of z decoded: a mask of zeros leaves the latents as they are. */
  const decode = async (z: NdArray, copies: number) => {
    const [, , height, width] = z.shape;
    const { scaling_factor } = JSON.parse(readFileSync(goldenPath(`${name}/model/vae/config.json`), 'utf8'));
    const one = z.data.map(value => value * scaling_factor);
    const data = new Float32Array(copies * one.length);
    for (let i = 0; i < copies; i++) data.set(one, i * one.length);
    const args = { numInferenceSteps: 1, inpaintStrength: 1, guidanceScale: 1, prompt: new Array(copies).fill(TARGET) };
    const maskImage = { data: new Float32Array(height * width), shape: [1, height, width] };
    const imageLatents = { data, shape: [copies, 1, 4, height, width] };
    return (await edit({ ...args, negativePrompt: undefined, maskImage, imageLatents })).images as NdArray;
  };

  test('decodes by tiles to the recorded picture', async () => {
    const { tile_sample_min_size: pixels, tile_latent_min_size: latents } = golden.json.vae_tiling;
    const z = array(golden, 'vae.z');
    pipeline.enableVaeTiling({ pixels, latents });
    const { data } = await decode(z, 1);
    pipeline.disableVaeTiling();
    const [tiled, plane] = [golden.floats('vae.tiled_decoded').data, data.length / 3];
    const expected = data.map((_, i) => Math.min(Math.max(tiled[(i % 3) * plane + Math.floor(i / 3)] / 2 + 0.5, 0), 1));
    expect(maxError(data, expected)).toBeLessThanOrEqual(full ? 1e-4 : 1e-2);
    expect(maxError((await decode(z, 1)).data, expected)).toBeGreaterThan(1e-3); // tiles change the picture
  });

  // In float32, pictures-and-options.test.ts does it.
  if (!full)
    test('decodes one at a time to the same as together', async () => {
      const together = await decode(array(golden, 'vae.z'), 2);
      pipeline.enableVaeSlicing();
      const apart = await decode(array(golden, 'vae.z'), 2);
      pipeline.disableVaeSlicing();
      expect(maxError(apart.data, together.data)).toBeLessThanOrEqual(2e-3);
    });

  test('finds the recorded mask from embeddings', async () => {
    const found = await pipeline.generateMask({
      ...run,
      image,
      sourcePromptEmbeds: array(golden, 'diffedit.source_embeds'),
      targetPromptEmbeds: array(golden, 'diffedit.target_embeds'),
      numMapsPerMask: 3,
      generator: seeded(seed),
    });
    // The map itself was not recorded: the mask's own map stands for it, with the error that the recorded one showed.
    const mask = golden.ints('diffedit.mask_from_embeds');
    expect(found.mask.shape).toEqual(mask.shape);
    expect(undecidedOnly(found, mask.data, tolerance.map)).toBe(true);
  });

  test('inverts with regularised noise', async () => {
    const { lambda_auto_corr, lambda_kl, num_reg_steps, num_auto_corr_rolls } = golden.json.regularised;
    const { latents } = await pipeline.invert({
      image,
      prompt: SOURCE,
      numInferenceSteps: 10,
      inpaintStrength: 0.3,
      guidanceScale: 1,
      generator: seeded(seed + 4),
      lambdaAutoCorr: lambda_auto_corr,
      lambdaKl: lambda_kl,
      numRegSteps: num_reg_steps,
      numAutoCorrRolls: num_auto_corr_rolls,
    });
    expectLatents(latents, 'diffedit.inverted_regularised');
  });

  test('takes two prompts with two images each, and negatives', async () => {
    const images = [image, picture(golden, 'image_b')];
    const [source, target] = [
      [SOURCE, 'a plate of lemons'],
      [TARGET, 'a plate of apples'],
    ];
    const found = await pipeline.generateMask({
      ...run,
      image: images,
      sourcePrompt: source,
      targetPrompt: target,
      sourceNegativePrompt: ['dark', 'blue'],
      targetNegativePrompt: ['red', 'pink'],
      numMapsPerMask: 2,
      generator: seeded(seed + 5),
    });
    const mask = golden.ints('batch.mask');
    expect(found.mask.shape).toEqual(mask.shape);
    expect(undecidedOnly(found, mask.data, tolerance.map)).toBe(true);
    const inverted = await pipeline.invert({
      ...run,
      image: images,
      prompt: source,
      inpaintStrength: 0.5,
      generator: seeded(seed + 6),
    });
    expectLatents(inverted.latents, 'batch.inverted');
    const { images: edited } = await edit({
      prompt: target,
      negativePrompt: source,
      maskImage: array(golden, 'batch.mask'),
      imageLatents: array(golden, 'batch.inverted'),
      numImagesPerPrompt: 2,
      inpaintStrength: 0.5,
      generator: seeded(seed + 7),
    });
    expectImage(edited, 'batch.image');
  });
});

/** Whether a mask differs only where its map lies within a relative error of the threshold. */
function undecidedOnly(found: { mask: NdArray; map: NdArray }, mask: ArrayLike<number>, error: number): boolean {
  const { data } = found.map;
  const threshold = (1.5 * data.reduce((a, b) => a + b, 0)) / data.length;
  return found.mask.data.every((v, i) => v === mask[i] || Math.abs(data[i] - threshold) <= 2 * error * threshold);
}

test('a device of default limits and no optional feature gives the same mask, latents and picture', async () => {
  const golden = loadGolden('sd1');
  const gpu = await testGpu({ bare: true });
  expect([...gpu.device.features].filter(f => f !== 'core-features-and-limits')).toEqual([]);
  expect(gpu.device.limits.maxStorageBufferBindingSize).toBe(128 * 2 ** 20);
  const pipeline = await openPipeline('test/golden/sd1/model', { gpu });
  const { seed } = golden.json;
  const image = picture(golden);
  const prompts = { sourcePrompt: SOURCE, targetPrompt: TARGET };
  const found = await pipeline.generateMask({ ...run, ...prompts, image, numMapsPerMask: 3, generator: seeded(seed) });
  const map = golden.floats('diffedit.mask_map').data;
  expect(relativeL2(found.map.data, map)).toBeLessThanOrEqual(1e-3);
  expect(wrongPixels(found, { mask: golden.ints('diffedit.mask').data, map })).toBe(0);
  const { latents } = await pipeline.invert({ ...run, image, prompt: SOURCE, generator: seeded(seed + 1) });
  expect(maxError(latents.data, golden.floats('diffedit.inverted').data)).toBeLessThanOrEqual(1e-3);
  const { images } = await pipeline.edit({
    ...run,
    prompt: TARGET,
    negativePrompt: SOURCE,
    maskImage: array(golden, 'diffedit.mask'),
    imageLatents: array(golden, 'diffedit.inverted'),
    generator: seeded(seed + 2),
    outputType: 'np',
  });
  expect(maxError((images as NdArray).data, golden.floats('diffedit.image').data)).toBeLessThanOrEqual(2 / 255);
  pipeline.dispose();
});
