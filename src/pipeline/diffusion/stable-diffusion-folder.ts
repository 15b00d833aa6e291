/** Reads a model folder in diffusers' layout: configs, tokenizer, schedulers, and the checkpoints of the three networks. */
import { InputError, WeightsError } from '../../core/errors.ts';
import type { FolderSource, TensorSource } from '../../core/tensor-source.ts';
import { type CheckpointOptions, type CheckpointStem, openCheckpoint } from '../../io/checkpoint.ts';
import { subfolder } from '../../io/sources.ts';
import {
  AutoencoderKL,
  type ClipTextModel,
  parseClipTextConfig,
  parseUNetConfig,
  parseVaeConfig,
  UNet2DConditionModel,
} from '../../models/stable-diffusion/index.ts';
import type { Module } from '../../nn/module.ts';
import type { Weights } from '../../nn/weights.ts';
import { type ClipMode, ClipTokenizer } from '../../tokenizers/clip.ts';
import { type OpenedNetwork, openNetwork } from '../runtime/network.ts';
import { readJson } from '../runtime/read-json.ts';
import { withSpareTensors } from '../runtime/spare-tensors.ts';
import { clipTextOf } from './textual-inversion.ts';

const LAYOUT =
  "Pass a folder in diffusers' layout, with model_index.json and the folders unet, vae, text_encoder, tokenizer and scheduler.";

/** What a folder of Stable Diffusion may list; the last three have no part here. */
const PARTS: readonly string[] = [
  ...['vae', 'text_encoder', 'tokenizer', 'unet', 'scheduler', 'inverse_scheduler'],
  ...['safety_checker', 'feature_extractor', 'image_encoder'],
];

/** The three networks of Stable Diffusion 1.x and 2.x, in the order in which they are loaded. */
export interface StableDiffusionNetworks {
  /** CLIP, of prompts. */
  readonly textEncoder: ClipTextModel;
  /** The denoiser. */
  readonly unet: UNet2DConditionModel;
  /** The autoencoder of pictures. */
  readonly vae: AutoencoderKL;
}

/** What the folder holds, S its schedulers. */
export interface StableDiffusionFolder<S> {
  /** Bound to their checkpoints. */
  readonly networks: { readonly [K in keyof StableDiffusionNetworks]: OpenedNetwork<StableDiffusionNetworks[K]> };
  /** Of the text encoder. */
  readonly tokenizer: ClipTokenizer;
  /** As the pipeline has them. */
  readonly schedulers: S;
}

/** The configs of a folder's schedulers. */
export interface SchedulerConfigs {
  /** Whether the index lists a part of this name. */
  readonly isListed: (name: string) => boolean;
  /** The file of such a part, for messages. */
  readonly path: (name: string) => string;
  /** That file. @throws InputError where it is missing or no JSON */
  readonly read: (name: string) => Promise<Readonly<Record<string, unknown>>>;
}

/** What `openStableDiffusionFolder` is told. */
export interface OpenOptions<S> {
  /** The method, for messages. */
  readonly op: string;
  /** Such as 'fp16': takes the weight files of that name. */
  readonly variant?: string | undefined;
  /** Whether there is a scheduler where the folder lists none. */
  readonly hasScheduler: boolean;
  /** Makes the schedulers, last. */
  readonly openSchedulers: (configs: SchedulerConfigs) => Promise<S>;
  /** Whether the UNet may take a mask and a masked picture beside the latents. Default false. */
  readonly inpaints?: boolean | undefined;
  /** Told of corrected configs, unknown fields, tensors without use, variants that were chosen or that some networks lack. */
  readonly warn: (message: string) => void;
}

/**
 * Opens everything and checks that checkpoints and configs belong together.
 * @throws InputError for a folder that is no Stable Diffusion, or asks for what is not built; WeightsError for checkpoints
 */
