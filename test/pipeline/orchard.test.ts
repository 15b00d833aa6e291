import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { RgbImage } from '../../src/io/image.ts';
import { readImage } from '../../src/node/images.ts';
import type { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { maxError, relativeL2 } from '../support/close.ts';
import { loadGolden } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { array, meanError, openPipeline, seeded, wrongPixels } from '../support/pipeline.ts';
import { renewed } from '../support/renewed.ts';

const golden = loadGolden('orchard/quick');
const { source, target, seed, steps, maps } = golden.json;
const shared = { numInferenceSteps: steps };

describe.each(['float32', 'float16'] as const)('the orchard model in %s', dtype => {
  const full = dtype === 'float32';
  // Halves at guidance 7.5: rounding of every prediction is multiplied by about 10.
  const latentError = full ? 1e-3 : 0.1;
  let pipeline: DiffEditPipeline;
  let image: RgbImage;
  renewed(async () => {
    // Halves as the library stores them on software adapters; other tests take f16 where the adapter has it.
    const gpu = await testGpu({ half: 'f16-packed' });
    pipeline = await openPipeline('models/orchard/stable-diffusion', { dtype, gpu });
    const sample = new URL(`../../models/orchard/samples/${golden.json.image}`, import.meta.url);
    image = await readImage(new Uint8Array(readFileSync(sample)));
  });
  afterAll(() => pipeline.dispose());

  test('knows its size', () => {
    expect(pipeline.defaultSize).toEqual({ width: 128, height: 128 });
    expect(pipeline.vaeScaleFactor).toBe(8);
  });

  test('gives the recorded mask, latents and picture, each phase fed the recorded one before', async () => {
    const found = await pipeline.generateMask({
      ...shared,
      image,
      sourcePrompt: source,
      targetPrompt: target,
      numMapsPerMask: maps,
      generator: seeded(seed),
    });
    const map = golden.floats('quick.mask_map');
    expect(relativeL2(found.map.data, map.data)).toBeLessThanOrEqual(full ? 1e-3 : 3e-2);
    expect(wrongPixels(found, { mask: golden.ints('quick.mask').data, map: map.data })).toBe(0);
    const { latents } = await pipeline.invert({ ...shared, image, prompt: source, generator: seeded(seed) });
    expect(maxError(latents.data, golden.floats('quick.inverted').data)).toBeLessThanOrEqual(latentError);
    const edit = {
      ...shared,
      prompt: target,
      negativePrompt: source,
      maskImage: array(golden, 'quick.mask'),
      imageLatents: array(golden, 'quick.inverted'),
      generator: seeded(seed),
    };
    const edited = await pipeline.edit({ ...edit, outputType: 'latent' });
    expect(maxError((edited.images as NdArray).data, golden.floats('quick.latents').data)).toBeLessThanOrEqual(
      latentError,
    );
    const { images } = await pipeline.edit({ ...edit, outputType: 'np' });
    const error = (full ? maxError : meanError)((images as NdArray).data, golden.floats('quick.image').data);
    expect(error).toBeLessThanOrEqual(3 / 255);
  });

  test('gives the recorded picture by a chained run', async () => {
    const seen: string[] = [];
    const result = await pipeline.run({
      ...shared,
      image,
      sourcePrompt: source,
      targetPrompt: target,
      numMapsPerMask: maps,
      seed,
      outputType: 'np',
      onProgress: e => seen.push(`${e.phase} ${e.step}/${e.of}`),
    });
    const error = meanError((result.images as NdArray).data, golden.floats('quick.image').data);
    expect(error).toBeLessThanOrEqual((full ? 1 : 3) / 255);
    // The prompts' embeddings are known from the phases before.
    expect(Object.keys(result.timings)).toEqual(['encode', 'mask', 'invert', 'edit', 'decode']);
    expect(seen.filter(e => e.startsWith('invert'))).toEqual(Array.from({ length: 9 }, (_, i) => `invert ${i}/8`));
  });
});
