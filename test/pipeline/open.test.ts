import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import { mapFolder, readerSource } from '../../src/io/sources.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { diskFolder } from '../support/folder.ts';
import { loadGolden } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { openPipeline, picture, seeded } from '../support/pipeline.ts';

const path = new URL('../golden/sd1/model', import.meta.url).pathname;
const real = diskFolder(path);

/** The sd1 folder with some JSON files changed, or gone where undefined. */
function changed(
  files: Record<string, object | string | undefined>,
  warnings: string[] = [],
): () => Promise<DiffEditPipeline> {
  const folder: FolderSource = {
    label: 'sd1',
    has: async name => (name in files ? files[name] !== undefined : real.has(name)),
    text: async name => {
      const file = files[name];
      if (typeof file === 'string') return file;
      return file
        ? JSON.stringify({ ...JSON.parse(readFileSync(`${path}/${name}`, 'utf8')), ...file })
        : real.text(name);
    },
    bytes: name => real.bytes(name),
  };
  return async () =>
    DiffEditPipeline.fromPretrained(folder, {
      gpu: await testGpu(),
      modelCpuOffload: true,
      onWarning: m => warnings.push(m),
    });
}

test('a folder that is no model names what is missing', async () => {
  await expect(changed({ 'model_index.json': undefined })()).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: DiffEditPipeline.fromPretrained: model_index.json is missing (sd1). Pass a folder in diffusers' layout, with model_index.json and the folders unet, vae, text_encoder, tokenizer and scheduler.]`,
  );
  await expect(changed({ 'unet/config.json': undefined })()).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: DiffEditPipeline.fromPretrained: unet/config.json is missing (sd1). Pass a folder in diffusers' layout, with model_index.json and the folders unet, vae, text_encoder, tokenizer and scheduler.]`,
  );
  await expect(changed({ 'scheduler/scheduler_config.json': '{' })()).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: DiffEditPipeline.fromPretrained: the file is not JSON (sd1/scheduler/scheduler_config.json). Download it again.]`,
  );
  await expect(changed({ 'scheduler/scheduler_config.json': '[]' })()).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: DiffEditPipeline.fromPretrained: the file is not a JSON object (sd1/scheduler/scheduler_config.json). Download it again.]`,
  );
});

test('other model families are refused by name', async () => {
  const index = (more: object) => changed({ 'model_index.json': more })();
  await expect(index({ unet: ['diffusers', 'UNetMotionModel'] })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: DiffEditPipeline.fromPretrained: unsupported unet: expected UNet2DConditionModel, got "UNetMotionModel" (sd1/model_index.json). Use a Stable Diffusion 1.x or 2.x folder as diffusers saves it.]`,
  );
  const second = ['transformers', 'CLIPTextModelWithProjection'];
  const xl = {
    'model_index.json': { text_encoder_2: second },
    'unet/config.json': { addition_embed_type: 'text_time' },
  };
  await expect(changed(xl)()).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: DiffEditPipeline.fromPretrained: unsupported text_encoder_2: expected one text encoder, got two (sd1/model_index.json). Stable Diffusion XL and later are not built; use a 1.x or 2.x folder.]`,
  );
  await expect(index({ scheduler: [null, null] })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: DiffEditPipeline.fromPretrained: the folder lists no scheduler: expected a class, got [null,null] (sd1/model_index.json). Correct the file, or pass one: scheduler: DDIMScheduler.fromConfig(config).]`,
  );
  await expect(index({ vae: null })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: DiffEditPipeline.fromPretrained: unsupported vae: expected AutoencoderKL, got null (sd1/model_index.json). Use a Stable Diffusion 1.x or 2.x folder as diffusers saves it.]`,
  );
});

test('a config that does not belong to the weights gives every key', async () => {
  await expect(changed({ 'text_encoder/config.json': { num_hidden_layers: 4 } })()).rejects.toThrow(
    /missing: text_model\.encoder\.layers\.3\./,
  );
  await expect(changed({ 'unet/config.json': { in_channels: 9 } })()).rejects.toThrow(
    /wrong shape: conv_in\.weight is \[16, 4, 3, 3\]|wrong shape: conv_in\.weight/,
  );
});

test('an inverse scheduler that a saved pipeline lists is taken with its own settings', async () => {
  const listed = { inverse_scheduler: ['diffusers', 'DDIMInverseScheduler'] };
  const saved = { 'model_index.json': listed, 'inverse_scheduler/scheduler_config.json': '{"steps_offset": 0}' };
  const offsets = async (files: object) => {
    const pipeline = await changed({ ...files })();
    pipeline.dispose();
    return [pipeline.scheduler.config.stepsOffset, pipeline.inverseScheduler.config.stepsOffset];
  };
  expect(await offsets(saved)).toEqual([1, 0]);
  expect(await offsets({ 'model_index.json': { inverse_scheduler: [null, null] } })).toEqual([1, 1]);
  expect(await offsets({ 'scheduler/scheduler_config.json': { steps_offset: 0 } })).toEqual([1, 1]);
  expect(await offsets({ 'scheduler/scheduler_config.json': '{"_class_name":"DDIMScheduler"}' })).toEqual([0, 0]);
  await expect(changed({ 'model_index.json': listed })()).rejects.toThrow(
    'inverse_scheduler/scheduler_config.json is missing',
  );
});

