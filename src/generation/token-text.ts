/** The text of single tokens, in which stop strings are looked for. */
import { InputError } from '../core/errors.ts';
import type { GenerationDefaults } from './settings.ts';
import type { GenerateOptions } from './types.ts';

/** What `tokenTextOf` needs of a tokenizer. */
export interface TokenTextSource {
  encode(text: string, options: { readonly addSpecialTokens: boolean }): { readonly ids: readonly number[] };
  decode(ids: readonly number[], options?: { readonly cleanUp?: boolean }): string;
}

/** A word for tokens to stand behind, so that the space a token brings is seen. */
const ANCHOR = 'abcdef';

/**
 * The text that each token adds behind another word, for `tokenText`.
 * @param tokenizer of the model
 * @param options cleanUp false for the pieces as they are, where the tokenizer tidies up decoded text
 * @throws InputError for a tokenizer that cannot write the word; when called, for a token that changes it
 */
export function tokenTextOf(
  tokenizer: TokenTextSource,
  options: { readonly cleanUp?: boolean } = {},
): (id: number) => string {
  const anchor = tokenizer.encode(ANCHOR, { addSpecialTokens: false }).ids;
  const behindAnchor = (ids: readonly number[]): string => {
    const text = tokenizer.decode([...anchor, ...ids], options);
    const at = text.indexOf(ANCHOR);
    if (at >= 0) return text.slice(at + ANCHOR.length);
    const [op, expected, received] = ['tokenTextOf', `${ANCHOR}…`, JSON.stringify(text)];
    const fix = 'Give a tokenText of your own, or end texts by stoppingCriteria.';
    throw new InputError({ op, problem: 'the vocabulary has no pieces for a word', expected, received, fix });
  };
  behindAnchor([]);
  const known = new Map<number, string>();
  return id => {
    const found = known.get(id) ?? behindAnchor([id]);
    known.set(id, found);
    return found;
  };
}

/**
 * Options of a call with a tokenText where stop strings ask for one.
 * @param defaults the model's settings, which may name stop strings
 * @throws InputError as `tokenTextOf`
 */
export function withTokenText(
  options: GenerateOptions,
  defaults: GenerationDefaults,
  tokenizer: TokenTextSource | undefined,
): GenerateOptions {
  const stops = options.stopStrings === undefined ? defaults.stopStrings : options.stopStrings;
  if (stops == null || options.tokenText || !tokenizer) return options;
  return { ...options, tokenText: tokenTextOf(tokenizer, { cleanUp: false }) };
}
