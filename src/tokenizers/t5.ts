/** T5's tokenizer: from a tokenizer.json, or from spiece.model alone in either of two ways. */

import { checkNames } from '../core/known-names.ts';
import { loadPart } from '../core/load-part.ts';
import type { FolderSource } from '../core/tensor-source.ts';
import { BaseTokenizer } from './base.ts';
import { maxLengthOf, TokenizerFiles } from './files.ts';
import { PackageEngine } from './package-engine.ts';
import { readSpecialTokens, type SpecialTokens } from './special-tokens.ts';

const OP = 'T5Tokenizer';

/**
 * `'fast'`: the steps that tokenizer.json states (made up from spiece.model where there is none): spaces at the end of a
 * text may give an id of their own. `'sentencepiece'`: what the SentencePiece library does with spiece.model.
 */
export type T5Mode = 'fast' | 'sentencepiece';

/** How `T5Tokenizer.fromFolder` reads a folder. */
export interface T5TokenizerOptions {
  /** Default `'fast'`, as transformers' AutoTokenizer. */
  readonly mode?: T5Mode;
}

/** What both modes have. */
interface Engine {
  textIds(text: string, splitSpecialTokens: boolean): number[];
  join(ids: readonly number[], skipSpecialTokens: boolean): string;
  tokenId(token: string): number | undefined;
}

/**
 * Text to the ids of T5: [...pieces, end]; neither truncated nor padded unless asked to.
 * The extra ids stand at the end of the vocabulary, in falling order: `<extra_id_0>` is the last.
 * @see Raffel et al. 2020, section 3.1; transformers `T5Tokenizer`, `T5TokenizerFast`
 */
export class T5Tokenizer extends BaseTokenizer {
  /** Which of the two ways it tokenises. */
  readonly mode: T5Mode;
  /** The id that fills short rows: 0. */
  readonly padId: number;
  /** The id of `</s>`, behind every text: 1. */
  readonly endId: number;
  /** Longest row; 512 where the folder says so, else Infinity. */
  readonly modelMaxLength: number;
  protected readonly op: string = OP;
  protected readonly defaults = { truncation: false, padding: false } as const;
  protected readonly cleanUpByDefault: boolean;
  private readonly engine: Engine;

  private constructor(engine: Engine, mode: T5Mode, special: SpecialTokens, files: TokenizerFiles) {
    super();
    this.engine = engine;
    this.mode = mode;
    const idOf = (token: string): number => {
      const id = engine.tokenId(token);
      if (id !== undefined) return id;
      throw files.damaged('tokenizer', 'without a token that the folder names', { expected: token });
    };
    this.padId = idOf(special.roles.pad ?? '<pad>');
    this.endId = idOf(special.roles.eos ?? '</s>');
    this.modelMaxLength = maxLengthOf(special.config, Number.POSITIVE_INFINITY);
    this.cleanUpByDefault = special.config['clean_up_tokenization_spaces'] === true;
  }

  /**
   * Reads a tokenizer.
   * @param folder a model folder
   * @param path the tokenizer's subfolder; `''` (default) where the folder holds the files itself
   * @param options which way to tokenise
   * @returns the tokenizer
   * @throws InputError for missing or damaged files
   */
  static async fromFolder(folder: FolderSource, path = '', options: T5TokenizerOptions = {}): Promise<T5Tokenizer> {
    checkNames(`${OP}.fromFolder`, options, ['mode']);
    const files = new TokenizerFiles(OP, folder, path);
    const special = await readSpecialTokens(files, { eos: '</s>', unk: '<unk>', pad: '<pad>' });
    const hasJson = await files.has('tokenizer.json');
    const mode = options.mode ?? 'fast';
    if (mode === 'fast' && hasJson) {
      const engine = new PackageEngine(await files.json('tokenizer.json'), files, 'tokenizer.json');
      return new T5Tokenizer(engine, mode, special, files);
    }
    if (!(await files.has('spiece.model'))) {
      throw files.missing(mode === 'fast' ? 'tokenizer.json or spiece.model' : 'spiece.model');
    }
    const { sentencePieceEngine } = await loadPart('the reader of spiece.model', () => import('./t5-sentencepiece.ts'));
    return new T5Tokenizer(await sentencePieceEngine(files, special, mode), mode, special, files);
  }

  /** Id of one token as the vocabulary spells it; undefined where there is none. */
  override tokenId(token: string): number | undefined {
    return this.engine.tokenId(token);
  }

  protected override textIds(text: string, splitSpecialTokens: boolean): number[] {
    return this.engine.textIds(text, splitSpecialTokens);
  }

  protected override marks(textIds: readonly number[]): { before: readonly number[]; after: readonly number[] } {
    // The class on top of the SentencePiece library adds no second end mark to a text that has one.
    const ended = this.mode === 'sentencepiece' && textIds.at(-1) === this.endId;
    return { before: [], after: ended ? [] : [this.endId] };
  }

  protected override join(ids: readonly number[], skipSpecialTokens: boolean): string {
    return this.engine.join(ids, skipSpecialTokens);
  }
}
