/** CLIP's byte-level BPE, as Stable Diffusion folders ship it: vocab.json and merges.txt, or a tokenizer.json. */
import { InputError } from '../core/errors.ts';
import { checkNames } from '../core/known-names.ts';
import type { FolderSource } from '../core/tensor-source.ts';
import { BaseTokenizer } from './base.ts';
import type { JsonObject } from './files.ts';
import { isObject, maxLengthOf, TokenizerFiles } from './files.ts';
import { PYTHON_SPACES } from './normalizers.ts';
import { PackageEngine } from './package-engine.ts';
import { SlowClipEngine } from './slow-clip-engine.ts';
import { type AddedToken, addedToken, numberTokens, readSpecialTokens, type SpecialTokens } from './special-tokens.ts';

const OP = 'ClipTokenizer';
const START = '<|startoftext|>';
const END = '<|endoftext|>';
/** Merges that the model's vocabulary was built from; the published list goes on beyond them. */
const MERGES = 49152 - 256 - 2;
/** Contractions, words, single digits, and runs of anything else; what lies between is dropped. */
const PIECES = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
const ENDS = new RegExp(`^${PYTHON_SPACES}|${PYTHON_SPACES}$`, 'gu');

/**
 * Which of transformers' two classes is followed. `'fast'`: NFC, white space, lower case; added tokens in any case.
 * `'slow'`, which diffusers loads for folders that name `CLIPTokenizer` (without ftfy): control and zero-width characters
 * vanish, CJK ideographs stand apart, added tokens are found in their own case only.
 */
export type ClipMode = 'fast' | 'slow';

/** How `ClipTokenizer.fromFolder` reads a folder. */
export interface ClipTokenizerOptions {
  /** Default `'fast'`, as transformers' AutoTokenizer. */
  readonly mode?: ClipMode;
}

/** What both modes have. */
type Engine = Pick<PackageEngine, 'textIds' | 'join' | 'tokens' | 'tokenId'>;

interface ClipParts {
  readonly vocab: Readonly<Record<string, number>>;
  readonly merges: readonly (readonly [string, string])[];
  readonly special: SpecialTokens;
  readonly files: TokenizerFiles;
}

/**
 * Text to the ids of CLIP's text encoder: [start, ...pieces, end, pad...].
 * Pieces are lower case; "!" counts as padding wherever a folder pads with it (Stable Diffusion 2.x).
 * @see Radford et al. 2021; transformers `CLIPTokenizer`, `CLIPTokenizerFast`
 */
export class ClipTokenizer extends BaseTokenizer {
  /** Which of the two classes it follows. */
  readonly mode: ClipMode;
  /** The id that fills short rows: that of "!" in Stable Diffusion 2.x, the end mark in 1.x. */
  readonly padId: number;
  /** The id of `<|startoftext|>`, first in every row. */
  readonly startId: number;
  /** The id of `<|endoftext|>`, behind every text. */
  readonly endId: number;
  /** Longest row that the model takes: 77. */
  readonly modelMaxLength: number;
  protected readonly op: string = OP;
  protected readonly defaults = { truncation: true, padding: 'maxLength' } as const;
  protected readonly cleanUpByDefault: boolean;
  private readonly parts: ClipParts;
  private engine: Engine;
  /** Of the slow class: what every engine shares. */
  private pieces: SlowClipEngine | undefined;
  private ownTokens: readonly AddedToken[] = [];
  private added: ReadonlySet<string> = new Set();

  private constructor(parts: ClipParts, mode: ClipMode) {
    super();
    this.parts = parts;
    this.mode = mode;
    const { config, roles } = parts.special;
    this.engine = this.build();
    this.startId = this.idOf(roles.bos ?? START);
    this.endId = this.idOf(roles.eos ?? END);
    this.padId = this.idOf(roles.pad ?? END);
    this.modelMaxLength = maxLengthOf(config, 77);
    this.cleanUpByDefault = config['clean_up_tokenization_spaces'] === true;
  }

  /**
   * Reads a tokenizer.
   * @param folder a model folder
   * @param path the tokenizer's subfolder; `''` where the folder holds the files itself
   * @param options which class to follow
   * @returns the tokenizer, with rows of `model_max_length` (77) ids, truncated and padded unless asked otherwise
   * @throws InputError for missing or damaged files
   */
  static async fromFolder(
    folder: FolderSource,
    path = 'tokenizer',
    options: ClipTokenizerOptions = {},
  ): Promise<ClipTokenizer> {
    checkNames(`${OP}.fromFolder`, options, ['mode']);
    const { mode = 'fast' } = options;
    const files = new TokenizerFiles(OP, folder, path);
    const special = await readSpecialTokens(files, { bos: START, eos: END, unk: END, pad: END }, ['bos', 'eos', 'unk']);
    if ((await files.has('vocab.json')) && (await files.has('merges.txt'))) {
      const vocab = checkVocab(await files.json('vocab.json'), 'vocab.json', files);
      const merges = parseMerges(await files.text('merges.txt'), files);
      return new ClipTokenizer({ vocab, merges, special, files }, mode);
    }
    if (await files.has('tokenizer.json')) {
      return new ClipTokenizer(readJson(await files.json('tokenizer.json'), special, files), mode);
    }
    throw files.missing('vocab.json and merges.txt, or tokenizer.json');
  }

  /**
   * Adds tokens, as textual inversion embeddings need them: `<cat>`, and `<cat>_1`, `<cat>_2`... for further vectors.
   * @param names one token each
   * @returns their ids, new ones from the end of the vocabulary on; a name that is there already keeps its id
   * @throws InputError for an empty name
   */
  addTokens(names: readonly string[]): number[] {
    const more = new Map<string, AddedToken>();
    for (const name of names) {
      const token = addedToken(name, false);
      if (!token) {
        throw new InputError({
          op: `${OP}.addTokens`,
          problem: 'a token without characters',
          received: JSON.stringify(names),
        });
      }
      if (this.tokenId(name) === undefined) more.set(name, token);
    }
    this.setOwn([...this.ownTokens, ...more.values()]);
    return names.map(name => this.idOf(name));
  }

