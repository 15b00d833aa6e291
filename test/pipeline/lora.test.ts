import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import { type WritableTensor, writeSafetensors } from '../../src/io/safetensors.ts';
import { memorySource } from '../../src/io/sources.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { goldenPath } from '../support/checkpoint.ts';
import { maxError } from '../support/close.ts';
import { diskFolder, memoryFolder } from '../support/folder.ts';
import { loadGolden } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { openPipeline, picture, seeded } from '../support/pipeline.ts';
import { renewed } from '../support/renewed.ts';
import { randoms } from '../support/run-kernel.ts';
import { ldmBytes } from '../support/single-file.ts';

const golden = loadGolden('lora');
const { prompt, steps, guidance, strength } = golden.json.run;
const image = picture(loadGolden('sd1'));

/** A file of test/golden/lora, in memory. */
function file(name: string): Uint8Array {
  return new Uint8Array(readFileSync(goldenPath(`lora/${name}`)));
}

/** One product of the tiny UNet. */
function unetOnly(): Uint8Array {
  const key = 'unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q';
  const tensor = (...shape: number[]): WritableTensor => ({ dtype: 'F32', shape, data: new Float32Array(128) });
  return writeSafetensors({ [`${key}.lora_A.weight`]: tensor(2, 64), [`${key}.lora_B.weight`]: tensor(64, 2) });
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

describe('one pipeline', () => {
  let pipeline: DiffEditPipeline;
  const warnings: string[] = [];
  renewed(async () => {
    pipeline = await openPipeline('test/golden/sd1/model', { modelCpuOffload: true, onWarning: w => warnings.push(w) });
  });
  afterAll(() => pipeline.dispose());

  const query = 'mid_block.attentions.0.transformer_blocks.0.attn1.to_q';
  /** Factors of ones for one module of the tiny model. */
  const ones = (...shape: number[]): WritableTensor => {
    return { dtype: 'F32', shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.01) };
  };
  const pair = (module: string, down = [2, 64], up = [64, 2]) => ({
    [`unet.${module}.lora_A.weight`]: ones(...down),
    [`unet.${module}.lora_B.weight`]: ones(...up),
  });

  /** The file, and whether it was closed. */
  const watched = (tensors: Record<string, WritableTensor>, label = 'style.safetensors') => {
    const source = {
      ...memorySource(writeSafetensors(tensors), label),
      closed: 0,
      close: async () => void source.closed++,
    };
    return source;
  };
  const refusal = async (tensors: Record<string, WritableTensor>) => {
    const source = watched(tensors);
    const error = await pipeline.loadLoraWeights(source).then(
      () => undefined,
      e => e as Error,
    );
    expect(source.closed).toBe(1);
    expect(pipeline.getActiveAdapters()).toEqual([]);
    return error?.message;
  };

  test('a module that the model lacks is named, and refused where it is the only one', async () => {
    const source = watched({ ...pair(query), ...pair('down_blocks.9.x') });
    await pipeline.loadLoraWeights(source, { adapterName: 'partly' });
    expect(warnings.splice(0)).toEqual([
      'style.safetensors: the model has no place for unet.down_blocks.9.x.lora_A.weight; ignored',
    ]);
    pipeline.deleteAdapters('partly');
    expect(source.closed).toBe(1);
    expect(await refusal(pair('down_blocks.9.x'))).toMatchInlineSnapshot(
      `"loadLoraWeights: the model has none of the modules that the adapter changes: got unet.down_blocks.9.x.lora_A.weight (style.safetensors). The adapter was made for another kind of model; look for one of Stable Diffusion 1.x or 2.x."`,
    );
  });

  test('factors that do not fit, or are missing, are listed', async () => {
    const attention = 'down_blocks.0.attentions.0.transformer_blocks.0.attn2';
    const [alone] = Object.entries(pair(`${attention}.to_q`));
    expect(
      await refusal({
        ...pair(`${attention}.to_k`, [4, 768], [32, 4]),
        ...pair(query, [2, 64], [64, 3]),
        [alone[0]]: alone[1],
      }),
    ).toMatchInlineSnapshot(`
      "loadLoraWeights: the adapter does not fit the model:
        unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight: [32, 4] times [4, 768] for a weight [32, 48]
        unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q.lora_A.weight: its other factor is missing
        unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight: [64, 3] times [2, 64] for a weight [64, 64]
       (style.safetensors). The adapter was made for Stable Diffusion 1.x; this model is another one."
    `);
    expect(
      await refusal({
        ...pair(query),
        ...{ [`lora_unet_${query.replaceAll('.', '_')}.lora_down.weight`]: ones(2, 64) },
      }),
    ).toMatchInlineSnapshot(
      `"loadLoraWeights: two products for one weight: got lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight and unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight (style.safetensors: mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight)"`,
    );
  });

  test('numbers that are none are named: alpha at once, factors before the device works', async () => {
    const key = `lora_unet_${query.replaceAll('.', '_')}`;
    const [down, up] = [ones(2, 64), ones(64, 2)];
    const alpha = (value: number): WritableTensor => ({ dtype: 'F32', shape: [], data: Float32Array.of(value) });
    const named = { [`${key}.lora_down.weight`]: down, [`${key}.lora_up.weight`]: up };
    expect(await refusal({ ...named, [`${key}.alpha`]: alpha(Number.NaN) })).toMatchInlineSnapshot(
      `"loadLoraWeights: the adapter is damaged: expected a finite alpha, got NaN (style.safetensors: lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.alpha). Download or save the file again."`,
    );
    (up.data as Float32Array)[5] = Number.POSITIVE_INFINITY;
    await pipeline.loadLoraWeights(watched({ ...named, [`${key}.alpha`]: alpha(1) }));
    const run = { prompt, image, numInferenceSteps: 2, generator: seeded(0) };
    await expect(pipeline.invert(run)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: LoRA: the adapter is damaged: expected finite numbers, got Infinity (style.safetensors: lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_up.weight). Download or save the file again, or leave this adapter out.]`,
    );
    pipeline.unloadLoraWeights();
    await pipeline.invert(run);
  });

  test('names and weights', async () => {
    const first = watched(pair(query));
    expect(await pipeline.loadLoraWeights(first)).toBe('default_0');
    expect(await pipeline.loadLoraWeights(watched(pair(query)), { adapterName: 'b', scale: 0.5 })).toBe('b');
    expect(pipeline.getListAdapters()).toEqual({ unet: ['default_0', 'b'], textEncoder: [] });
    await expect(
      pipeline.loadLoraWeights(watched(pair(query)), { adapterName: 'b' }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadLoraWeights: an adapter of this name is loaded: got b (adapterName). Choose another name, or delete that adapter first.]`,
    );
    await expect(
      pipeline.loadLoraWeights(watched(pair(query)), { scale: Number.NaN }),
    ).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadLoraWeights: not a weight of an adapter: expected a number, got NaN (scale)]`,
    );
    await expect(pipeline.loadLoraWeights('style.safetensors' as never)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadLoraWeights: not a file: expected a ByteSource, a Blob, an ArrayBuffer or a Uint8Array, got string. Pass await fileSource(path) of 'pentimento/node', await urlSource(address), or the file's bytes.]`,
    );
    await expect(pipeline.loadLoraWeights(first, { weight: 1 } as never)).rejects.toThrow('there is no such argument');
    expect(() => pipeline.setAdapters(['b', 'c'])).toThrowErrorMatchingInlineSnapshot(
      `[InputError: setAdapters: no such adapter: expected default_0, b, got c (names)]`,
    );
    expect(() => pipeline.setAdapters(['b'], [1, 2])).toThrowErrorMatchingInlineSnapshot(
      `[InputError: setAdapters: another number of weights than of names: expected 1, one for each name, got 2 (weights)]`,
    );
    expect(() => pipeline.setAdapters('b', '1' as never)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: setAdapters: not a weight of an adapter: expected a number, got 1 (weights)]`,
    );
    expect(() => pipeline.deleteAdapters('c')).toThrow('no such adapter');
    expect(() => pipeline.setAdapters(null as never)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: setAdapters: not the names of adapters: expected a name, or an array of names, got null (names)]`,
    );
    for (const names of [undefined, 5, {}] as never[]) {
      expect(() => pipeline.setAdapters(names)).toThrow('not the names of adapters');
      expect(() => pipeline.deleteAdapters(names)).toThrow('not the names of adapters');
    }
    expect(pipeline.getActiveAdapters()).toEqual(['b']);
    pipeline.setAdapters([]);
    expect(pipeline.getActiveAdapters()).toEqual([]);
    pipeline.unloadLoraWeights();
    expect(first.closed).toBe(1);
    expect(() => pipeline.setAdapters('b')).toThrow('no such adapter: expected none is loaded, got b');
  });

  test('a scale for one call is refused where adapters act, with the remedy', async () => {
    const few = { prompt, image, numInferenceSteps: 2, crossAttentionKwargs: { scale: 0.5 } };
    await pipeline.invert({ ...few, generator: seeded(0) });
    await pipeline.loadLoraWeights(file('peft.safetensors'), { adapterName: 'peft' });
    await pipeline.invert({ ...few, crossAttentionKwargs: { scale: 1 }, generator: seeded(0) });
    await expect(pipeline.invert(few)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: invert: a scale of LoRA adapters for one call; they are merged into the weights: expected 1, got 0.5 (crossAttentionKwargs). Before the call write setAdapters(["peft"], weights), with their weights times the scale.]`,
    );
    pipeline.unloadLoraWeights();
  });

  test('nothing changes while a call runs', async () => {
    const steps = pipeline.invertSteps({ prompt, image, numInferenceSteps: 2, generator: seeded(0) });
    await steps.next();
    const source = watched(pair(query));
    await expect(pipeline.loadLoraWeights(source)).rejects.toThrow('the pipeline is busy');
    for (const change of [
      () => pipeline.setAdapters([]),
      () => pipeline.unloadLoraWeights(),
      () => pipeline.deleteAdapters([]),
    ])
      expect(change).toThrow('the pipeline is busy');
    for await (const _ of steps);
  });

  test('folders of diffusers and of PEFT, whose settings count', async () => {
    const tensors = pair(query);
    const bytes = writeSafetensors(tensors);
    const plain = memoryFolder({ 'pytorch_lora_weights.safetensors': bytes }, 'style');
    const settings = JSON.stringify({ peft_type: 'LORA', r: 2, lora_alpha: 8 });
    const peft = memoryFolder({ 'adapter_model.safetensors': bytes, 'adapter_config.json': settings });
    const invert = () => pipeline.invert({ prompt, image, numInferenceSteps: 2, generator: seeded(0) });
    await pipeline.loadLoraWeights(plain, { scale: 4 });
    const scaled = await invert();
    await pipeline.loadLoraWeights(peft);
    expect(await invert()).toEqual(scaled);
    pipeline.unloadLoraWeights();
    expect(await invert()).not.toEqual(scaled);
    const dora = memoryFolder({
      'adapter_model.bin': bytes,
      'adapter_config.json': '{"lora_alpha": 1, "use_dora": true}',
    });
    await expect(pipeline.loadLoraWeights(dora)).rejects.toThrow('the adapter is DoRA');
    await expect(pipeline.loadLoraWeights(memoryFolder({}, 'style'))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadLoraWeights: the folder holds no LoRA: expected one of pytorch_lora_weights.safetensors, pytorch_lora_weights.bin, adapter_model.safetensors, adapter_model.bin (style). Name the file itself.]`,
    );
  });
});

