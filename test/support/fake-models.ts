import { readFileSync } from 'node:fs';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import { type FileContent, mapFolder } from '../../src/io/sources.ts';
import { type FakeDType, type FullSize, fakeFile, published } from './fake-weights.ts';

/**
 * Whole folders of the published models with made-up weights: names, shapes and configs are the published ones, tokenizers the
 * repository's own small ones. `npm run fake-weights` writes them to disk; tests and benchmarks read them from memory.
 */
export const FAKE_MODELS = ['sd21', 'sd15', 'flan-t5-large', 'flan-t5-xl', 'blip-base', 'flan-t5-small'] as const;

/** A published model. */
export type FakeModel = (typeof FAKE_MODELS)[number];

/** How a folder holds its weights. */
export interface FakeOptions {
  /** Type of every weight; default F16. */
  readonly dtype?: FakeDType;
  /** Bytes of tensors that one file may have; default 10^10, as the published ones were cut. */
  readonly shardBytes?: number;
  /** The repository, where this file is part of a bundle. */
  readonly root?: URL;
  /** Files of weights have names and shapes, and no values. Default false. */
  readonly hollow?: boolean;
}

/** What the functions below share. */
interface Making {
  readonly dtype: FakeDType;
  readonly shardBytes: number;
  readonly root: URL;
  readonly hollow: boolean;
  readonly files: Map<string, FileContent>;
}

/** The folder in memory; its weights are made up as they are read. */
export function fakeModel(model: FakeModel, options: FakeOptions = {}): FolderSource {
  return mapFolder(fakeModelFiles(model, options), model);
}

/** The same folder where weights are never looked at, on a device that runs nothing: reading them leaves memory as it is. */
export function hollowModel(model: FakeModel, options: FakeOptions = {}): FolderSource {
  return mapFolder(fakeModelFiles(model, { ...options, hollow: true }), model);
}

/** All files of the folder: texts, and weights as sources of bytes. */
export function fakeModelFiles(model: FakeModel, options: FakeOptions = {}): Map<string, FileContent> {
  const { dtype = 'F16', shardBytes = 1e10, root = new URL('../../', import.meta.url), hollow = false } = options;
  const making: Making = { dtype, shardBytes, root, hollow, files: new Map() };
  if (model === 'sd21') stableDiffusion(making, ['clip', 'vae', 'unet'], DDIM);
  else if (model === 'sd15') stableDiffusion(making, ['clip-1.5', 'vae-1.5', 'unet-1.5'], PNDM);
  else if (model === 'blip-base') blip(making);
  else t5(making, model === 'flan-t5-xl' ? 't5-xl' : model === 'flan-t5-small' ? 't5-small' : 't5');
  return making.files;
}

