/**
 * The pieces of the published DiffEdit guide, each usable alone: a caption of a picture, sentences about a concept (their
 * embedding is in embed-prompts.ts). guide.ts strings them together.
 */

import { InputError } from '../../core/errors.ts';
import { checkMember } from '../../core/kinds.ts';
import { checkNames, namesOf } from '../../core/known-names.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { GenerateOptions } from '../../generation/index.ts';
import type { RgbImage } from '../../io/image.ts';
import type { Generator } from '../../schedulers/index.ts';
import type { CallOptions } from '../runtime/progress.ts';
import type { Caption, CaptionOptions } from '../text/blip.ts';

/** Sentences that the published guide asks for. */
export const SENTENCES = 16;
/** How its captions begin. */
export const PREFIX = 'a photograph of';

/** Texts that a model wrote, and their ids. */
export interface Written {
  /** One for each sequence. */
  readonly texts: readonly string[];
  /** Ids of each text, from the start id on. */
  readonly sequences: readonly (readonly number[])[];
}

/** A model that answers text with text; T5ForConditionalGeneration is one. */
export interface TextToText {
  /** Answers a prompt, as often as `numReturnSequences` says. */
  generate(
    prompt: string,
    options: GenerateOptions & CallOptions & { readonly cleanUp?: boolean | undefined },
  ): Promise<Written>;
}

/** A model that describes pictures; BlipForConditionalGeneration is one. */
export interface PictureToText {
  /** Describes a picture in a sentence that begins with `prefix`. */
  caption(image: RgbImage, prefix?: string, options?: CaptionOptions): Promise<Pick<Caption, 'text'>>;
}

/** Settings of `generatePrompts`; the defaults are the guide's. */
export interface GeneratePromptsOptions {
  /** Sentences to write; default 16. */
  readonly n?: number | undefined;
  /** Scores are divided by it before a draw; default 0.8. */
  readonly temperature?: number | undefined;
  /** Only so many likeliest tokens may be drawn; default 10. */
  readonly topK?: number | undefined;
  /** Most ids that a sentence may have; default 128. */
  readonly maxNewTokens?: number | undefined;
  /** Pulls punctuation and English contractions to the word before; default as tokenizer_config.json says. */
  readonly cleanUp?: boolean | undefined;
  /** torch's CPU stream; source and target share one, in this order. By default a new one from entropy. */
  readonly generator?: Generator | undefined;
  /** Ends the call with its reason. */
  readonly signal?: AbortSignalLike | undefined;
  /** Called for each id that is chosen. */
  readonly onToken?: GenerateOptions['onToken'];
  /** Told of ids and of weights; by default the listener that the model was opened with. */
  readonly onProgress?: CallOptions['onProgress'];
}

const PROMPT_OPTIONS = namesOf<GeneratePromptsOptions>({
  ...{ n: 1, temperature: 1, topK: 1, maxNewTokens: 1, cleanUp: 1, generator: 1, signal: 1, onToken: 1, onProgress: 1 },
});

/**
 * What the guide asks the language model. The space at the end is the guide's own, and part of the ids.
 * @throws InputError for an empty concept
 */
export function promptRequest(concept: string): string {
  if (typeof concept !== 'string' || concept.trim() === '') {
    throw new InputError({
      op: 'generatePrompts',
      problem: 'no concept',
      expected: 'a noun such as bowl',
      received: JSON.stringify(concept) ?? 'undefined',
      fix: 'Name what the picture contains, or what it shall contain.',
    });
  }
  return `Provide a caption for images containing a ${concept}. `;
}

/**
 * Sentences about a concept: `n` draws from the language model's answer to `promptRequest(concept)`.
 * @param writer a T5 model
 * @param concept such as 'bowl'; not empty
 * @returns `n` sentences, in the order of the draws
 * @throws InputError for an empty concept or settings out of range; the signal's reason
 */
export async function generatePrompts(
  writer: TextToText,
  concept: string,
  options: GeneratePromptsOptions = {},
): Promise<string[]> {
  checkNames('generatePrompts', options, PROMPT_OPTIONS);
  checkMember('generatePrompts', writer, 'generate', 'function', 'a T5ForConditionalGeneration');
  const { n = SENTENCES, temperature = 0.8, topK = 10, maxNewTokens = 128, ...more } = options;
  const { cleanUp, generator, signal, onToken, onProgress } = more;
  const { texts } = await writer.generate(promptRequest(concept), {
    doSample: true,
    numReturnSequences: n,
    ...{ temperature, topK, maxNewTokens, cleanUp, generator, signal, onToken, ...(onProgress && { onProgress }) },
  });
  return [...texts];
}

/**
 * What a picture shows, in one sentence: greedy, of at most 128 new ids unless the options say otherwise.
 * @param captioner a BLIP model
 * @param image of any size
 * @param prefix that the sentence begins with, by default 'a photograph of'; null or '' lets the model begin by itself
 * @param options everything that generation takes
 * @throws InputError for a picture that is none; the signal's reason
 */
export async function caption(
  captioner: PictureToText,
  image: RgbImage,
  prefix: string | null = PREFIX,
  options: CaptionOptions = {},
): Promise<string> {
  checkMember('caption', captioner, 'caption', 'function', 'a BlipForConditionalGeneration');
  const { text } = await captioner.caption(image, prefix || undefined, { maxNewTokens: 128, ...options });
  return text;
}
