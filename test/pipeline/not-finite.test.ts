/** Weights that hold NaN or infinities, and numbers that grow beyond floats, end a call with their phase and step. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import { DiffEditPipeline, type PretrainedOptions } from '../../src/pipeline/diffedit/pipeline.ts';
import { T5ForConditionalGeneration } from '../../src/pipeline/text/t5.ts';
import { DDIMScheduler } from '../../src/schedulers/index.ts';
import { goldenPath } from '../support/checkpoint.ts';
import { memoryFolder } from '../support/folder.ts';
import { testGpu } from '../support/gpu.ts';
import { shortRun as run, shortInversion } from '../support/scene.ts';

const FILES = filesOf('sd1/model');
const UNET = 'unet/diffusion_pytorch_model.safetensors';
const VAE = 'vae/diffusion_pytorch_model.safetensors';
const TEXT = 'text_encoder/model.safetensors';
const inversion = { ...shortInversion, inpaintStrength: 1 };

type Change = (value: number, i: number) => number;

function filesOf(model: string): Record<string, Uint8Array> {
  const root = goldenPath(model);
  const entries = readdirSync(root, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile());
  const paths = entries.map(entry => join(entry.parentPath, entry.name));
  return Object.fromEntries(paths.map(path => [relative(root, path), new Uint8Array(readFileSync(path))]));
}

/** The folder with every value of one tensor changed. */
function spoiledFolder(files: Record<string, Uint8Array>, file: string, tensor: string, change: Change): FolderSource {
  const bytes = (files[file] as Uint8Array).slice();
  const header = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const { [tensor]: entry } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, header)));
  const [from, to] = entry.data_offsets;
  const values = new Float32Array(bytes.slice(header + from, header + to).buffer).map(change);
  bytes.set(new Uint8Array(values.buffer), header + from);
  return memoryFolder({ ...files, [file]: bytes });
}

async function spoiled(file: string, tensor: string, change: Change, options: PretrainedOptions = {}) {
  const folder = spoiledFolder(FILES, file, tensor, change);
  return DiffEditPipeline.fromPretrained(folder, { gpu: await testGpu(), ...options });
}

const nan: Change = (value, i) => (i === 0 ? Number.NaN : value);

describe('a NaN in the weights', () => {
  test.each([
    ['the UNet', UNET, 'conv_in.weight', 'mask', 'from step 1 of 2 on'],
    ['the text encoder', TEXT, 'text_model.final_layer_norm.weight', 'text', undefined],
    ['the encoder of the VAE', VAE, 'encoder.conv_in.weight', 'encode', undefined],
    ['the decoder of the VAE', VAE, 'decoder.conv_in.weight', 'decode', undefined],
  ])('of %s ends a run in its phase', async (_, file, tensor, phase, step) => {
    const pipeline = await spoiled(file, tensor, nan);
    const error = await pipeline.run(run).catch(e => e);
    expect(error).toMatchObject({ name: 'NumericsError', op: phase });
    if (step) expect(error.path).toContain(step);
    expect(error.fix).toMatch(/^The weights hold such values/);
    // The model stays what it was: the next call is refused for the same reason, not because one still runs.
    await expect(pipeline.run(run)).rejects.toMatchObject({ name: 'NumericsError', op: phase });
    pipeline.dispose();
  });

  test('of the UNet ends an inversion and an edit, on the device and on the host', async () => {
    const pipeline = await spoiled(UNET, 'conv_out.weight', nan);
    const first = { name: 'NumericsError', op: 'invert', path: expect.stringContaining('from step 1 of 4 on') };
    await expect(pipeline.invert(inversion)).rejects.toMatchObject(first);
    await expect(pipeline.invert({ ...inversion, numRegSteps: 1 })).rejects.toMatchObject(first);
    const edit = await editOf();
    await expect(pipeline.edit(edit)).rejects.toMatchObject({ name: 'NumericsError', op: 'edit' });
    pipeline.dispose();
    const scheduler = DDIMScheduler.fromConfig(
      { ...JSON.parse(new TextDecoder().decode(FILES['scheduler/scheduler_config.json'])), thresholding: true },
      {},
    );
    const onHost = await spoiled(UNET, 'conv_out.weight', nan, { scheduler });
    await expect(onHost.edit(edit)).rejects.toMatchObject({ name: 'NumericsError', op: 'edit' });
    onHost.dispose();
  });
});

test('numbers that grow beyond floats are told with the step at which they did', async () => {
  const pipeline = await spoiled(UNET, 'conv_out.weight', value => value * 1e30);
  const error = await pipeline.invert(inversion).catch(e => e);
  expect(error).toMatchObject({ name: 'NumericsError', op: 'invert' });
  expect(error.path).toMatch(/^from step [23] of 4 on, timestep \d+$/);
  pipeline.dispose();
});

test('an infinity in half weights is noticed too', async () => {
  const pipeline = await spoiled(UNET, 'conv_in.bias', (v, i) => (i === 0 ? Number.POSITIVE_INFINITY : v), {
    dtype: 'float16',
  });
  await expect(pipeline.invert(inversion)).rejects.toMatchObject({
    name: 'NumericsError',
    op: 'invert',
    fix: expect.stringContaining("dtype: 'float32'"),
  });
  pipeline.dispose();
});

test.each(['encoder', 'decoder'])('a NaN in the %s of a language model ends a text', async part => {
  const folder = spoiledFolder(filesOf('t5/model'), 'model.safetensors', `${part}.final_layer_norm.weight`, nan);
  const t5 = await T5ForConditionalGeneration.fromPretrained(folder, { gpu: await testGpu() });
  const ids = [[5, 6, 7, 1]];
  await expect(t5.generate({ ids }, { maxNewTokens: 4 })).rejects.toMatchObject({ name: 'NumericsError' });
  t5.dispose();
});

/** A sound mask and sound latents. */
async function editOf() {
  const sound = await DiffEditPipeline.fromPretrained(memoryFolder(FILES), { gpu: await testGpu() });
  const { latents } = await sound.invert(inversion);
  const [, , , height, width] = latents.shape as [number, number, number, number, number];
  const maskImage: NdArray = { data: new Float32Array(height * width).fill(1), shape: [1, height, width] };
  sound.dispose();
  return { prompt: 'a basket of pears', maskImage, imageLatents: latents, numInferenceSteps: 4, inpaintStrength: 1 };
}
