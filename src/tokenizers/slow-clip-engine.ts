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

/** What the engine is made of. */
export interface SlowClipParts {
  /** Ids of pieces. */
  readonly vocab: Readonly<Record<string, number>>;
  /** Pairs of symbols in the order in which they are joined. */
  readonly merges: readonly (readonly [string, string])[];
  /** Special and added tokens. */
  readonly tokens: readonly NumberedToken[];
  /** What stands for a piece that the vocabulary lacks. */
  readonly unknown: string;
}

/** The slow class's own splitting and joining; the face is that of PackageEngine. */
export class SlowClipEngine {
  readonly #parts: SlowClipParts;
  readonly #bpe: BPE;
  readonly #bytes = new ByteLevelPreTokenizer({ type: 'ByteLevel', add_prefix_space: false, use_regex: false });
  readonly #text = new ByteLevelDecoder({ type: 'ByteLevel' });
  readonly #byContent: ReadonlyMap<string, NumberedToken>;
  readonly #byId: ReadonlyMap<number, NumberedToken>;
  readonly #pieces: ReadonlyMap<number, string>;
  readonly #splitter: RegExp | undefined;

  /** @param parts contents of a folder's tokenizer */
  constructor(parts: SlowClipParts) {
    this.#parts = parts;
    const { vocab, merges, tokens, unknown } = parts;
    const pairs = merges.map(([left, right]): [string, string] => [left, right]);
    const model = { type: 'BPE', vocab: { ...vocab }, merges: pairs, unk_token: unknown, end_of_word_suffix: '</w>' };
    this.#bpe = new BPE(model as ConstructorParameters<typeof BPE>[0]);
    this.#byContent = new Map(tokens.map(token => [token.content, token]));
    this.#byId = new Map(tokens.map(token => [token.id, token]));
    this.#pieces = new Map(Object.entries(vocab).map(([piece, id]) => [id, piece]));
    const longestFirst = [...this.#byContent.keys()].sort((a, b) => b.length - a.length);
    const any = longestFirst.map(content => content.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|');
    this.#splitter = any === '' ? undefined : new RegExp(`(${any})`, 'u');
  }

  /** Ids of a text, without marks. */
  textIds(text: string, splitSpecialTokens: boolean): number[] {
    const tokens = splitSpecialTokens ? this.#piecesOf(text) : this.tokens(text);
    const unknown = this.tokenId(this.#parts.unknown) ?? 0;
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
      const piece = token?.content ?? this.#pieces.get(id);
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
    const { vocab } = this.#parts;
    return this.#byContent.get(token)?.id ?? (Object.hasOwn(vocab, token) ? vocab[token] : undefined);
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
    return pieces.flatMap(piece => (MARKS.has(piece) ? [piece] : this.#bpe.bpe(this.#bytesOf(piece))));
  }

  #bytesOf(piece: string): string {
    return this.#bytes.pre_tokenize_text(piece).join('');
  }
}
