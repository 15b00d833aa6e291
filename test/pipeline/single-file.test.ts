/** Checkpoints in one file against diffusers' from_single_file, recorded by scripts/golden/single_file.py. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { parse } from 'yaml';
import type { ByteSource } from '../../src/core/tensor-source.ts';
import { openSafetensors, writeSafetensors } from '../../src/io/safetensors.ts';
import { blobSource, mapFolder, memorySource } from '../../src/io/sources.ts';
import { DiffEditPipeline, type FromSingleFileOptions } from '../../src/pipeline/diffedit/pipeline.ts';
import { openSingleFile } from '../../src/pipeline/diffusion/single-file.ts';
import type { SingleFileOptions, SingleFileSource } from '../../src/pipeline/diffusion/single-file-options.ts';
import { goldenPath } from '../support/checkpoint.ts';
import { maxError } from '../support/close.ts';
import { diskFolder } from '../support/folder.ts';
import { loadGolden } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { picture, seeded } from '../support/pipeline.ts';
import { ldmBytes, ldmTensors, widened } from '../support/single-file.ts';
import { asTorchFile } from '../support/torch-file.ts';

const golden = loadGolden('single-file');
const image = picture(loadGolden('sd1'));
const tokenizer = diskFolder(goldenPath('sd1/model/tokenizer'));
const yaml = (version: 1 | 2): Record<string, unknown> =>
  parse(readFileSync(goldenPath(`single-file/v${version}.yaml`), 'utf8'));

let files: Record<'tiny1' | 'tiny2', Uint8Array>;
beforeAll(() => {
  files = { tiny1: ldmBytes('tiny1', { average: true }), tiny2: ldmBytes('tiny2') };
});

const quiet = { onWarning: () => {} };

const pipes: DiffEditPipeline[] = [];
afterAll(() => {
  for (const pipe of pipes) pipe.dispose();
});
async function opened(source: SingleFileSource, options: FromSingleFileOptions = {}): Promise<DiffEditPipeline> {
  const pipe = await DiffEditPipeline.fromSingleFile(source, {
    gpu: await testGpu(),
    tokenizer,
    onWarning: () => {},
    ...options,
  });
  pipes.push(pipe);
  return pipe;
}

/** Inverts the recorded picture, and compares with what diffusers made of it. */
async function expectRecorded(pipe: DiffEditPipeline, name: string): Promise<void> {
  expect(pipe.recommended).toBeUndefined(); // no such file can say
  const { prompt, steps, guidance_scale, inpaint_strength, seed } = golden.json;
  const { latents } = await pipe.invert({
    ...{ image, prompt, numInferenceSteps: steps, guidanceScale: guidance_scale },
    ...{ inpaintStrength: inpaint_strength, generator: seeded(seed) },
  });
  const expected = golden.floats(`${name}.inverted`);
  expect(latents.shape).toEqual(expected.shape);
  expect(maxError(latents.data, expected.data), name).toBeLessThan(1e-5);
  const { promptEmbeds } = await pipe.encodePrompt(prompt);
  expect(maxError(promptEmbeds.data, golden.floats(`${name}.text`).data), `${name} text`).toBeLessThan(1e-5);
}

/** A .ckpt of float32, its tensors under `state_dict`. */
async function asCheckpoint(file: 'tiny1' | 'tiny2'): Promise<Uint8Array> {
  const { 'cond_stage_model.transformer.text_model.embeddings.position_ids': _, ...floats } = widened(ldmTensors(file));
  return asTorchFile(writeSafetensors(floats), { nested: 'state_dict' });
}

