/** The request of `encodePrompt`. */
import { checkNames, namesOf } from '../../core/known-names.ts';
import { checkCrossAttention, checkValue } from '../diffusion/argument-checks.ts';
import type { EncodePromptOptions } from '../diffusion/encode-prompt-types.ts';
import { checkPrompts, type Prompt, promptNames } from '../diffusion/prompt-arguments.ts';
import { type PromptRequest, settlePrompts } from '../diffusion/prompt-request.ts';
import type { RequestHome } from './settle.ts';

const NAMES = namesOf<EncodePromptOptions>({
  ...{ negativePrompt: 1, numImagesPerPrompt: 1, clipSkip: 1, generator: 1 },
  ...{ crossAttentionKwargs: 1, signal: 1, onProgress: 1 },
});

/**
 * @returns what the text encoder shall give, each row so many times
 * @throws InputError or ShapeError
 * @see diffusers StableDiffusionPipeline.encode_prompt
 */
export function encodeRequest(
  prompt: Prompt,
  options: EncodePromptOptions,
  { model, adapters }: Pick<RequestHome, 'model' | 'adapters'>,
): { readonly prompts: PromptRequest; readonly copies: number } {
  const op = 'encodePrompt';
  checkNames(op, options, NAMES);
  checkCrossAttention(op, options.crossAttentionKwargs, adapters());
  const text = model.prompts.sizes;
  const { negativePrompt, numImagesPerPrompt: copies = 1, clipSkip } = options;
  const args = { prompt, negativePrompt };
  checkPrompts(op, args, promptNames(''));
  checkValue(op, 'count', copies, 'numImagesPerPrompt');
  if (clipSkip !== undefined) checkValue(op, 'layers', clipSkip, 'clipSkip', text);
  return { prompts: settlePrompts(op, args, promptNames(''), { guided: true, clipSkip, text }), copies };
}
