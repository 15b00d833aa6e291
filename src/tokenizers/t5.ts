/** T5's tokenizer: from a tokenizer.json, or from spiece.model alone in either of two ways. */
import { checkNames } from '../core/known-names.ts';
import type { FolderSource } from '../core/tensor-source.ts';
import { BaseTokenizer } from './base.ts';
import { type JsonObject, maxLengthOf, TokenizerFiles } from './files.ts';
import { PackageEngine } from './package-engine.ts';
import { SentencePieceEngine } from './sentencepiece-engine.ts';
import { parseSentencePieceModel, type SentencePieceModel } from './sentencepiece-model.ts';
import { numberTokens, readSpecialTokens, type SpecialTokens } from './special-tokens.ts';
import { SPACE, Unigram } from './unigram.ts';

const OP = 'T5Tokenizer';
const EXTRA_IDS = 100;

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
    const modelPath = `${files.label}/spiece.model`;
    const model = parseSentencePieceModel(await files.bytes('spiece.model'), modelPath);
    const tokens = withExtraIds(special, model);
    const legacy = special.config['legacy'] !== false;
    if (mode === 'sentencepiece') {
      const engine = new SentencePieceEngine(new Unigram(model, modelPath), model.pieces.length, tokens, legacy);
      return new T5Tokenizer(engine, mode, special, files);
    }
    const engine = new PackageEngine(toTokenizerJson(model, tokens, legacy), files, 'spiece.model');
    return new T5Tokenizer(engine, mode, special, files);
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

/** The special tokens of the folder and its extra ids, numbered. */
function withExtraIds(special: SpecialTokens, model: SentencePieceModel): ReturnType<typeof numberTokens> {
  const given = special.config['extra_ids'];
  const count = typeof given === 'number' ? given : EXTRA_IDS;
  const named = new Map(special.tokens.map(token => [token.content, token]));
  const extra = Array.from({ length: count }, (_, i) => {
    const content = `<extra_id_${i}>`;
    const flags = { lstrip: true, rstrip: true, normalized: false, single_word: false, special: true };
    const id = model.pieces.length + count - 1 - i;
    named.delete(content);
    return { ...flags, ...special.tokens.find(token => token.content === content), content, id, special: true };
  });
  const ids = new Map(model.pieces.map((piece, id) => [piece.text, id]));
  return numberTokens([...named.values(), ...extra], content => ids.get(content), model.pieces.length + count);
}

/** What transformers turns a spiece.model into for its fast class. */
function toTokenizerJson(
  model: SentencePieceModel,
  tokens: ReturnType<typeof numberTokens>,
  legacy: boolean,
): JsonObject {
  const metaspace = { type: 'Metaspace', replacement: SPACE, prepend_scheme: legacy ? 'always' : 'first', split: true };
  const vocab: [string, number][] = model.pieces.map(piece => [piece.text, piece.score]);
  for (const token of [...tokens].sort((a, b) => a.id - b.id)) {
    if (token.id >= model.pieces.length) vocab[token.id] = [token.content, 0];
  }
  const map = { type: 'Precompiled', precompiled_charsmap: toBase64(model.charMap) };
  return {
    added_tokens: tokens,
    normalizer: {
      type: 'Sequence',
      normalizers: [
        ...(model.charMap.length > 0 ? [map] : []),
        { type: 'Strip', strip_left: false, strip_right: true },
        { type: 'Replace', pattern: { Regex: ' {2,}' }, content: SPACE },
      ],
    },
    pre_tokenizer: metaspace,
    decoder: metaspace,
    model: { type: 'Unigram', unk_id: model.unkId, vocab },
  };
}

function toBase64(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