/** What is opened how, and which record it gives; all of them once a day, every time the first two. */
const CASES: readonly (readonly [what: string, record: string, open: () => Promise<DiffEditPipeline>])[] = [
  ['Stable Diffusion 1.x', 'tiny1', () => opened(files.tiny1)],
  ["Stable Diffusion 2.x, whose last layer of OpenCLIP's 24 is dropped", 'tiny2', () => opened(files.tiny2)],
  ['the moving average', 'tiny1.ema', () => opened(files.tiny1, { extractEma: true })],
  ['another prediction type', 'tiny2.epsilon', () => opened(files.tiny2, { predictionType: 'epsilon' })],
  ['a training config', 'tiny2', () => opened(files.tiny2, { originalConfig: yaml(2) })],
  ['a .ckpt', 'tiny1', async () => opened(new Blob([Uint8Array.from(await asCheckpoint('tiny1'))]))],
];

describe("equals diffusers' from_single_file", () => {
  test.each(process.env['PENTIMENTO_FULL'] ? CASES : CASES.slice(0, 2))('with %s', async (_, record, open) => {
    await expectRecorded(await open(), record);
  });
});

describe('the weights', () => {
  const unetOf = async (file: Uint8Array, options: SingleFileOptions = {}) => {
    const single = await openSingleFile(file, { tokenizer, ...quiet, ...options });
    const source = await openSafetensors(await single.folder.bytes('unet/diffusion_pytorch_model.safetensors'));
    const read = async (name: string) => {
      const bytes = new Uint8Array(source.tensors.get(name)?.byteLength ?? 0);
      await source.read(name, 0, bytes);
      return bytes;
    };
    const tensor = await read('down_blocks.0.resnets.0.conv1.weight');
    await source.close?.();
    await single.close();
    return tensor;
  };
  const stored = (name: string, tensors = ldmTensors('tiny1', { average: true })) =>
    new Uint8Array((tensors[name].data as Uint16Array).buffer);

  it('are those of the plain UNet or of its average', async () => {
    const plain = 'model.diffusion_model.input_blocks.1.0.in_layers.2.weight';
    expect(await unetOf(files.tiny1)).toEqual(stored(plain));
    const average = 'model_ema.diffusion_modelinput_blocks10in_layers2weight';
    expect(await unetOf(files.tiny1, { extractEma: true })).toEqual(stored(average));
  });

  it('of 8 bits are widened, with the scales that stand beside them under LDM names', async () => {
    const plain = 'model.diffusion_model.input_blocks.1.0.in_layers.2.weight';
    const { shape, data } = ldmTensors('tiny1')[plain];
    const eights = new Uint8Array(data.byteLength / 2).fill(0x38); // 1
    const scaled = {
      ...ldmTensors('tiny1'),
      [plain]: { dtype: 'F8_E4M3', shape, data: eights },
      [plain.replace('.weight', '.scale_weight')]: { dtype: 'F32', shape: [1], data: Float32Array.of(0.25) },
    };
    const floats = new Float32Array((await unetOf(writeSafetensors(scaled))).buffer);
    expect(floats).toEqual(new Float32Array(eights.length).fill(0.25));
  });

  it('of a .ckpt are the same', async () => {
    const plain = 'model.diffusion_model.input_blocks.1.0.in_layers.2.weight';
    expect(await unetOf(await asCheckpoint('tiny1'))).toEqual(stored(plain, widened(ldmTensors('tiny1'))));
  });
});

