/** What every call of a pipeline takes, and what `encodePrompt` of any pipeline takes and gives. */
import type { NdArray } from '../../core/ndarray.ts';
import type { CallOptions } from '../runtime/progress.ts';
import type { Generators } from './generators.ts';
import type { PromptArgs } from './prompt-arguments.ts';

/** Arguments of all calls. */
export interface CommonArgs extends CallOptions {
  /** Source of noise in the calls that draw any (encodePrompt draws none); by default a new one, seeded from entropy. */
  readonly generator?: Generators | undefined;
  /** Only `scale`, for LoRA: they are merged, so that beside active adapters only 1 passes; setAdapters takes their weights. */
  readonly crossAttentionKwargs?: Readonly<Record<string, unknown>> | undefined;
}

/** What `encodePrompt` takes beside the prompts. */
export interface EncodePromptOptions extends CommonArgs, Pick<PromptArgs, 'negativePrompt'> {
  /** How often each row is repeated; default 1. */
  readonly numImagesPerPrompt?: number | undefined;
  /** Last layers of the text encoder that the positive prompt skips. */
  readonly clipSkip?: number | undefined;
}

/** Result of `encodePrompt`, as the other methods take it: [B * numImagesPerPrompt, L, D] each. */
export interface PromptEmbeddings {
  /** [B * numImagesPerPrompt, L, D] of the prompts, each row repeated in place. */
  readonly promptEmbeds: NdArray;
  /** The same of the negatives; of '' where there was none. */
  readonly negativePromptEmbeds: NdArray;
}
