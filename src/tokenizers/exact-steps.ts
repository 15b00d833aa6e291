/** Takes steps of the package's tokenizers out and puts steps in that agree with the published ones to the character. */
import type { Tokenizer } from '@huggingface/tokenizers';
import {
  BertNormalizer,
  LowercaseNormalizer,
  Normalizer,
  PrecompiledNormalizer,
  PreTokenizer,
  SequenceNormalizer,
  SequencePreTokenizer,
  StripNormalizer,
  WhitespaceSplitPreTokenizer,
} from '@huggingface/tokenizers';
import { InputError } from '../core/errors.ts';
import { CharMap } from './char-map.ts';
import { type BertTextSettings, bertText, lowerCase, mapGraphemes, trimEnd, trimStart } from './normalizers.ts';

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

class ExactStrip extends Normalizer {
  override normalize(text: string): string {
    if (this.config.type !== 'Strip') return text;
    const left = this.config.strip_left ? trimStart(text) : text;
    return this.config.strip_right ? trimEnd(left) : left;
  }
}

class ExactWhitespaceSplit extends PreTokenizer {
  override pre_tokenize_text(text: string): string[] {
    return text.split(/\p{White_Space}+/u).filter(word => word !== '');
  }
}

/**
 * Puts the exact steps in the place of the package's approximate ones.
 * @param tokenizer changed in place
 * @param path file that configured it, for messages
 * @returns the same tokenizer
 * @throws InputError for a character map that is damaged
 */
export function withExactSteps(tokenizer: Tokenizer, path: string): Tokenizer {
  tokenizer.normalizer = exact(tokenizer.normalizer, path);
  tokenizer.pre_tokenizer = exactSplit(tokenizer.pre_tokenizer);
  return tokenizer;
}

function exactSplit(step: PreTokenizer | null): PreTokenizer | null {
  if (step instanceof SequencePreTokenizer) step.tokenizers = step.tokenizers.map(exactSplit);
  return step instanceof WhitespaceSplitPreTokenizer ? new ExactWhitespaceSplit() : step;
}

function exact(normalizer: Normalizer | null, path: string): Normalizer | null {
  if (normalizer instanceof SequenceNormalizer) {
    normalizer.normalizers = normalizer.normalizers.map(step => exact(step, path));
    return normalizer;
  }
  if (normalizer instanceof LowercaseNormalizer) return new ExactLowercase(normalizer.config);
  if (normalizer instanceof StripNormalizer) return new ExactStrip(normalizer.config);
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