const COMMON = { num_train_timesteps: 1000, beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' };
const SHARED = { ...COMMON, set_alpha_to_one: false, steps_offset: 1, clip_sample: false, trained_betas: null };
const DDIM = { _class_name: 'DDIMScheduler', ...SHARED, prediction_type: 'v_prediction' };
const PNDM = { _class_name: 'PNDMScheduler', ...SHARED, skip_prk_steps: true };

function stableDiffusion(
  making: Making,
  parts: readonly FullSize[],
  scheduler: { readonly _class_name: string },
): void {
  const [text, vae, unet] = parts;
  json(making, 'model_index.json', {
    _class_name: 'StableDiffusionPipeline',
    _diffusers_version: '0.34.0',
    feature_extractor: [null, null],
    requires_safety_checker: false,
    safety_checker: [null, null],
    scheduler: ['diffusers', scheduler._class_name],
    text_encoder: ['transformers', 'CLIPTextModel'],
    tokenizer: ['transformers', 'CLIPTokenizer'],
    unet: ['diffusers', 'UNet2DConditionModel'],
    vae: ['diffusers', 'AutoencoderKL'],
  });
  json(making, 'scheduler/scheduler_config.json', scheduler);
  for (const file of ['vocab.json', 'merges.txt', 'special_tokens_map.json', 'tokenizer_config.json']) {
    making.files.set(`tokenizer/${file}`, textOf(making, `test/golden/tokenizers/clip/${file}`));
  }
  network(making, text, 'text_encoder/', 'model', { architectures: ['CLIPTextModel'] });
  network(making, vae, 'vae/', 'diffusion_pytorch_model', { _class_name: 'AutoencoderKL' });
  network(making, unet, 'unet/', 'diffusion_pytorch_model', { _class_name: 'UNet2DConditionModel' });
}

function t5(making: Making, part: FullSize): void {
  const tokenizer = ['spiece.model', 'tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json'];
  for (const file of tokenizer) {
    const at = `models/orchard/t5/${file}`;
    making.files.set(file, file.endsWith('.json') ? textOf(making, at) : readFileSync(new URL(at, making.root)));
  }
  json(making, 'generation_config.json', { decoder_start_token_id: 0, eos_token_id: 1, pad_token_id: 0 });
  network(making, part, '', 'model', { architectures: ['T5ForConditionalGeneration'] });
}

/** Entries of the vocabulary that BLIP was published with; the tokens that begin captions stand behind them. */
const BERT_TOKENS = 30522;

function blip(making: Making): void {
  const orchard = (file: string): string => textOf(making, `models/orchard/blip/${file}`);
  for (const file of ['tokenizer_config.json', 'special_tokens_map.json']) making.files.set(file, orchard(file));
  const words = orchard('vocab.txt').trimEnd().split('\n');
  const unused = Array.from({ length: BERT_TOKENS - words.length }, (_, i) => `[unused${words.length + i}]`);
  making.files.set('vocab.txt', `${[...words, ...unused].join('\n')}\n`);
  const { config } = published('blip', shapesFile(making));
  const { image_size: side } = config['vision_config'] as { image_size: number };
  json(making, 'preprocessor_config.json', {
    ...JSON.parse(orchard('preprocessor_config.json')),
    size: { height: side, width: side },
  });
  json(making, 'generation_config.json', { bos_token_id: BERT_TOKENS, eos_token_id: 2, pad_token_id: 0 });
  network(making, 'blip', '', 'model', { architectures: ['BlipForConditionalGeneration'] });
}

/** config.json and weights, cut into files as huggingface_hub does: in the model's order, each as full as it may be. */
function network(making: Making, part: FullSize, folder: string, stem: string, more: object): void {
  const { config, tensors } = published(part, shapesFile(making));
  const torch = making.dtype === 'F16' ? 'float16' : 'float32';
  json(making, `${folder}config.json`, { ...more, ...config, ...('architectures' in more ? { dtype: torch } : {}) });
  const shards: Record<string, number[]>[] = [];
  let [full, total] = [Number.POSITIVE_INFINITY, 0];
  for (const [name, shape] of Object.entries(tensors)) {
    const bytes = (making.dtype === 'F16' ? 2 : 4) * shape.reduce((a, b) => a * b, 1);
    if (full + bytes > making.shardBytes) {
      shards.push({});
      full = 0;
    }
    shards[shards.length - 1][name] = shape;
    full += bytes;
    total += bytes;
  }
  const number = (n: number): string => String(n).padStart(5, '0');
  const names = shards.map((_, i) =>
    shards.length === 1 ? `${stem}.safetensors` : `${stem}-${number(i + 1)}-of-${number(shards.length)}.safetensors`,
  );
  shards.forEach((shapes, i) => {
    const path = `${folder}${names[i]}`;
    making.files.set(path, fakeFile(path, shapes, making.dtype, making.hollow));
  });
  if (shards.length === 1) return;
  const map = shards.flatMap((shapes, i) => Object.keys(shapes).map(name => [name, names[i]]));
  const index = { metadata: { total_size: total }, weight_map: Object.fromEntries(map) };
  json(making, `${folder}${stem}.safetensors.index.json`, index);
}

function json(making: Making, path: string, content: object): void {
  making.files.set(path, `${JSON.stringify(content, null, 2)}\n`);
}

function textOf(making: Making, path: string): string {
  return readFileSync(new URL(path, making.root), 'utf8');
}

function shapesFile(making: Making): URL {
  return new URL('test/golden/fullsize/shapes.json', making.root);
}
