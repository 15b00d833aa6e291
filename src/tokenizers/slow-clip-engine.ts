/**
 * CLIP's tokens as transformers' slow class makes them where ftfy is not installed, which is what diffusers loads for
 * folders that name `CLIPTokenizer`: BERT's basic clean-up instead of NFC and lower case alone, and added tokens that are
 * sought in the text as it was given, in their own case.
 */
import { BPE, ByteLevelDecoder, ByteLevelPreTokenizer } from '@huggingface/tokenizers';
import { clipWords, PYTHON_SPACES } from './normalizers.ts';
import type { NumberedToken } from './special-tokens.ts';

/**
 * The pieces of a cleaned text: marks in any case, contractions, words, single digits, runs of anything else. The original
 * ignores case after it has made the text lower case, so that only the long s is left to meet its "s"; and the iota below,
 * whose capital is a letter, is in no class at all.
 */
const PIECES =
  /<\|[sſ]tartoftext\|>|<\|endoftext\|>|'[sſ]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|(?:(?!\u0345)[^\s\p{L}\p{N}])+/gu;
/** They stay whole where a piece is exactly one of them. */
const MARKS: ReadonlySet<string> = new Set(['<|startoftext|>', '<|endoftext|>']);
const START = new RegExp(`^${PYTHON_SPACES}`, 'u');
const END = new RegExp(`${PYTHON_SPACES}$`, 'u');

/** What stays the same whatever tokens are added. */
interface Pieces {
  readonly bpe: BPE;
  readonly ids: ReadonlyMap<string, number>;
  readonly byId: ReadonlyMap<number, string>;
  /** What stands for a piece that the vocabulary lacks. */
  readonly unknown: string;
}

/** The slow class's own splitting and joining; the face is that of PackageEngine. */
export class SlowClipEngine {
  readonly #pieces: Pieces;
  readonly #bytes = new ByteLevelPreTokenizer({ type: 'ByteLevel', add_prefix_space: false, use_regex: false });
  readonly #text = new ByteLevelDecoder({ type: 'ByteLevel' });
  readonly #byContent: ReadonlyMap<string, NumberedToken>;
  readonly #byId: ReadonlyMap<number, NumberedToken>;
  readonly #splitter: RegExp | undefined;

  private constructor(pieces: Pieces, tokens: readonly NumberedToken[]) {
    this.#pieces = pieces;
    this.#byContent = new Map(tokens.map(token => [token.content, token]));
    this.#byId = new Map(tokens.map(token => [token.id, token]));
    const longestFirst = [...this.#byContent.keys()].sort((a, b) => b.length - a.length);
    const any = longestFirst.map(content => content.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|');
    this.#splitter = any === '' ? undefined : new RegExp(`(${any})`, 'u');
  }

  /**
   * An engine without tokens of its own.
   * @param vocab ids of pieces
   * @param merges pairs of symbols in the order in which they are joined
   * @param unknown what stands for a piece that the vocabulary lacks
   */
  static of(
    vocab: Readonly<Record<string, number>>,
    merges: readonly (readonly [string, string])[],
    unknown: string,
  ): SlowClipEngine {
    const entries = Object.entries(vocab);
    const pairs = merges.map(([left, right]): [string, string] => [left, right]);
    const model = { type: 'BPE', vocab: { ...vocab }, merges: pairs, unk_token: unknown, end_of_word_suffix: '</w>' };
    const bpe = new BPE(model as ConstructorParameters<typeof BPE>[0]);
    return new SlowClipEngine(
      { bpe, ids: new Map(entries), byId: new Map(entries.map(([piece, id]) => [id, piece])), unknown },
      [],
    );
  }

  /** The same pieces with these special and added tokens. */
  with(tokens: readonly NumberedToken[]): SlowClipEngine {
    return new SlowClipEngine(this.#pieces, tokens);
  }

  /** Ids of a text, without marks. */
  textIds(text: string, splitSpecialTokens: boolean): number[] {
    const tokens = splitSpecialTokens ? this.#piecesOf(text) : this.tokens(text);
    const unknown = this.tokenId(this.#pieces.unknown) ?? 0;
    return tokens.map(token => this.tokenId(token) ?? unknown);
  }

  /** Tokens of a text as the vocabulary spells them, without marks. */
  tokens(text: string): string[] {
    return this.#sections(text).flatMap(section => {
      if (section === '') return [];
      return this.#byContent.has(section) ? [section] : this.#piecesOf(section);
    });
  }

  /** Text of the ids that the vocabulary knows: added tokens apart, everything else as its bytes say. */
  join(ids: readonly number[], skipSpecialTokens: boolean): string {
    const texts: string[] = [];
    let run: string[] = [];
    const end = (last: boolean): void => {
      const text = this.#text.convert_tokens_to_string(run).replaceAll('</w>', ' ').replace(START, '').replace(END, '');
      if (text !== '' || (last && run.length > 0)) texts.push(text);
      run = [];
    };
    for (const id of ids) {
      const token = this.#byId.get(id);
      if (token?.special && skipSpecialTokens) continue;
      const piece = token?.content ?? this.#pieces.byId.get(id);
      if (token && !token.special) {
        end(false);
        texts.push(token.content);
      } else if (piece !== undefined) run.push(piece);
    }
    end(true);
    return texts.join(' ');
  }

  /** Id of one token as the vocabulary spells it; undefined where there is none. */
  tokenId(token: string): number | undefined {
    return this.#byContent.get(token)?.id ?? this.#pieces.ids.get(token);
  }

  /** Stretches of text, and the tokens among them with what their settings do to their neighbours. */
  #sections(text: string): string[] {
    if (!this.#splitter) return [text];
    const sections = text.split(this.#splitter).filter(section => section !== '');
    for (const [i, section] of sections.entries()) {
      const token = this.#byContent.get(section);
      if (!token) continue;
      const [left, right] = [sections[i - 1], sections[i + 1]];
      if (token.rstrip && right) sections[i + 1] = right.replace(START, '');
      if (token.lstrip && left) sections[i - 1] = left.replace(END, '');
      if (!token.single_word) continue;
      if (left && !left.endsWith(' ')) {
        sections[i - 1] += section;
        sections[i] = '';
      } else if (right && !right.startsWith(' ')) {
        sections[i + 1] = section + sections[i + 1];
        sections[i] = '';
      }
    }
    return sections;
  }

  #piecesOf(text: string): string[] {
    const pieces = clipWords(text).join(' ').match(PIECES) ?? [];
    return pieces.flatMap(piece => (MARKS.has(piece) ? [piece] : this.#pieces.bpe.bpe(this.#bytesOf(piece))));
  }

  #bytesOf(piece: string): string {
    return this.#bytes.pre_tokenize_text(piece).join('');
  }
}