test('an adapter of the UNet leaves the text encoder on the device; disposing closes the file', async () => {
  const pipeline = await openPipeline('test/golden/sd1/model', { onWarning: () => undefined });
  const all = pipeline.bytes;
  const source = { ...memorySource(file('original.safetensors')), closed: 0, close: async () => void source.closed++ };
  await expect(pipeline.loadLoraWeights(source)).rejects.toThrow('the adapter does not fit the model');
  expect(pipeline.bytes).toBe(all);
  const unet = { ...memorySource(unetOnly()), closed: 0, close: async () => void unet.closed++ };
  await pipeline.loadLoraWeights(unet);
  expect(pipeline.bytes).toBeLessThan(all);
  expect(pipeline.bytes).toBeGreaterThan(0);
  pipeline.dispose();
  expect([source.closed, unet.closed]).toEqual([1, 1]);
});

test('a pipeline that goes while a file is opened closes it', async () => {
  const pipeline = await openPipeline('test/golden/sd1/model', { modelCpuOffload: true });
  const plain = memorySource(unetOnly());
  const source = {
    ...plain,
    closed: 0,
    read: async (offset: number, into: Uint8Array) => {
      pipeline.dispose();
      await plain.read(offset, into);
    },
    close: async () => void source.closed++,
  };
  await expect(pipeline.loadLoraWeights(source)).rejects.toThrow('the pipeline was disposed during a call');
  expect(source.closed).toBe(1);
});

