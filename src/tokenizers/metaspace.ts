/** The step that writes spaces as ▁, and its way back, as the published tokenizers take their settings. */
import { Decoder, PreTokenizer } from '@huggingface/tokenizers';
import { InputError } from '../core/errors.ts';
import { isObject } from './files.ts';
import { SPACE } from './unigram.ts';

const SCHEMES = ['first', 'never', 'always'] as const;

/** Settings of a Metaspace step. */
interface MetaspaceSettings {
  readonly replacement: string;
  /** Which stretches of text between added tokens get a ▁ in front. */
  readonly scheme: (typeof SCHEMES)[number];
  /** Words are segmented one by one. */
  readonly split: boolean;
}

/**
 * Reads the settings.
 * @param json the step in tokenizer.json
 * @param path the file, for messages
 * @throws InputError for settings that the published tokenizers refuse too
 */
function metaspaceSettings(json: unknown, path: string): MetaspaceSettings {
  const step = isObject(json) ? json : {};
  const { replacement = SPACE, prepend_scheme: named = 'always', split, add_prefix_space: prefix } = step;
  const scheme = SCHEMES.find(known => known === named);
  const oneCharacter = typeof replacement === 'string' && Array.from(replacement).length === 1;
  if (scheme && oneCharacter && !(prefix === false && scheme !== 'never')) {
    return { replacement, scheme, split: split !== false };
  }
  throw new InputError({
    op: 'Metaspace',
    problem: 'settings that do not fit together',
    expected: `a replacement of one character; prepend_scheme ${SCHEMES.join(', ')}, never without add_prefix_space`,
    received: step,
    path,
  });
}

/** What of `PreTokenizer` says which stretch of text between added tokens it is. */
type Section = { readonly section_index?: number } | undefined;

/** Text to words that begin with ▁. */
export class ExactMetaspace extends PreTokenizer {
  private readonly settings: MetaspaceSettings;

  /** @throws InputError for settings that the published tokenizers refuse too */
  constructor(json: unknown, path: string) {
    super();
    this.settings = metaspaceSettings(json, path);
  }

  override pre_tokenize(text: string | string[], options?: Section): string[] {
    const parts = typeof text === 'string' ? [text] : text;
    const { scheme } = this.settings;
    const first = options?.section_index === 0;
    return parts.flatMap((part, i) =>
      this.words(part, scheme === 'always' || (scheme === 'first' && first && i === 0)),
    );
  }

  override pre_tokenize_text(text: string, options?: Section): string[] {
    return this.pre_tokenize(text, options);
  }

  private words(text: string, prefixed: boolean): string[] {
    const { replacement, split } = this.settings;
    const marked = text.replaceAll(' ', replacement);
    const whole = prefixed && !marked.startsWith(replacement) ? replacement + marked : marked;
    if (!split) return [whole];
    const [before, ...words] = whole.split(replacement);
    return [...(before ? [before] : []), ...words.map(word => replacement + word)];
  }
}

/** Words to text: ▁ is a space, but for those of the first word where a ▁ was put in front. */
export class ExactMetaspaceDecoder extends Decoder {
  private readonly settings: MetaspaceSettings;

  /** @throws InputError for settings that the published tokenizers refuse too */
  constructor(config: Decoder['config'], path: string) {
    super(config);
    this.settings = metaspaceSettings(config, path);
  }

  override decode_chain(tokens: string[]): string[] {
    const { replacement, scheme } = this.settings;
    return tokens.map((token, i) => token.replaceAll(replacement, i === 0 && scheme !== 'never' ? '' : ' '));
  }
}
