/** What `DiffEditPipeline.fromPretrained` is told. */

import { InputError } from '../../core/errors.ts';
import { namesOf } from '../../core/known-names.ts';
import type { DDIMInverseScheduler, DDIMScheduler } from '../../schedulers/index.ts';
import type { SingleFileOptions } from '../diffusion/single-file-options.ts';
import { STABLE_DIFFUSION_OPTIONS, type StableDiffusionOptions } from '../diffusion/stable-diffusion-options.ts';
import type { MemoryBudget } from './memory-budget.ts';

/** How a Stable Diffusion folder is opened: device, precision, schedulers, offload, diffusers' slips. */
export interface PretrainedOptions extends StableDiffusionOptions {
  /** Of mask and edit; by default the folder's. */
  readonly scheduler?: DDIMScheduler | undefined;
  /** Of the inversion; by default the folder's, or one made of the scheduler's config. */
  readonly inverseScheduler?: DDIMInverseScheduler | undefined;
  /** Mends the original's slips Q1, Q3, Q4 and Q12 (docs/parity.md) instead of repeating them. Default false. */
  readonly mendQuirks?: boolean | undefined;
  /**
   * Device bytes that a call may take at any time. It plans first and saves in this order: one picture at a time through the VAE,
   * tiles (with allowTiles), one network at a time on the device, the UNet's weights streamed, those of the text encoder and of the
   * VAE too, fewer rows of the UNet's batch at once.
   * The result is the same bit for bit, but for tiles. Weights come when they are needed. Default: what the device gives.
   */
  readonly maxBytes?: number | undefined;
  /** Lets maxBytes choose VAE tiles, which change the numbers. Default false. */
  readonly allowTiles?: boolean | undefined;
}

/** Names of the options that the other models do not have. */
export const OWN_OPTIONS: readonly string[] = [
  ...namesOf<Omit<PretrainedOptions, keyof StableDiffusionOptions>>({
    ...{ scheduler: 1, inverseScheduler: 1, mendQuirks: 1, maxBytes: 1, allowTiles: 1 },
  }),
  ...STABLE_DIFFUSION_OPTIONS,
];

/** How a checkpoint in one file is opened: as a folder, and what the file does not say. It has no variants. */
export interface FromSingleFileOptions extends Omit<PretrainedOptions, 'variant'>, SingleFileOptions {}

/**
 * What a call may spend; undefined for what the device gives.
 * @throws InputError for bytes that are no count
 */
export function memoryBudget(
  op: string,
  { maxBytes, allowTiles = false }: PretrainedOptions,
): MemoryBudget | undefined {
  if (maxBytes === undefined) return undefined;
  if (Number.isInteger(maxBytes) && maxBytes >= 1) return { maxBytes, allowTiles };
  const [expected, path] = ['a whole number >= 1', 'maxBytes'];
  throw new InputError({ op, problem: 'not a count', expected, value: maxBytes, path });
}
