/**
 * Normalisation steps that must agree with the tokenizers of the published models to the character, and that take the
 * place of the package's own steps of the same name.
 */
import type { Tokenizer } from '@huggingface/tokenizers';
import {
  BertNormalizer,
  LowercaseNormalizer,
  Normalizer,
  PrecompiledNormalizer,
  SequenceNormalizer,
} from '@huggingface/tokenizers';
import { InputError } from '../core/errors.ts';
import { CharMap } from './char-map.ts';

/**
 * Lower case, each code point for itself: a capital sigma at the end of a word becomes σ, not ς.
 * @param text any string
 */
export function lowerCase(text: string): string {
  let result = '';
  for (const character of text) result += character.toLowerCase();
  return result;
}

/**
 * A character map as the `Precompiled` step applies it: a grapheme cluster of fewer than 6 bytes whole, else character
 * by character, and from the trie's hits the shortest.
 * @param text any string
 * @param map the model's map
 * @see huggingface/tokenizers issue 2334 for how this departs from SentencePiece
 */
export function mapGraphemes(text: string, map: CharMap): string {
  const encoder = new TextEncoder();
  let result = '';
  for (const { segment } of new Intl.Segmenter('en', { granularity: 'grapheme' }).segment(text)) {
    const bytes = encoder.encode(segment);
    const whole = bytes.length < 6 ? map.shortest(bytes) : undefined;
    if (whole) {
      result += whole.replacement;
      continue;
    }
    for (const character of segment) result += map.shortest(encoder.encode(character))?.replacement ?? character;
  }
  return result;
}

/** How BERT cleans a text. */
export interface BertTextSettings {
  readonly cleanText: boolean;
  readonly spaceChinese: boolean;
  readonly stripAccents: boolean;
  readonly lowerCase: boolean;
}

const CONTROL = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u{FFFD}]/gu;
const KEPT_CONTROL = '\t\n\r';
const CHINESE =
  /[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\u{F900}-\u{FAFF}\u{2F800}-\u{2FA1F}]/gu;

/**
 * BERT's basic clean-up: control characters out, white space to spaces, Chinese characters apart, accents off, lower
 * case; each step where the settings ask for it.
 * @param text any string
 * @param settings the folder's
 */
export function bertText(text: string, settings: BertTextSettings): string {
  let result = text;
  if (settings.cleanText) {
    result = result
      .replace(CONTROL, character => (KEPT_CONTROL.includes(character) ? character : ''))
      .replace(/\p{White_Space}/gu, ' ');
  }
  if (settings.spaceChinese) result = result.replace(CHINESE, ' $& ');
  if (settings.stripAccents) result = result.normalize('NFD').replace(/\p{Mn}/gu, '');
  return settings.lowerCase ? lowerCase(result) : result;
}

class ExactLowercase extends Normalizer {
  override normalize(text: string): string {
    return lowerCase(text);
  }
}

class ExactCharMap extends Normalizer {
  private readonly map: CharMap;

  constructor(config: Normalizer['config'], map: CharMap) {
    super(config);
    this.map = map;
  }

  override normalize(text: string): string {
    return mapGraphemes(text, this.map);
  }
}

class ExactBert extends Normalizer {
  private readonly settings: BertTextSettings;

  constructor(config: Normalizer['config'], settings: BertTextSettings) {
    super(config);
    this.settings = settings;
  }

  override normalize(text: string): string {
    return bertText(text, this.settings);
  }
}

/**
 * Puts the exact steps in the place of the package's approximate ones.
 * @param tokenizer changed in place
 * @param path file that configured it, for messages
 * @returns the same tokenizer
 * @throws InputError for a character map that is damaged
 */
export function withExactNormalizers(tokenizer: Tokenizer, path: string): Tokenizer {
  tokenizer.normalizer = exact(tokenizer.normalizer, path);
  return tokenizer;
}

function exact(normalizer: Normalizer | null, path: string): Normalizer | null {
  if (normalizer instanceof SequenceNormalizer) {
    normalizer.normalizers = normalizer.normalizers.map(step => exact(step, path));
    return normalizer;
  }
  if (normalizer instanceof LowercaseNormalizer) return new ExactLowercase(normalizer.config);
  if (normalizer instanceof PrecompiledNormalizer) {
    const { config } = normalizer;
    if (config.type !== 'Precompiled') return normalizer;
    return new ExactCharMap(config, new CharMap(fromBase64(config.precompiled_charsmap, path), path));
  }
  if (normalizer instanceof BertNormalizer && normalizer.config.type === 'BertNormalizer') {
    const { config } = normalizer;
    const lower = config.lowercase ?? true;
    return new ExactBert(config, {
      cleanText: config.clean_text ?? true,
      spaceChinese: config.handle_chinese_chars ?? true,
      // Not set, or null: accents go where case goes.
      stripAccents: config.strip_accents ?? lower,
      lowerCase: lower,
    });
  }
  return normalizer;
}

function fromBase64(text: string, path: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), character => character.charCodeAt(0));
  } catch (cause) {
    throw new InputError({
      op: 'CharMap',
      problem: 'precompiled_charsmap is not base64',
      path,
      cause,
      fix: 'Download the tokenizer again.',
    });
  }
}
