/** What `DiffEditPipeline.fromPretrained` is told. */

import { namesOf } from '../../core/known-names.ts';
import type { DDIMInverseScheduler, DDIMScheduler } from '../../schedulers/index.ts';
import type { SingleFileOptions } from '../diffusion/single-file-options.ts';
import { STABLE_DIFFUSION_OPTIONS, type StableDiffusionOptions } from '../diffusion/stable-diffusion-options.ts';

/** How a Stable Diffusion folder is opened: device, precision, schedulers, offload, diffusers' slips. */
export interface PretrainedOptions extends StableDiffusionOptions {
  /** Of mask and edit; by default the folder's. */
  readonly scheduler?: DDIMScheduler | undefined;
  /** Of the inversion; by default the folder's, or one made of the scheduler's config. */
  readonly inverseScheduler?: DDIMInverseScheduler | undefined;
  /** Mends the original's slips Q1, Q3, Q4 and Q12 (docs/parity.md) instead of repeating them. Default false. */
  readonly mendQuirks?: boolean | undefined;
}

/** Names of the options that the other models do not have. */
export const OWN_OPTIONS: readonly string[] = [
  ...namesOf<Omit<PretrainedOptions, keyof StableDiffusionOptions>>({
    ...{ scheduler: 1, inverseScheduler: 1, mendQuirks: 1 },
  }),
  ...STABLE_DIFFUSION_OPTIONS,
];

/** How a checkpoint in one file is opened: as a folder, and what the file does not say. It has no variants. */
export interface FromSingleFileOptions extends Omit<PretrainedOptions, 'variant'>, SingleFileOptions {}
