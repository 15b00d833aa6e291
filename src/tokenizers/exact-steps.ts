/** Takes steps of the package's tokenizers out and puts steps in that agree with the published ones to the character. */
import type { Tokenizer } from '@huggingface/tokenizers';
import {
  BertNormalizer,
  Decoder,
  LowercaseNormalizer,
  MetaspaceDecoder,
  MetaspacePreTokenizer,
  Normalizer,
  PrecompiledNormalizer,
  PreTokenizer,
  SequenceDecoder,
  SequenceNormalizer,
  SequencePreTokenizer,
  StripNormalizer,
  WhitespaceSplitPreTokenizer,
  WordPieceDecoder,
} from '@huggingface/tokenizers';
import { InputError } from '../core/errors.ts';
import { cleanUp } from './base.ts';
import { CharMap } from './char-map.ts';
import { isObject, type JsonObject } from './files.ts';
import { ExactMetaspace, ExactMetaspaceDecoder } from './metaspace.ts';
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

/** Word pieces to text; the clean-up looks at each word by itself, with the space before it. */
class ExactWordPieceDecoder extends Decoder {
  override decode_chain(tokens: string[]): string[] {
    const { config } = this;
    if (config.type !== 'WordPiece') return tokens;
    const { prefix = '##', cleanup = true } = config;
    const words = tokens.map((token, i) => {
      if (i === 0) return token;
      return token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
    });
    return cleanup ? words.map(tidied) : words;
  }
}

/** The clean-up of the published decoder, which contracts one expression more than that of whole texts. */
function tidied(word: string): string {
  return cleanUp(word.replaceAll(' do not', " don't"));
}

/**
 * Puts the exact steps in the place of the package's approximate ones.
 * @param tokenizer changed in place
 * @param json what it was built from
 * @param path file that configured it, for messages
 * @returns the same tokenizer
 * @throws InputError for a character map that is damaged, and for settings that do not fit together
 */
export function withExactSteps(tokenizer: Tokenizer, json: JsonObject, path: string): Tokenizer {
  tokenizer.normalizer = exact(tokenizer.normalizer, path);
  tokenizer.pre_tokenizer = exactSplit(tokenizer.pre_tokenizer, json['pre_tokenizer'], path);
  tokenizer.decoder = exactDecoder(tokenizer.decoder, path);
  const { model } = tokenizer;
  const whole = model?._call.bind(model);
  // Neighbouring unknown characters share an id inside a word, never across words.
  if (model && whole) model._call = words => words.flatMap(word => whole([word]));
  return tokenizer;
}

function exactSplit(step: PreTokenizer | null, json: unknown, path: string): PreTokenizer | null {
  if (step instanceof SequencePreTokenizer) {
    const listed = isObject(json) ? json['pretokenizers'] : undefined;
    const steps: readonly unknown[] = Array.isArray(listed) ? listed : [];
    step.tokenizers = step.tokenizers.map((one, i) => exactSplit(one, steps[i], path));
  }
  if (step instanceof MetaspacePreTokenizer) return new ExactMetaspace(json, path);
  return step instanceof WhitespaceSplitPreTokenizer ? new ExactWhitespaceSplit() : step;
}

function exactDecoder<T extends Decoder | null>(step: T, path: string): T | Decoder {
  if (step instanceof SequenceDecoder) step.decoders = step.decoders.map(one => exactDecoder(one, path));
  if (step instanceof MetaspaceDecoder) return new ExactMetaspaceDecoder(step.config, path);
  return step instanceof WordPieceDecoder ? new ExactWordPieceDecoder(step.config) : step;
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
