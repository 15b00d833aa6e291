/** What a model asks of kernels, heard on a device that runs nothing: all that a real call asks, and nothing else. */
import { afterEach, describe, expect, it } from 'vitest';
import type { FolderSource } from '../../../src/core/tensor-source.ts';
import { Gpu } from '../../../src/gpu/device.ts';
import { DEFAULT_CAPS } from '../../../src/gpu/dry-device.ts';
import { mapFolder } from '../../../src/io/sources.ts';
import { DiffEditPipeline } from '../../../src/pipeline/diffedit/pipeline.ts';
import { caption, generatePrompts } from '../../../src/pipeline/guide/captions-and-prompts.ts';
import { type ModelProblemsOptions, problemsOf, taskOf } from '../../../src/pipeline/problems/model-problems.ts';
import { BlipForConditionalGeneration } from '../../../src/pipeline/text/blip.ts';
import { T5ForConditionalGeneration } from '../../../src/pipeline/text/t5.ts';
import { Generator } from '../../../src/schedulers/index.ts';
import { type Heard, HeardProblems } from '../../../src/tuning/heard.ts';
import { repositoryFolder } from '../../support/captioner.ts';
import { freshGpu, testGpu } from '../../support/gpu.ts';

const ORCHARD = 'models/orchard';
const made: { dispose(): void }[] = [];
afterEach(() => {
  for (const thing of made.splice(0).reverse()) thing.dispose();
});

/** Each once, whatever the order. */
const sorted = (all: readonly Heard[]): string[] =>
  all.map(({ op, problem }) => `${op} ${JSON.stringify(problem)}`).sort();

/** A device, and all that is asked on it; one that runs nothing takes a call just the same, in a tenth of the time. */
async function listening(dry = false) {
  const heard = new HeardProblems();
  const gpu = dry
    ? Gpu.dry((await testGpu()).caps, undefined, { tuning: heard.listen() })
    : await freshGpu({ tuning: heard.listen() });
  made.push(gpu);
  return { gpu, heard };
}

interface Edit {
  readonly size: number;
  readonly dtype: 'float32' | 'float16';
  readonly images?: number;
  readonly dry?: boolean;
}

async function edit(folder: FolderSource, { size, dtype, images = 1, dry }: Edit): Promise<void> {
  const { gpu, heard } = await listening(dry);
  const options = { dtype, size: { width: size, height: size }, ...(images > 1 ? { batch: images } : {}) };
  const told = await problemsOf(folder, { caps: gpu.caps, ...options });
  const pipeline = await DiffEditPipeline.fromPretrained(folder, { gpu, dtype });
  made.push(pipeline);
  const image = { width: size, height: size, data: new Uint8Array(3 * size * size).fill(127) };
  const prompts = { sourcePrompt: 'a bowl', targetPrompt: 'a basket' };
  await pipeline.run({ image, ...prompts, numInferenceSteps: 4, numImagesPerPrompt: images, seed: 0 });
  expect(sorted(told)).toEqual(sorted(heard.all));
  expect(new Set(told.map(({ op }) => op))).toEqual(
    new Set(['linear', 'conv2d', 'attention', 'layerNorm', 'groupNormFinalize']),
  );
}

async function sentences(dry: boolean): Promise<void> {
  const { gpu, heard } = await listening(dry);
  const folder = repositoryFolder(`${ORCHARD}/t5`);
  const told = await problemsOf(folder, { caps: gpu.caps, batch: 2 });
  const model = await T5ForConditionalGeneration.fromPretrained(folder, { gpu });
  made.push(model);
  await generatePrompts(model, 'bowl', { n: 2, maxNewTokens: 128, generator: new Generator(0) });
  expect(sorted(told)).toEqual(sorted(heard.all));
  expect(told.some(({ op }) => op === 'rmsNorm')).toBe(true);
}

describe('the problems of a model', () => {
  it('are those of a whole edit', async () => {
    await edit(repositoryFolder('test/golden/sd1/model'), { size: 64, dtype: 'float32', dry: true });
  });

  it.runIf(process.env['PENTIMENTO_FULL'])('are those of whole edits that run', async () => {
    await edit(repositoryFolder('test/golden/sd1/model'), { size: 64, dtype: 'float32' });
    const folder = repositoryFolder(`${ORCHARD}/stable-diffusion`);
    await edit(folder, { size: 128, dtype: 'float32' });
    await edit(folder, { size: 128, dtype: 'float16' });
    await edit(folder, { size: 192, dtype: 'float32', images: 2 });
  });

  it('are those of sentences', async () => {
    await sentences(process.env['PENTIMENTO_FULL'] === undefined);
  });

  it('are those of a caption', async () => {
    const { gpu, heard } = await listening();
    const folder = repositoryFolder(`${ORCHARD}/blip`);
    const told = await problemsOf(folder, { caps: gpu.caps });
    const model = await BlipForConditionalGeneration.fromPretrained(folder, { gpu });
    made.push(model);
    await caption(model, { width: 64, height: 64, data: new Uint8Array(3 * 64 * 64).fill(127) });
    expect(sorted(told)).toEqual(sorted(heard.all));
  });

  it('go by what the folder holds, and by no weights', async () => {
    expect(await taskOf(repositoryFolder(`${ORCHARD}/t5`))).toBe('prompts');
    expect(await taskOf(repositoryFolder(`${ORCHARD}/blip`))).toBe('caption');
    expect(await taskOf(repositoryFolder(`${ORCHARD}/stable-diffusion`))).toBe('edit');
    const other = mapFolder({ 'config.json': '{"model_type": "llama"}' }, 'llama');
    await expect(taskOf(other)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: problemsOf: the folder is of no model that runs here: expected model_index.json of Stable Diffusion, or config.json with model_type t5 or blip, got llama (llama). Name the folder of such a model.]`,
    );
    await expect(taskOf(mapFolder({}, 'empty'))).rejects.toThrow('got neither');
  });

  it('are refused with the argument at fault', async () => {
    const folder = repositoryFolder(`${ORCHARD}/t5`);
    const refused = (more: object) =>
      expect(problemsOf(folder, { caps: DEFAULT_CAPS, ...more } as ModelProblemsOptions)).rejects;
    await refused({ batch: 0 }).toThrow(/whole number from 1 on, got 0 \(batch\)/);
    await refused({ bach: 1 }).toThrow('Write batch.');
    await refused({ caps: {} }).toThrow(/not the capabilities of a device/);
    await refused({ dtype: 'int8' }).toThrow(/unknown dtype/);
    await refused({ signal: AbortSignal.abort(new Error('enough')) }).toThrow('enough');
  });
});