describe('the configs', () => {
  const recorded = JSON.parse(readFileSync(goldenPath('single-file/configs.json'), 'utf8'));
  const json = async (file: 'tiny1' | 'tiny2', path: string, options: SingleFileOptions = {}) => {
    const { folder, close } = await openSingleFile(files[file], { tokenizer, onWarning: () => {}, ...options });
    const text = await folder.text(path);
    await close();
    return JSON.parse(text);
  };

  it.each([
    ['tiny1', 1, {}],
    ['tiny2', 2, {}],
    ['tiny1', 1, { originalConfig: yaml(1) }],
    ['tiny2', 2, { originalConfig: yaml(2) }],
  ] as const)("of %s are diffusers' own", async (file, version, options) => {
    for (const part of ['unet', 'vae', 'text'] as const) {
      const name = part === 'text' ? 'text_encoder' : part;
      const { _class_name, _diffusers_version, architectures, ...made } = await json(
        file,
        `${name}/config.json`,
        options,
      );
      const expected = recorded[file][part];
      // diffusers tells 2.x, and so its size, by a context of 1024; of the projection nothing is used.
      const apart = ['projection_dim', ...(version === 2 ? ['sample_size'] : [])];
      for (const [key, value] of Object.entries(made)) {
        if (expected[key] !== undefined && !apart.includes(key)) expect(value, `${part} ${key}`).toEqual(expected[key]);
      }
      for (const key of [
        'block_out_channels',
        'attention_head_dim',
        'norm_num_groups',
        'num_hidden_layers',
        'hidden_act',
      ]) {
        if (expected[key] !== undefined) expect(made[key], key).toEqual(expected[key]);
      }
    }
    expect(await json(file, 'scheduler/scheduler_config.json', options)).toMatchObject({
      beta_start: 0.00085,
      beta_end: 0.012,
      prediction_type: version === 2 ? 'v_prediction' : 'epsilon',
      steps_offset: 1,
    });
  });

  it('pad with "!" in 2.x and with the end mark in 1.x, whatever the vocabulary\'s folder says', async () => {
    const pad = async (file: 'tiny1' | 'tiny2') => (await json(file, 'tokenizer/special_tokens_map.json')).pad_token;
    expect([await pad('tiny1'), await pad('tiny2')]).toEqual(['<|endoftext|>', '!']);
    expect((await json('tiny2', 'tokenizer/tokenizer_config.json')).pad_token).toBe('!');
  });

  it('follow the prediction type in their size', async () => {
    const size = async (predictionType: 'epsilon' | 'v_prediction') =>
      (await json('tiny2', 'unet/config.json', { predictionType })).sample_size;
    expect([await size('v_prediction'), await size('epsilon')]).toEqual([384, 256]);
  });

  it("may come from a folder, as diffusers' config", async () => {
    const config = diskFolder(goldenPath('sd1/model'));
    const made = await json('tiny1', 'unet/config.json', { config, tokenizer: undefined });
    expect(made).toEqual(JSON.parse(readFileSync(goldenPath('sd1/model/unet/config.json'), 'utf8')));
    const scheduler = 'scheduler/scheduler_config.json';
    expect((await json('tiny1', scheduler, { config, predictionType: 'sample' })).prediction_type).toBe('sample');
  });

  it('of another model are refused', async () => {
    await expect(json('tiny1', 'unet/config.json', { originalConfig: yaml(2) })).rejects.toThrow(
      'unsupported model.params.cond_stage_config.params.layer: expected last, got "penultimate"',
    );
    const other = yaml(1) as { model: { params: { unet_config: { params: { channel_mult: number[] } } } } };
    other.model.params.unet_config.params.channel_mult = [1, 2, 4];
    await expect(json('tiny1', 'unet/config.json', { originalConfig: other })).rejects.toThrow(
      'the training config is of another model: channels of the UNet: expected [32, 64, 128], got [32, 64, 64]',
    );
    await expect(json('tiny1', 'unet/config.json', { originalConfig: { model: 3 } })).rejects.toThrow('a mapping');
    await expect(json('tiny1', 'unet/config.json', { originalConfig: {} })).rejects.toThrow('not a training config');
  });
});