test('the size in a UNet’s config from before diffusers 0.9 is corrected with a warning', async () => {
  const warnings: string[] = [];
  const sizeOf = async (config: object) => {
    const pipeline = await changed({ 'unet/config.json': config }, warnings)();
    pipeline.dispose();
    return pipeline.defaultSize.width / pipeline.vaeScaleFactor;
  };
  expect(await sizeOf({ _diffusers_version: '0.8.0.dev0', sample_size: 32 })).toBe(64);
  expect(await sizeOf({ _diffusers_version: '0.6.0', sample_size: 96 })).toBe(96);
  for (const version of ['0.9.0', '0.10.2', '0.34.0', '1.0.0'])
    expect(await sizeOf({ _diffusers_version: version, sample_size: 32 })).toBe(32);
  expect(warnings).toMatchInlineSnapshot(`
    [
      "The UNet's sample_size is 32 in a config of diffusers 0.8.0.dev0; 64 is used, as diffusers does.",
    ]
  `);
});

test('a safety checker in the folder is announced as not run', async () => {
  const warnings: string[] = [];
  const open = changed(
    { 'model_index.json': { safety_checker: ['stable_diffusion', 'StableDiffusionSafetyChecker'] } },
    warnings,
  );
  (await open()).dispose();
  expect(warnings).toMatchInlineSnapshot(`
    [
      "sd1 lists a safety checker (StableDiffusionSafetyChecker), which is not built: results are not checked.",
    ]
  `);
});

test('a prompt beyond the text encoder’s length is cut with a warning', async () => {
  const warnings: string[] = [];
  const pipeline = await openPipeline('test/golden/sd1/model', {
    modelCpuOffload: true,
    onWarning: m => warnings.push(m),
  });
  const long = new Array(80).fill('pears').join(' ');
  const { promptEmbeds } = await pipeline.encodePrompt(long);
  expect(promptEmbeds.shape).toEqual([1, 77, 48]);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/^The text encoder takes 77 tokens; the rest of a prompt is cut off: "pears/);
  pipeline.dispose();
});

test('loading reports bytes and stops at the signal', async () => {
  const events: number[] = [];
  const pipeline = await openPipeline('test/golden/sd1/model', { onProgress: e => events.push(e.step / e.of) });
  expect(events.every((v, i) => i === 0 || v >= events[i - 1])).toBe(true);
  expect(events.at(-1)).toBeCloseTo(1, 6);
  pipeline.dispose();
  const reason = new Error('enough');
  await expect(openPipeline('test/golden/sd1/model', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const stop = new AbortController();
  const call = openPipeline('test/golden/sd1/model', { signal: stop.signal, onProgress: () => stop.abort(reason) });
  await expect(call).rejects.toBe(reason);
});

test('a pipeline disposed during a call ends the call with an error and holds nothing', async () => {
  const pipeline = await openPipeline('test/golden/sd1/model');
  const image = { width: 40, height: 24, data: new Uint8Array(40 * 24 * 3) };
  const call = pipeline.invert({
    image,
    prompt: 'a',
    numInferenceSteps: 4,
    callback: i => void (i === 1 && pipeline.dispose()),
  });
  await expect(call).rejects.toThrowErrorMatchingInlineSnapshot(
    `[DeviceError: DiffEditPipeline: the pipeline was disposed during a call. Abort the call by its signal and await it first.]`,
  );
  expect(pipeline.bytes).toBe(0);
});

test('opens from Blobs and from readers of byte ranges as from the disk', async () => {
  const names = readdirSync(path, { recursive: true, encoding: 'utf8' }).filter(name => /\.\w+$/.test(name));
  const bytes = (name: string) => new Uint8Array(readFileSync(`${path}/${name}`));
  const ranges: number[] = [];
  const blobs = mapFolder(new Map(names.map(name => [name, new Blob([bytes(name)])])));
  const readers = mapFolder(
    Object.fromEntries(
      names.map(name => {
        const data = bytes(name);
        const read = async (offset: number, length: number) => {
          ranges.push(length);
          return data.subarray(offset, offset + length);
        };
        return [name, readerSource({ byteLength: data.length, read, label: name })];
      }),
    ),
  );
  const gpu = await testGpu();
  const results: unknown[] = [];
  for (const folder of [real, blobs, readers]) {
    const pipeline = await DiffEditPipeline.fromPretrained(folder, { gpu });
    const [image, generator] = [picture(loadGolden('sd1')), seeded(0)];
    results.push(await pipeline.invert({ image, prompt: 'a bowl of fruits', numInferenceSteps: 2, generator }));
    pipeline.dispose();
  }
  expect(results[1]).toEqual(results[0]);
  expect(results[2]).toEqual(results[0]);
  expect(ranges.length).toBeGreaterThan(100); // tensor by tensor, never a file as a whole
});