  /**
   * Takes tokens away that `addTokens` gave; the ids of those that came after them move up.
   * @param names one token each; others are passed over
   */
  removeTokens(names: readonly string[]): void {
    this.setOwn(this.ownTokens.filter(token => !names.includes(token.content)));
  }

  /**
   * Writes all tokens of a textual inversion of several vectors: "tok" becomes "tok tok_1 tok_2", as far as they exist.
   * @param prompt may hold added tokens
   * @returns the prompt to encode
   * @see diffusers `TextualInversionLoaderMixin.maybe_convert_prompt`
   */
  expandTokens(prompt: string): string {
    let result = prompt;
    for (const token of new Set(this.engine.tokens(prompt))) {
      if (!this.added.has(token)) continue;
      let all = token;
      for (let i = 1; this.added.has(`${token}_${i}`); i++) all += ` ${token}_${i}`;
      if (all !== token) result = result.replaceAll(token, () => all);
    }
    return result;
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
    const text = this.engine.join(ids, skipSpecialTokens);
    return this.mode === 'slow' ? text : text.replace(ENDS, '');
  }

  private setOwn(tokens: readonly AddedToken[]): void {
    if (tokens.length === this.ownTokens.length) return; // nothing was added, or nothing taken away
    this.ownTokens = tokens;
    this.engine = this.build();
  }

  private build(): Engine {
    const { vocab, merges, special, files } = this.parts;
    const ids = new Map(Object.entries(vocab));
    const next = Math.max(-1, ...ids.values()) + 1;
    const added = numberTokens([...special.tokens, ...this.ownTokens], content => ids.get(content), next);
    this.added = new Set(added.map(token => token.content));
    const unknown = special.roles.unk ?? END;
    if (this.mode === 'slow') {
      this.pieces ??= SlowClipEngine.of(vocab, merges, unknown);
      return this.pieces.with(added);
    }
    const json = {
      added_tokens: added,
      normalizer: {
        type: 'Sequence',
        normalizers: [
          { type: 'NFC' },
          { type: 'Replace', pattern: { Regex: '\\p{White_Space}+' }, content: ' ' },
          { type: 'Lowercase' },
        ],
      },
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          { type: 'Split', pattern: { Regex: PIECES }, behavior: 'Removed', invert: true },
          { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
        ],
      },
      decoder: { type: 'ByteLevel' },
      model: { type: 'BPE', vocab, merges, unk_token: unknown, end_of_word_suffix: '</w>' },
    };
    return new PackageEngine(json, files, 'vocab.json');
  }

  private idOf(token: string): number {
    const id = this.tokenId(token);
    if (id !== undefined) return id;
    throw this.parts.files.damaged('vocab.json', 'without a token that the folder names', { expected: token });
  }
}

function checkVocab(vocab: JsonObject, name: string, files: TokenizerFiles): Readonly<Record<string, number>> {
  for (const [token, id] of Object.entries(vocab)) {
    if (typeof id === 'number' && Number.isInteger(id) && id >= 0) continue;
    throw files.damaged(name, `no vocabulary: the id of ${JSON.stringify(token)} is wrong`, {
      expected: 'an integer from 0',
      received: JSON.stringify(id),
    });
  }
  return vocab as Readonly<Record<string, number>>;
}

function parseMerges(text: string, files: TokenizerFiles): (readonly [string, string])[] {
  const lines = text.trim().split(/\r?\n/);
  const first = lines[0]?.startsWith('#version') ? 1 : 0;
  return lines.slice(first, first + MERGES).map((line, i) => mergeOf(line.trim().split(/\s+/), first + i + 1, files));
}

function mergeOf(parts: readonly string[], line: number, files: TokenizerFiles): readonly [string, string] {
  const [left, right] = parts;
  if (parts.length === 2 && left && right) return [left, right];
  throw files.damaged('merges.txt', `no list of merges at line ${line}`, {
    expected: 'two symbols',
    received: parts.join(' '),
  });
}

function readJson(json: JsonObject, special: SpecialTokens, files: TokenizerFiles): ClipParts {
  const model = json['model'];
  if (!isObject(model) || model['type'] !== 'BPE' || model['end_of_word_suffix'] !== '</w>') {
    throw files.damaged('tokenizer.json', 'no CLIP tokenizer', {
      expected: 'model.type BPE with end_of_word_suffix </w>',
      received: isObject(model) ? { type: model['type'], end_of_word_suffix: model['end_of_word_suffix'] } : model,
    });
  }
  const { vocab, merges } = model;
  if (!isObject(vocab) || !Array.isArray(merges)) {
    throw files.damaged('tokenizer.json', 'without model.vocab or model.merges');
  }
  const pairs = merges.map((merge: unknown, i) =>
    mergeOf(Array.isArray(merge) ? merge.map(String) : String(merge).split(' '), i + 1, files),
  );
  const listed = (Array.isArray(json['added_tokens']) ? json['added_tokens'] : []).flatMap((settings: unknown) => {
    const token = addedToken(settings, false);
    return token ? [token] : [];
  });
  // The file itself knows best how its tokens are found in a text; the folder may name more of them.
  const contents = new Set(listed.map(token => token.content));
  const tokens = [...listed, ...special.tokens.filter(token => !contents.has(token.content))];
  return {
    vocab: checkVocab(vocab, 'tokenizer.json', files),
    merges: pairs,
    special: { ...special, tokens },
    files,
  };
}