describe('what the file does not say', () => {
  const warnings = async (file: Uint8Array, options: SingleFileOptions = {}) => {
    const said: string[] = [];
    const opened = await openSingleFile(memorySource(file, 'm.safetensors'), {
      tokenizer,
      onWarning: message => said.push(message),
      ...options,
    });
    const prediction = JSON.parse(await opened.folder.text('scheduler/scheduler_config.json')).prediction_type;
    await opened.close();
    return { said, prediction };
  };

  it('is guessed, and told', async () => {
    const { said, prediction } = await warnings(files.tiny2);
    expect(prediction).toBe('v_prediction');
    expect(said).toEqual([
      "m.safetensors does not say what its UNet predicts: v_prediction is assumed, at 768 pixels, as diffusers does for Stable Diffusion 2.x. For a 512-pixel base model give predictionType: 'epsilon'.",
    ]);
    expect((await warnings(files.tiny1)).said).toEqual([
      expect.stringContaining('holds the UNet as trained and its moving average (EMA); the first is taken'),
      expect.stringContaining('epsilon is assumed, as for Stable Diffusion 1.x'),
    ]);
  });

  it('is not guessed where it is given, by the caller, the training config or the metadata of the file', async () => {
    expect(await warnings(files.tiny2, { predictionType: 'epsilon' })).toEqual({ said: [], prediction: 'epsilon' });
    const config = { originalConfig: yaml(2) };
    expect(await warnings(files.tiny2, config)).toEqual({ said: [], prediction: 'v_prediction' });
    const told = writeSafetensors(ldmTensors('tiny2'), { 'modelspec.prediction_type': 'epsilon' });
    expect(await warnings(told)).toEqual({ said: [], prediction: 'epsilon' });
  });

  it('an average that is asked for and not there is said', async () => {
    const { said } = await warnings(files.tiny2, { predictionType: 'epsilon', extractEma: true });
    expect(said).toEqual([expect.stringContaining('holds no second UNet under model_ema')]);
  });

  it('tensors that nobody knows are named once', async () => {
    const surplus = Object.fromEntries(
      Array.from({ length: 7 }, (_, i) => [`x.${i}`, { dtype: 'F16', shape: [1], data: Uint16Array.of(0) }]),
    );
    const { said } = await warnings(writeSafetensors({ ...ldmTensors('tiny2'), ...surplus }), {
      predictionType: 'epsilon',
    });
    expect(said).toEqual([
      'm.safetensors: 7 tensors have no use and are passed over: x.0, x.1, x.2, x.3, x.4 and 2 more',
    ]);
  });
});

describe('refuses', () => {
  const file = (tensors: Record<string, number[]>) =>
    writeSafetensors(
      Object.fromEntries(
        Object.entries(tensors).map(([name, shape]) => {
          return [name, { dtype: 'F32', shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) }];
        }),
      ),
    );

  it('another kind of file by its name, with the remedy', async () => {
    const lora = memorySource(file({ 'lora_unet_x.lora_up.weight': [2] }), 'style.safetensors');
    await expect(openSingleFile(lora, { tokenizer })).rejects.toThrow(
      'openSingleFile: another kind of file: expected Stable Diffusion 1.x or 2.x in one file, got a LoRA (style.safetensors). Name a model with --model and this file with --lora. In a program: pipeline.loadLoraWeights(file).',
    );
  });

  it('a file without a vocabulary beside it', async () => {
    await expect(openSingleFile(files.tiny2, quiet)).rejects.toThrow('a checkpoint in one file holds no vocabulary');
    await expect(
      openSingleFile(files.tiny2, { ...quiet, tokenizer: mapFolder({ 'vocab.json': '{}' }, 'half') }),
    ).rejects.toThrow('the folder holds no vocabulary: expected vocab.json and merges.txt, or tokenizer.json (half)');
  });

  it('an architecture that has more', async () => {
    const more = {
      ...ldmTensors('tiny2'),
      'model.diffusion_model.input_blocks.1.2.x': { dtype: 'F16', shape: [1], data: Uint16Array.of(0) },
    };
    await expect(openSingleFile(writeSafetensors(more), { tokenizer })).rejects.toThrow(
      '1 tensors have no place in Stable Diffusion 1.x or 2.x: model.diffusion_model.input_blocks.1.2.x',
    );
  });

  it('missing tensors, all by their names in the file', async () => {
    const { 'model.diffusion_model.middle_block.1.norm.bias': _, ...less } = ldmTensors('tiny2');
    await expect(opened(writeSafetensors(less))).rejects.toThrow('missing: mid_block.attentions.0.norm.bias');
  });

  it('what holds no file, and options that make no sense', async () => {
    for (const [source, message] of [
      ['models/sd.safetensors', "Open it with await fileSource(path) of 'pentimento/node'"],
      [Promise.resolve(files.tiny1), 'got object'],
      [null, 'got null'],
      [{}, 'openSingleFile: not a file: expected a ByteSource, a Blob'],
    ] as const)
      await expect(openSingleFile(source as unknown as SingleFileSource, { tokenizer })).rejects.toThrow(message);
    for (const [options, message] of [
      [{ predictionType: 'v' }, 'expected epsilon, v_prediction or sample, got v (predictionType)'],
      [{ extractEma: 'yes' }, 'expected a boolean, got string (extractEma)'],
      [{ originalConfig: 'a.yaml' }, 'the object that a YAML reader makes of the file'],
      [{ tokenizer: 'folder' }, 'no model folder'],
      [{ config: tokenizer, originalConfig: {} }, 'got both (originalConfig)'],
      [{ tokeniser: tokenizer }, 'Write tokenizer.'],
    ] as const)
      await expect(openSingleFile(files.tiny1, options as unknown as SingleFileOptions)).rejects.toThrow(message);
    const variant = { variant: 'fp16' } as FromSingleFileOptions;
    await expect(opened(files.tiny1, variant)).rejects.toThrow('a single file has no variants');
  });
});