export async function openStableDiffusionFolder<S>(
  folder: FolderSource,
  o: OpenOptions<S>,
): Promise<StableDiffusionFolder<S>> {
  const index = await checkIndex(folder, o);
  const missing: string[] = [];
  const open = async <M extends Module>(
    name: string,
    stem: CheckpointStem,
    read: (json: unknown, path: string) => (w: Weights, stored: TensorSource) => M,
  ): Promise<OpenedNetwork<M>> => {
    const path = `${name}/config.json`;
    const json = await readJson(folder, path, o.op, LAYOUT);
    const make = withSpareTensors(read(json, path), `${folder.label}/${name}`, o.warn);
    const source = await openWeights(folder, name, stem, {
      ...(o.variant === undefined ? {} : { variant: o.variant }),
      onMissingVariant: message => missing.push(message),
      onWarning: o.warn,
    });
    opened.push(source);
    return openNetwork(name.replace('_', ' '), source, make);
  };
  const opened: TensorSource[] = [];
  try {
    const textEncoder = await open('text_encoder', 'model', (json, path) =>
      clipTextOf(parseClipTextConfig(json, path)),
    );
    const unet = await open('unet', 'diffusion_pytorch_model', (json, path) => {
      refuseXL(folder, index, json, o);
      const config = parseUNetConfig(sizeCorrected(json, o.warn), path, o.warn);
      return w => new UNet2DConditionModel(w, config);
    });
    const vae = await open('vae', 'diffusion_pytorch_model', (json, path) => {
      const config = parseVaeConfig(json, path, o.warn);
      return w => new AutoencoderKL(w, config);
    });
    checkVariant(folder, o, missing, opened.length);
    checkFit(folder, { text: textEncoder.model, unet: unet.model, vae: vae.model }, o);
    const tokenizer = await ClipTokenizer.fromFolder(folder, 'tokenizer', { mode: tokenizerMode(index) });
    checkTokens(folder, tokenizer, textEncoder.model, o);
    const networks = { textEncoder, unet, vae };
    return { networks, tokenizer, schedulers: await o.openSchedulers(configsOf(folder, index, o)) };
  } catch (error) {
    await Promise.all(opened.map(source => source.close?.()));
    throw error;
  }
}

/** The checkpoint of a network; where there is none, a file that holds a whole model is shown to whoever meant that. */
async function openWeights(
  folder: FolderSource,
  name: string,
  stem: CheckpointStem,
  options: CheckpointOptions,
): Promise<TensorSource> {
  try {
    return await openCheckpoint(subfolder(folder, name), stem, options);
  } catch (error) {
    const nothing =
      error instanceof WeightsError && error.received === undefined && error.problem.startsWith('no weights');
    const names = nothing && !error.fix?.startsWith('Choose') ? ((await folder.list?.('')) ?? []) : [];
    const whole = names.find(file => /\.(ckpt|safetensors)$/.test(file));
    if (!nothing || whole === undefined) throw error;
    throw new WeightsError({
      ...{ op: error.op, problem: error.problem, expected: error.expected },
      received: `${whole} beside the folder ${name}`,
      path: `${folder.label}/${name}`,
      fix: `Open a file that holds the whole model with fromSingleFile (--model ${whole}).`,
    });
  }
}

/** Files from before diffusers 0.9 give Stable Diffusion 1.x a sample_size of 32 or less where 64 is right. */
function sizeCorrected(json: unknown, warn: (message: string) => void): unknown {
  const { _diffusers_version: version, sample_size: size } = json as Record<string, unknown>;
  const old = typeof version === 'string' && /^0\.[0-8](\.|$)/.test(version);
  if (!old || typeof size !== 'number' || size >= 64) return json;
  warn(`The UNet's sample_size is ${size} in a config of diffusers ${version}; 64 is used, as diffusers does.`);
  return { ...(json as object), sample_size: 64 };
}

type Json = Record<string, unknown>;

/** diffusers loads the class that the index names, and the two differ in some ids. */
function tokenizerMode({ tokenizer }: Json): ClipMode {
  return Array.isArray(tokenizer) && tokenizer[1] === 'CLIPTokenizerFast' ? 'fast' : 'slow';
}

/** model_index.json, checked. */
async function checkIndex(folder: FolderSource, o: OpenOptions<unknown>): Promise<Json> {
  const { op, warn } = o;
  const index = await readJson(folder, 'model_index.json', op, LAYOUT);
  for (const [name, classes] of [
    ['text_encoder', ['CLIPTextModel']],
    ['unet', ['UNet2DConditionModel']],
    ['vae', ['AutoencoderKL']],
    ['tokenizer', ['CLIPTokenizer', 'CLIPTokenizerFast']],
  ] as const) {
    const received = className(index, name);
    if ((classes as readonly unknown[]).includes(received)) continue;
    throw new InputError({
      op,
      problem: `unsupported ${name}`,
      expected: classes.join(' or '),
      received: JSON.stringify(received),
      path: `${folder.label}/model_index.json`,
      fix: 'Use a Stable Diffusion 1.x or 2.x folder as diffusers saves it.',
    });
  }
  if (!isListed(index, 'scheduler') && !o.hasScheduler) {
    throw new InputError({
      op,
      problem: 'the folder lists no scheduler',
      expected: 'a class',
      received: JSON.stringify(index['scheduler']),
      path: `${folder.label}/model_index.json`,
      fix: 'Correct the file, or pass one: scheduler: DDIMScheduler.fromConfig(config).',
    });
  }
  if (isListed(index, 'safety_checker')) {
    const checker = `a safety checker (${className(index, 'safety_checker')})`;
    warn(`${folder.label} lists ${checker}, which is not built: results are not checked.`);
  }
  const others = Object.keys(index).filter(name => isListed(index, name) && !PARTS.includes(name));
  if (others.length > 0)
    warn(`${folder.label} lists ${others.join(', ')}, which this pipeline does not have; ignored.`);
  return index;
}