test('numbers of the original code, on halves', async () => {
  const source = file('original.safetensors');
  const pipeline = await openPipeline('test/golden/sd2/model', { loras: [{ source, adapterName: 'original' }] });
  await expectCase(pipeline, 'original');
  expect(pipeline.getListAdapters()).toEqual({ unet: ['original'], textEncoder: [] });
  pipeline.dispose();
  const half = await openPipeline('test/golden/sd2/model', { dtype: 'float16', loras: [{ source }] });
  const { inverted } = await results(half);
  expect(maxError(inverted.data, golden.floats('original.inverted').data)).toBeLessThanOrEqual(3e-2);
  half.dispose();
});

test('a checkpoint in one file takes adapters by either name', async () => {
  const tokenizer = diskFolder(goldenPath('sd1/model/tokenizer'));
  const pipeline = await DiffEditPipeline.fromSingleFile(ldmBytes('tiny2'), {
    ...{ gpu: await testGpu(), tokenizer, onWarning: () => undefined, predictionType: 'epsilon' },
  });
  const width = (await pipeline.encodePrompt(prompt)).promptEmbeds.shape[2] as number;
  const tensor = (...shape: number[]): WritableTensor => {
    const count = shape.reduce((a, b) => a * b, 1);
    return { dtype: 'F32', shape, data: randoms(count, 1 + shape[0]) };
  };
  const named = (unet: string, text: string): Uint8Array =>
    writeSafetensors({
      [`${unet}.lora_down.weight`]: tensor(2, width),
      [`${unet}.lora_up.weight`]: tensor(64, 2),
      [`${text}.lora_down.weight`]: tensor(1, width),
      [`${text}.lora_up.weight`]: tensor(width, 1),
    });
  const base = await results(pipeline);
  const text = 'lora_te_text_model_encoder_layers_1_self_attn_q_proj';
  await pipeline.loadLoraWeights(named('lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_k', text));
  const original = await results(pipeline);
  await pipeline.loadLoraWeights(named('unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k', text));
  expect(await results(pipeline)).toEqual(original);
  expect(maxError(original.text.data, base.text.data)).toBeGreaterThan(1e-2);
  expect(maxError(original.inverted.data, base.inverted.data)).toBeGreaterThan(1e-2);
  pipeline.unloadLoraWeights();
  expect(await results(pipeline)).toEqual(base);
  pipeline.dispose();
});

test('adapters from the beginning are lists of objects, whose names are known', async () => {
  const open = (options: object) => openPipeline('test/golden/sd1/model', options);
  for (const list of [null, 5, {}, { source: 1 }, [null], [undefined], ['x']]) {
    await expect(open({ loras: list })).rejects.toThrow('not a list of adapters');
    await expect(open({ embeddings: list })).rejects.toThrow('not a list of adapters');
  }
  await expect(open({ loras: [{ source: new Uint8Array(9), weight: 1 }] })).rejects.toThrow('no such argument');
  await expect(open({ embeddings: [{ source: new Uint8Array(9), word: 'x' }] })).rejects.toThrow('no such argument');
});
