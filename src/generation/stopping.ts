/** When a sequence is done: its length, an end id, a stop string, the caller's own rule, or time. */
import { InputError } from '../core/errors.ts';
import type { GenerationDefaults } from './settings.ts';
import type { GenerateOptions } from './types.ts';

/** Says whether a sequence is done. @param ids so far, the prompt included */
export type StoppingCriterion = (ids: readonly number[]) => boolean;

/** What `tokenTextOf` needs of a tokenizer. */
export interface TokenTextSource {
  encode(text: string, options: { readonly addSpecialTokens: boolean }): { readonly ids: readonly number[] };
  decode(ids: readonly number[], options?: { readonly cleanUp?: boolean }): string;
}

/** A word for tokens to stand behind, so that the space a token brings is seen. */
const ANCHOR = 'abcdef';

/** Done at one of the end ids. @see transformers EosTokenCriteria */
export function endsAt(eosIds: readonly number[]): StoppingCriterion {
  return ids => eosIds.includes(ids[ids.length - 1] ?? -1);
}

/** Done once a number of seconds has passed, counted from this call. @see transformers MaxTimeCriteria */
export function endsAfter(seconds: number): StoppingCriterion {
  const start = performance.now();
  return () => performance.now() - start > seconds * 1000;
}

/**
 * Done where the last token completes a stop string: the string stands anywhere in the text and ends inside the last
 * token, which may go on behind it. The prompt counts as text.
 * @param stops non-empty strings
 * @param tokenText text of one token as it stands inside a sentence
 * @see transformers StopStringCriteria
 */
export function endsWithText(stops: readonly string[], tokenText: (id: number) => string): StoppingCriterion {
  const longest = Math.max(...stops.map(stop => stop.length));
  return ids => {
    // As many tokens as the longest string has characters, empty ones counted too.
    const pieces = ids.slice(-longest).map(tokenText);
    const text = pieces.join('');
    const before = text.length - (pieces[pieces.length - 1]?.length ?? 0);
    return stops.some(stop => text.indexOf(stop, Math.max(0, before - stop.length + 1)) >= 0);
  };
}

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
