import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { goldenPath } from '../support/checkpoint.ts';
import { maxError } from '../support/close.ts';
import { loadGolden } from '../support/golden.ts';
import { openPipeline, picture, seeded } from '../support/pipeline.ts';
import { renewed } from '../support/renewed.ts';

const golden = loadGolden('lora');
const { prompt, steps, guidance, strength } = golden.json.run;
const image = picture(loadGolden('sd1'));

/** A file of test/golden/lora, in memory. */
function file(name: string): Uint8Array {
  return new Uint8Array(readFileSync(goldenPath(`lora/${name}`)));
}

async function results(pipeline: DiffEditPipeline): Promise<{ text: NdArray; inverted: NdArray }> {
  const { promptEmbeds: text } = await pipeline.encodePrompt(prompt);
  const { latents: inverted } = await pipeline.invert({
    ...{ prompt, image, numInferenceSteps: steps, inpaintStrength: strength, guidanceScale: guidance },
    generator: seeded(0),
  });
  return { text, inverted };
}

/** Against diffusers and PEFT. */
async function expectCase(pipeline: DiffEditPipeline, name: string): Promise<void> {
  const { text, inverted } = await results(pipeline);
  expect(inverted.shape).toEqual(golden.floats(`${name}.inverted`).shape);
  expect(maxError(text.data, golden.floats(`${name}.text`).data), `${name} text`).toBeLessThanOrEqual(1e-5);
  expect(maxError(inverted.data, golden.floats(`${name}.inverted`).data), `${name} latents`).toBeLessThanOrEqual(1e-5);
}

describe('against diffusers and PEFT', () => {
  let pipeline: DiffEditPipeline;
  renewed(async () => {
    pipeline = await openPipeline('test/golden/sd1/model');
  });
  afterAll(() => pipeline.dispose());

  test('several adapters, chosen and weighted, and the base again bit for bit', async () => {
    const base = await results(pipeline);
    await expectCase(pipeline, 'base');
    expect(await pipeline.loadLoraWeights(file('peft.safetensors'), { adapterName: 'peft' })).toBe('peft');
    await expectCase(pipeline, 'peft');
    await pipeline.loadLoraWeights(file('kohya.safetensors'), { adapterName: 'kohya' });
    expect(pipeline.getActiveAdapters()).toEqual(['kohya']); // as in diffusers
    await expectCase(pipeline, 'kohya');
    pipeline.setAdapters(['peft', 'kohya'], [0.7, -0.4]);
    await expectCase(pipeline, 'both');
    pipeline.deleteAdapters('peft');
    await expectCase(pipeline, 'kohya left');
    pipeline.unloadLoraWeights();
    expect(await results(pipeline)).toEqual(base);
  });

  test.each(['processors.bin', 'settings.safetensors'])('%s', async name => {
    expect(await pipeline.loadLoraWeights(file(name))).toBe('default_0');
    await expectCase(pipeline, name.split('.')[0] as string);
    pipeline.unloadLoraWeights();
  });
});

test('numbers of the original code, on halves', async () => {
  const source = file('original.safetensors');
  const pipeline = await openPipeline('test/golden/sd2/model', { loras: [{ source, adapterName: 'original' }] });
  await expectCase(pipeline, 'original');
  expect(pipeline.getListAdapters()).toEqual({ unet: ['original'], textEncoder: [] });
  pipeline.dispose();
});
