/** BERT's WordPiece, from vocab.txt or a tokenizer.json. */
import type { FolderSource } from '../core/tensor-source.ts';
import { BaseTokenizer } from './base.ts';
import { isObject, type JsonObject, maxLengthOf, TokenizerFiles } from './files.ts';
import { PackageEngine } from './package-engine.ts';
import { numberTokens, readSpecialTokens, type SpecialTokens } from './special-tokens.ts';

const OP = 'BertTokenizer';
const ROLES = { unk: '[UNK]', sep: '[SEP]', pad: '[PAD]', cls: '[CLS]', mask: '[MASK]' } as const;

/**
 * Text to the ids of BERT: [CLS, ...word pieces, SEP]; neither truncated nor padded unless asked to.
 * Ids beyond the vocabulary, like BLIP's [DEC], are left out of decoded text.
 * @see Devlin et al. 2019; transformers `BertTokenizerFast`
 */
export class BertTokenizer extends BaseTokenizer {
  /** The id that fills short rows: that of [PAD]. */
  readonly padId: number;
  /** The id of [CLS], first in every row. */
  readonly startId: number;
  /** The id of [SEP], behind every text. */
  readonly endId: number;
  /** Longest row; Infinity where the folder names no limit. */
  readonly modelMaxLength: number;
  protected readonly op: string = OP;
  protected readonly defaults = { truncation: false, padding: false } as const;
  protected readonly cleanUpByDefault: boolean;
  private readonly engine: PackageEngine;

  private constructor(engine: PackageEngine, special: SpecialTokens, files: TokenizerFiles, fromWords: boolean) {
    super();
    this.engine = engine;
    const idOf = (role: keyof typeof ROLES): number => {
      const token = special.roles[role] ?? ROLES[role];
      const id = engine.tokenId(token);
      if (id !== undefined) return id;
      throw files.damaged('vocab.txt', 'without a token that the folder names', { expected: token });
    };
    this.padId = idOf('pad');
    this.startId = idOf('cls');
    this.endId = idOf('sep');
    this.modelMaxLength = maxLengthOf(special.config, Number.POSITIVE_INFINITY);
    const cleanUp = special.config['clean_up_tokenization_spaces'];
    // The class that reads vocab.txt cleans up unless told otherwise, the one that reads tokenizer.json does not.
    this.cleanUpByDefault = typeof cleanUp === 'boolean' ? cleanUp : fromWords;
  }

  /**
   * Reads a tokenizer.
   * @param folder a model folder
   * @param path the tokenizer's subfolder; `''` (default) where the folder holds the files itself
   * @returns the tokenizer
   * @throws InputError for missing or damaged files
   */
  static async fromFolder(folder: FolderSource, path = ''): Promise<BertTokenizer> {
    const files = new TokenizerFiles(OP, folder, path);
    const special = await readSpecialTokens(files, ROLES);
    if (await files.has('tokenizer.json')) {
      const json = withConfig(await files.json('tokenizer.json'), special.config);
      return new BertTokenizer(new PackageEngine(json, files, 'tokenizer.json'), special, files, false);
    }
    if (!(await files.has('vocab.txt'))) throw files.missing('vocab.txt or tokenizer.json');
    const words = (await files.text('vocab.txt')).split(/\r?\n/);
    if (words.at(-1) === '') words.pop();
    const vocab = new Map(words.map((word, id) => [word, id]));
    const unknown = special.roles.unk ?? ROLES.unk;
    if (!vocab.has(unknown)) {
      throw files.damaged('vocab.txt', 'no vocabulary: it lacks the unknown token', { expected: unknown });
    }
    const json = withConfig(
      {
        added_tokens: numberTokens(special.tokens, word => vocab.get(word), words.length),
        normalizer: { type: 'BertNormalizer', clean_text: true },
        pre_tokenizer: { type: 'BertPreTokenizer' },
        decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
        model: {
          type: 'WordPiece',
          unk_token: unknown,
          continuing_subword_prefix: '##',
          max_input_chars_per_word: 100,
          vocab: Object.fromEntries(vocab),
        },
      },
      special.config,
    );
    return new BertTokenizer(new PackageEngine(json, files, 'vocab.txt'), special, files, true);
  }

  /** Id of one token as the vocabulary spells it; undefined where there is none. */
  override tokenId(token: string): number | undefined {
    return this.engine.tokenId(token);
  }

  protected override textIds(text: string, splitSpecialTokens: boolean): number[] {
    return this.engine.textIds(text, splitSpecialTokens);
  }

  protected override marks(): { before: readonly number[]; after: readonly number[] } {
    return { before: [this.startId], after: [this.endId] };
  }

  protected override join(ids: readonly number[], skipSpecialTokens: boolean): string {
    return this.engine.join(ids, skipSpecialTokens);
  }
}

/** The folder's config overrides what the normaliser does to case, accents and Chinese characters. */
function withConfig(json: JsonObject, config: JsonObject): JsonObject {
  const { normalizer } = json;
  if (!isObject(normalizer) || normalizer['type'] !== 'BertNormalizer') return json;
  const named = {
    lowercase: 'do_lower_case',
    strip_accents: 'strip_accents',
    handle_chinese_chars: 'tokenize_chinese_chars',
  };
  const changes = Object.entries(named).filter(([, key]) => config[key] !== undefined);
  return {
    ...json,
    normalizer: { ...normalizer, ...Object.fromEntries(changes.map(([to, key]) => [to, config[key]])) },
  };
}