/** The class that the index gives for a part of the pipeline. */
function className(index: Json, name: string): unknown {
  const entry = index[name];
  return Array.isArray(entry) ? entry[1] : entry;
}

/** Whether the index says that the folder has this part. */
function isListed(index: Json, name: string): boolean {
  return Array.isArray(index[name]) && className(index, name) != null;
}

/** Two text encoders are XL's where the UNet takes them; an index may list one too many. */
function refuseXL(folder: FolderSource, index: Json, unet: unknown, { op }: Pick<OpenOptions<unknown>, 'op'>): void {
  if (!isListed(index, 'text_encoder_2') || (unet as Json)['addition_embed_type'] == null) return;
  throw new InputError({
    op,
    problem: 'unsupported text_encoder_2',
    expected: 'one text encoder',
    received: 'two',
    path: `${folder.label}/model_index.json`,
    fix: 'Stable Diffusion XL and later are not built; use a 1.x or 2.x folder.',
  });
}

/** Rows of ids as long as the tokenizer makes them must find their positions. */
function checkTokens(
  folder: FolderSource,
  tokenizer: ClipTokenizer,
  text: ClipTextModel,
  { op }: Pick<OpenOptions<unknown>, 'op'>,
): void {
  const { positions } = text.config;
  if (tokenizer.modelMaxLength <= positions) return;
  throw new InputError({
    op,
    problem: 'the tokenizer makes rows that are too long for the text encoder',
    expected: `model_max_length up to ${positions}`,
    received: tokenizer.modelMaxLength,
    path: `${folder.label}/tokenizer/tokenizer_config.json`,
    fix: `Set model_max_length to ${positions}.`,
  });
}

/** A variant that no network has is an error, one that some lack a warning. */
function checkVariant(
  folder: FolderSource,
  o: OpenOptions<unknown>,
  missing: readonly string[],
  networks: number,
): void {
  if (missing.length < networks) {
    for (const message of missing) o.warn(message);
    return;
  }
  throw new WeightsError({
    op: o.op,
    problem: `no network has the variant "${o.variant}"`,
    path: folder.label,
    fix: 'Leave the variant out, or download its files.',
  });
}

/** The three networks must speak of the same widths. */
function checkFit(
  folder: FolderSource,
  {
    text,
    unet,
    vae,
  }: { readonly text: ClipTextModel; readonly unet: UNet2DConditionModel; readonly vae: AutoencoderKL },
  { op, inpaints = false }: OpenOptions<unknown>,
): void {
  const { latentChannels } = vae.config;
  const inpainting = inpaints && unet.config.inChannels === 2 * latentChannels + 1;
  const fit = [
    ['unet in_channels', inpainting ? 2 * latentChannels + 1 : latentChannels, unet.config.inChannels],
    ['unet out_channels', latentChannels, unet.config.outChannels],
    ...unet.config.levels.map((level): [string, number, number] => [
      'unet cross_attention_dim',
      text.config.width,
      level.contextWidth,
    ]),
  ] as const;
  for (const [name, expected, received] of fit) {
    if (expected === received) continue;
    throw new InputError({
      op,
      problem: `${name} does not fit the other networks`,
      expected,
      received,
      path: `${folder.label}/unet/config.json`,
      fix: 'Use a text-to-image folder; inpainting, depth and upscaling models take other inputs.',
    });
  }
}

function configsOf(folder: FolderSource, index: Json, { op }: OpenOptions<unknown>): SchedulerConfigs {
  const file = (name: string): string => `${name}/scheduler_config.json`;
  return {
    isListed: name => isListed(index, name),
    path: name => `${folder.label}/${file(name)}`,
    read: name => readJson(folder, file(name), op, LAYOUT),
  };
}
