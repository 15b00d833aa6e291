/** What opening a pipeline that makes pictures is told. */
import { namesOf } from '../../core/known-names.ts';
import type { SingleFileOptions } from '../diffusion/single-file-options.ts';
import { STABLE_DIFFUSION_OPTIONS, type StableDiffusionOptions } from '../diffusion/stable-diffusion-options.ts';
import type { PipelineScheduler } from './schedulers.ts';

/** What `as` may be told. */
export interface PipelineOptions {
  /** By default that of the pipeline beside it. */
  readonly scheduler?: PipelineScheduler | undefined;
}

/** How a Stable Diffusion folder is opened: device, precision, scheduler, offload, adapters. */
export interface GenerationOptions extends StableDiffusionOptions {
  /** By default one of the class that the folder names. */
  readonly scheduler?: PipelineScheduler | undefined;
}

/** How a checkpoint in one file is opened: as a folder, and what the file does not say. It has no variants. */
export interface GenerationFileOptions extends Omit<GenerationOptions, 'variant'>, SingleFileOptions {}

/** Names of the options that other models do not have. */
export const OWN_OPTIONS: readonly string[] = [
  ...namesOf<Omit<GenerationOptions, keyof StableDiffusionOptions>>({ scheduler: 1 }),
  ...STABLE_DIFFUSION_OPTIONS,
];

/** Names of what `as` takes. */
export const PIPELINE_OPTIONS: readonly string[] = namesOf<PipelineOptions>({ scheduler: 1 });
