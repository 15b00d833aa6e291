/**
 * The problems of a model: what its kernels are asked for in a whole call, heard on a device that runs nothing while the call is planned. No
 * weights are read. This is what a tuner measures.
 */
import { InputError } from '../../core/errors.ts';
import { checkFolder } from '../../core/kinds.ts';
import { checkByName, checkNames, namesOf } from '../../core/known-names.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import { type Caps, checkCaps } from '../../gpu/caps.ts';
import { Gpu } from '../../gpu/device.ts';
import type { PictureSize, RgbImage } from '../../io/image.ts';
import { type Heard, HeardProblems } from '../../tuning/heard.ts';
import { DiffEditPipeline } from '../diffedit/pipeline.ts';
import { caption, generatePrompts } from '../guide/captions-and-prompts.ts';
import { readJson } from '../runtime/read-json.ts';
import { BlipForConditionalGeneration } from '../text/blip.ts';
import { T5ForConditionalGeneration } from '../text/t5.ts';

/** What a model is for: DiffEdit with Stable Diffusion, sentences by T5, captions by BLIP. */
export type ModelTask = 'edit' | 'prompts' | 'caption';

/** All of them. */
export const MODEL_TASKS: readonly ModelTask[] = ['edit', 'prompts', 'caption'];

/** How the model would be called. */
export interface ModelProblemsOptions {
  /** What the device grants; a Gpu's `caps`. */
  readonly caps: Caps;
  /** Default float32. */
  readonly dtype?: 'float32' | 'float16' | undefined;
  /** Pixels of the pictures; default those that the model was trained on. */
  readonly size?: PictureSize | undefined;
  /** Pictures of one edit, captions of as many pictures, sentences; default 1, sentences 16 as in the guide. */
  readonly batch?: number | undefined;
  /** Such as 'fp16': takes the weight files of that name. */
  readonly variant?: string | undefined;
  /** Told of what is odd about the folder; default console.warn. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Ends the planning with its reason. */
  readonly signal?: AbortSignalLike | undefined;
}

const OPTIONS = namesOf<ModelProblemsOptions>({
  ...{ caps: 1, dtype: 1, size: 1, batch: 1, variant: 1, onWarning: 1, signal: 1 },
});
const OP = 'problemsOf';
/** Steps there and back: every one asks for what the one before asked for. */
const FEW_STEPS = 4;

/**
 * What a folder's model is for.
 * @throws InputError for a folder of another kind
 */
export async function taskOf(folder: FolderSource): Promise<ModelTask> {
  checkFolder(folder, 'taskOf');
  if (await folder.has('model_index.json')) return 'edit';
  const config = (await folder.has('config.json')) ? await readJson(folder, 'config.json', OP) : {};
  if (config['model_type'] === 't5') return 'prompts';
  if (config['model_type'] === 'blip') return 'caption';
  throw new InputError({
    op: OP,
    problem: 'the folder is of no model that runs here',
    expected: 'model_index.json of Stable Diffusion, or config.json with model_type t5 or blip',
    received: config['model_type'] ?? 'neither',
    path: folder.label,
    fix: 'Name the folder of such a model.',
  });
}

/**
 * The problems of a model, each once: of a whole DiffEdit run (mask, inversion, edit, both ways of the autoencoder, the text encoder), of
 * sentences as the guide asks for them, or of a caption.
 * @param folder of a model, in diffusers' or transformers' layout
 * @throws InputError for other folders and options that make no sense; WeightsError for a checkpoint that does not fit; DeviceError where the
 * device could not run the call; the signal's reason
 */
export async function problemsOf(folder: FolderSource, options: ModelProblemsOptions): Promise<readonly Heard[]> {
  checkFolder(folder, OP);
  checkByName(OP, options);
  checkNames(OP, options, OPTIONS);
  checkCaps(OP, options.caps);
  const { batch } = options;
  if (batch !== undefined && !(Number.isSafeInteger(batch) && batch > 0)) {
    throw new InputError({
      op: OP,
      problem: 'no batch',
      expected: 'a whole number from 1 on',
      value: batch,
      path: 'batch',
    });
  }
  const problems = new HeardProblems();
  const gpu = Gpu.dry(options.caps, undefined, { tuning: problems.listen() });
  const { dtype, variant, onWarning, signal } = options;
  const loading = { gpu, dtype, variant, onWarning, signal, loadWhenNeeded: true };
  const plan = { edit: planEdit, prompts: planPrompts, caption: planCaption }[await taskOf(folder)];
  try {
    await plan(folder, loading, options);
  } finally {
    gpu.dispose();
  }
  return problems.all;
}

type Loading = Parameters<typeof DiffEditPipeline.fromPretrained>[1];

async function planEdit(
  folder: FolderSource,
  loading: Loading,
  { size, batch, signal }: ModelProblemsOptions,
): Promise<void> {
  const pipeline = await DiffEditPipeline.fromPretrained(folder, loading);
  try {
    const image = blank(size ?? pipeline.defaultSize);
    const prompts = { sourcePrompt: 'source', targetPrompt: 'target' }; // what they say makes no difference
    await pipeline.plan({ image, ...prompts, numInferenceSteps: FEW_STEPS, numImagesPerPrompt: batch, signal });
  } finally {
    pipeline.dispose();
  }
}

async function planPrompts(
  folder: FolderSource,
  loading: Loading,
  { batch, signal }: ModelProblemsOptions,
): Promise<void> {
  const model = await T5ForConditionalGeneration.fromPretrained(folder, loading);
  const planner = {
    async generate(text: string, settings: object) {
      await model.plan(text, { ...settings, signal });
      return { texts: [], sequences: [] };
    },
  };
  try {
    await generatePrompts(planner, 'bowl', { n: batch });
  } finally {
    model.dispose();
  }
}

async function planCaption(
  folder: FolderSource,
  loading: Loading,
  { size, batch = 1, signal }: ModelProblemsOptions,
): Promise<void> {
  const model = await BlipForConditionalGeneration.fromPretrained(folder, loading);
  const planner = {
    async caption(image: RgbImage, prefix?: string, settings: object = {}) {
      const pictures = Array.from({ length: batch }, () => image);
      await model.plan(pictures, { ...settings, size, signal, prefix });
      return { text: '' };
    },
  };
  try {
    await caption(planner, blank(model.processor.size));
  } finally {
    model.dispose();
  }
}

function blank({ width, height }: PictureSize): RgbImage {
  return { width, height, data: new Uint8Array(3 * width * height) };
}
