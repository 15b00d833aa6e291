/** What opening a Stable Diffusion model is told, whatever the pipeline. */
import { InputError } from '../../core/errors.ts';
import { checkNames, namesOf } from '../../core/known-names.ts';
import type { StreamLimits } from '../../tensor/streamed-weights.ts';
import { checkSwitch, type DeviceModelOptions } from '../runtime/model-options.ts';
import type { LoraInput } from './lora-adapters.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { refusal } from './refusal.ts';
import type { SingleFileOptions } from './single-file-options.ts';
import type { EmbeddingInput } from './textual-inversion-sources.ts';

/** Options of every pipeline on a Stable Diffusion model. */
export interface StableDiffusionOptions extends DeviceModelOptions {
  /** LoRA adapters that act from the beginning, all together; more and others by `loadLoraWeights`. Default none. */
  readonly loras?: readonly LoraInput[] | undefined;
  /** Embeddings of textual inversion, read in this order before the weights; more by `loadTextualInversion`. Default none. */
  readonly embeddings?: readonly EmbeddingInput[] | undefined;
  /**
   * The weights of the UNet do not lie on the device whole but pass through two slots of it at every step, read from the files
   * again, or from the host with hostMemory: less device memory, the same numbers bit for bit, and steps at best as fast as
   * weights are read. Sizes of the slots, and how many weights may stay, where the defaults do not suit. Default false.
   */
  readonly streamWeights?: boolean | StreamLimits | undefined;
  /**
   * Device bytes that a call may take at any time. It plans first and saves in this order: one picture at a time through the VAE,
   * tiles (with allowTiles), one network at a time on the device, the UNet's weights streamed, those of the text encoder and of the
   * VAE too, fewer rows of the UNet's batch at once.
   * The result is the same bit for bit, but for tiles. Weights come when they are needed. Default: what the device gives.
   */
  readonly maxBytes?: number | undefined;
  /** Lets maxBytes choose VAE tiles, which change the numbers. Default false. */
  readonly allowTiles?: boolean | undefined;
  /** There is none: anything but null is refused. */
  readonly safetyChecker?: null | undefined;
}

/** Names of the options that other models do not have. */
export const STABLE_DIFFUSION_OPTIONS: readonly string[] = namesOf<
  Omit<StableDiffusionOptions, keyof DeviceModelOptions>
>({ loras: 1, embeddings: 1, safetyChecker: 1, streamWeights: 1, maxBytes: 1, allowTiles: 1 });

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
export function refuseSafetyChecker(op: string, o: StableDiffusionOptions): void {
  if (o.safetyChecker != null) throw refusal(op, 'a safety checker', 'safetyChecker');
}

/**
 * What a call may spend; undefined for what the device gives.
 * @throws InputError for bytes that are no count, and tiles that are neither allowed nor not
 */
export function memoryBudget(
  op: string,
  { maxBytes, allowTiles = false }: StableDiffusionOptions,
): MemoryBudget | undefined {
  checkSwitch(op, 'allowTiles', allowTiles);
  if (maxBytes === undefined) return undefined;
  if (Number.isInteger(maxBytes) && maxBytes >= 1) return { maxBytes, allowTiles };
  const [expected, path] = ['a whole number >= 1', 'maxBytes'];
  throw new InputError({ op, problem: 'not a count', expected, value: maxBytes, path });
}

const STREAM_LIMITS = namesOf<StreamLimits>({ slotBytes: 1, residentBytes: 1 });

/**
 * How the UNet's weights are to be streamed; undefined where they are not.
 * @throws InputError for what is neither yes nor no nor limits, unknown names, or bytes that are no count
 */
export function streamLimits(op: string, { streamWeights }: StableDiffusionOptions): StreamLimits | undefined {
  if (streamWeights === undefined || streamWeights === false) return undefined;
  if (streamWeights === true) return {};
  const path = 'streamWeights';
  if (typeof streamWeights !== 'object' || streamWeights === null) {
    const [expected, problem] = ['true, false or limits', 'neither yes nor no'];
    throw new InputError({ op, problem, expected, value: streamWeights, path });
  }
  checkNames(`${op} ${path}`, streamWeights, STREAM_LIMITS);
  for (const [name, value] of Object.entries(streamWeights)) {
    if (value === undefined || (Number.isInteger(value) && value >= 0)) continue;
    throw new InputError({ op, problem: 'not a count', expected: 'a whole number', value, path: `${path}.${name}` });
  }
  return streamWeights;
}
