/** One embedding for many sentences. */
import { InputError } from '../../core/errors.ts';
import { checkNames } from '../../core/known-names.ts';
import { type NdArray, ndarray } from '../../core/ndarray.ts';
import { dim } from '../../core/shape.ts';
import { CALL_OPTIONS, type CallOptions } from '../runtime/progress.ts';
import type { Prompt } from './prompt-arguments.ts';

/** A text encoder behind prompts; DiffEditPipeline is one. */
export interface PromptEncoder {
  /** Embeds prompts, [N, L, D]. */
  encodePrompt(
    prompt: Prompt,
    options?: CallOptions,
  ): Promise<{
    /** [N, L, D], one row of tokens for each prompt. */
    readonly promptEmbeds: NdArray;
  }>;
}

/** What encodePrompt of any pipeline takes besides: embeddings of one row each. */
const KNOWN = [...CALL_OPTIONS, 'generator', 'crossAttentionKwargs'];

/**
 * One embedding for many sentences: each is padded to the text encoder's length, cut there, encoded without a padding mask,
 * and their last hidden states are averaged, e = (e_1 + ... + e_n) / n.
 * @param encoder a pipeline
 * @param sentences at least one
 * @returns [1, 77, D], as the prompt embeddings that the pipeline's methods take
 * @throws InputError without sentences; the signal's reason
 */
export async function embedPrompts(
  encoder: PromptEncoder,
  sentences: readonly string[],
  options: CallOptions = {},
): Promise<NdArray> {
  checkNames('embedPrompts', options, KNOWN);
  if (!Array.isArray(sentences) || sentences.length === 0) {
    throw new InputError({
      op: 'embedPrompts',
      problem: 'no sentences',
      expected: 'a list of at least one',
      received: Array.isArray(sentences) ? 'an empty list' : typeof sentences,
      path: 'sentences',
      fix: 'Pass what generatePrompts returns, or sentences of your own.',
    });
  }
  const { promptEmbeds } = await encoder.encodePrompt(sentences, options);
  const shape = [1, dim(promptEmbeds.shape, 1), dim(promptEmbeds.shape, 2)];
  const size = promptEmbeds.data.length / sentences.length;
  const mean = Float32Array.from({ length: size }, (_, i) => {
    let sum = 0;
    for (let row = 0; row < sentences.length; row++) sum += promptEmbeds.data[row * size + i] ?? 0;
    return sum / sentences.length;
  });
  return ndarray(mean, shape);
}
