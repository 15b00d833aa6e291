/** What `DiffEditPipeline.fromPretrained` is told. */

import { InputError } from '../../core/errors.ts';
import { namesOf } from '../../core/known-names.ts';
import type { DDIMInverseScheduler, DDIMScheduler } from '../../schedulers/index.ts';
import type { LoraInput } from '../diffusion/lora-adapters.ts';
import type { SingleFileOptions } from '../diffusion/single-file-options.ts';
import type { EmbeddingInput } from '../diffusion/textual-inversion-sources.ts';
import type { DeviceModelOptions } from '../runtime/device-model.ts';

/** How a Stable Diffusion folder is opened: device, precision, schedulers, offload, diffusers' slips. */
export interface PretrainedOptions extends DeviceModelOptions {
  /** Of mask and edit; by default the folder's. */
  readonly scheduler?: DDIMScheduler | undefined;
  /** Of the inversion; by default the folder's, or one made of the scheduler's config. */
  readonly inverseScheduler?: DDIMInverseScheduler | undefined;
  /** Mends the original's slips Q1, Q3, Q4 and Q12 (docs/parity.md) instead of repeating them. Default false. */
  readonly mendQuirks?: boolean | undefined;
  /** LoRA adapters that act from the beginning, all together; more and others by `loadLoraWeights`. Default none. */
  readonly loras?: readonly LoraInput[] | undefined;
  /** Embeddings of textual inversion, read in this order before the weights; more by `loadTextualInversion`. Default none. */
  readonly embeddings?: readonly EmbeddingInput[] | undefined;
  /** There is none: anything but null is refused. */
  readonly safetyChecker?: null | undefined;
}

/** Names of the options that the other models do not have. */
export const OWN_OPTIONS: readonly string[] = namesOf<Omit<PretrainedOptions, keyof DeviceModelOptions>>({
  ...{ scheduler: 1, inverseScheduler: 1, mendQuirks: 1, loras: 1, embeddings: 1, safetyChecker: 1 },
});

/** How a checkpoint in one file is opened: as a folder, and what the file does not say. It has no variants. */
export interface FromSingleFileOptions extends Omit<PretrainedOptions, 'variant'>, SingleFileOptions {}

/** Names of what only a single file asks for. */
export const SINGLE_FILE_OPTIONS: readonly string[] = namesOf<Omit<SingleFileOptions, 'onWarning'>>({
  ...{ tokenizer: 1, config: 1, originalConfig: 1, predictionType: 1, extractEma: 1 },
});

/** @throws InputError for a variant of a single file */
export function refuseVariant(op: string, o: object): void {
  if (!('variant' in o) || o.variant === undefined) return;
  const fix = 'Variants are files of a folder: open the file that you want.';
  throw new InputError({ op, problem: 'a single file has no variants', received: o.variant, path: 'variant', fix });
}

/** @throws InputError for a safety checker, which is not built */
export function refuseSafetyChecker(op: string, o: PretrainedOptions): void {
  if (o.safetyChecker != null) throw refusal(op, 'a safety checker', 'safetyChecker');
}

/** The error for what is not built. */
export function refusal(op: string, what: string, path: string): InputError {
  return new InputError({
    op,
    problem: `${what} is not built`,
    path,
    fix: 'docs/parity.md lists what this pipeline has and what it refuses.',
  });
}