describe('the file', () => {
  const watched = (bytes: Uint8Array) => {
    const source = memorySource(bytes, 'm.safetensors');
    const seen = { closed: 0, largest: 0 };
    const file: ByteSource = {
      ...source,
      read: async (offset, into) => {
        seen.largest = Math.max(seen.largest, into.byteLength);
        await source.read(offset, into);
      },
      close: async () => {
        seen.closed++;
      },
    };
    return { file, seen };
  };

  it('is read in parts, and closed with the pipeline', async () => {
    const { file, seen } = watched(files.tiny2);
    const pipe = await opened(file, { stagingBytes: 2 ** 18 });
    expect(seen.closed).toBe(0);
    // The header, or a tensor that cannot be cut.
    expect(seen.largest).toBeLessThan(files.tiny2.length / 8);
    pipe.dispose();
    await expect.poll(() => seen.closed).toBe(1);
  });

  it('is closed when it is refused, before and after its header', async () => {
    for (const bytes of [files.tiny2.subarray(0, 1000), writeSafetensors({}), new Uint8Array()]) {
      const { file, seen } = watched(bytes);
      await expect(opened(file)).rejects.toThrow();
      expect(seen.closed).toBe(1);
    }
    const { file, seen } = watched(files.tiny2);
    const { 'first_stage_model.quant_conv.bias': _, ...less } = ldmTensors('tiny2');
    await expect(opened(watched(writeSafetensors(less)).file)).rejects.toThrow('missing: quant_conv.bias');
    await expect(opened(file, { tokenizer: undefined })).rejects.toThrow('no vocabulary');
    expect(seen.closed).toBe(1);
  });

  it('stays open until the last part of the folder is closed', async () => {
    const { file, seen } = watched(files.tiny2);
    const single = await openSingleFile(file, { tokenizer, onWarning: () => {} });
    const unet = await single.folder.bytes('unet/diffusion_pytorch_model.safetensors');
    await single.close();
    await single.close();
    expect(seen.closed).toBe(0);
    await unet.read(0, new Uint8Array(8));
    await unet.close?.();
    await unet.close?.();
    expect(seen.closed).toBe(1);
    await expect(single.folder.bytes('vae/diffusion_pytorch_model.safetensors')).rejects.toThrow('the file is closed');
  });

  it('may be a Blob', async () => {
    const single = await openSingleFile(blobSource(new Blob([Uint8Array.from(files.tiny2)])), {
      tokenizer,
      onWarning: () => {},
    });
    expect(single.paths).toContain('unet/diffusion_pytorch_model.safetensors');
    expect(await single.folder.has('safety_checker/model.safetensors')).toBe(false);
    await single.close();
  });
});
