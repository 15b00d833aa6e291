/** Unigram segmentation as the SentencePiece library does it: normalise, then the best path through the pieces. */
import { CharMap } from './char-map.ts';
import { PIECE, type SentencePieceModel } from './sentencepiece-model.ts';

/** Stands for a space inside pieces: ▁. */
export const SPACE = '\u2581';
/** What an unknown character costs beyond the unlikeliest piece. */
const UNKNOWN_PENALTY = 10;

interface Node {
  readonly next: Map<string, Node>;
  /** Id of the piece that ends here. */
  id?: number;
}

/**
 * How a text begins: `'prefix'` drops white space and puts ▁ before it, where the model says so; `'bare'` drops white
 * space; `'kept'` leaves white space (as one ▁).
 */
type TextStart = 'prefix' | 'bare' | 'kept';

/**
 * One SentencePiece model.
 * @see Kudo 2018, "Subword Regularization", section 3; Kudo and Richardson 2018
 */
export class Unigram {
  private readonly model: SentencePieceModel;
  private readonly map: CharMap | undefined;
  private readonly root: Node = { next: new Map() };
  private readonly ids: ReadonlyMap<string, number>;
  /** Pieces that the character map must not touch, longest first. */
  private readonly userDefined: readonly string[];
  private readonly unkScore: number;
  private readonly maxScore: number;

  /**
   * @param model parsed file
   * @param path its name, for messages
   */
  constructor(model: SentencePieceModel, path: string) {
    this.model = model;
    this.map = model.charMap.length > 0 ? new CharMap(model.charMap, path) : undefined;
    this.ids = new Map(model.pieces.map((piece, id) => [piece.text, id]));
    let [lowest, highest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const [id, piece] of model.pieces.entries()) {
      if (piece.type === PIECE.normal) {
        lowest = Math.min(lowest, piece.score);
        highest = Math.max(highest, piece.score);
      }
      if (piece.type === PIECE.normal || piece.type === PIECE.userDefined) this.insert(piece.text, id);
    }
    this.unkScore = Math.fround(lowest - UNKNOWN_PENALTY);
    this.maxScore = highest;
    this.userDefined = model.pieces
      .filter(piece => piece.type === PIECE.userDefined)
      .map(piece => piece.text)
      .sort((a, b) => b.length - a.length);
  }

  /** Id of a piece of any kind. */
  pieceId(piece: string): number | undefined {
    return this.ids.get(piece);
  }

  /** Ids of a text; neighbouring unknown characters share one. */
  encode(text: string, start: TextStart = 'prefix'): number[] {
    const path = this.bestPath(Array.from(this.normalize(text, start)));
    return path.filter((id, i) => id !== this.model.unkId || path[i - 1] !== id);
  }

  /** Text of ids: control pieces vanish, unknown ones become the model's sign for them. */
  decode(ids: readonly number[]): string {
    const { pieces, unkSurface, addDummyPrefix, removeExtraWhitespaces } = this.model;
    let text = '';
    let dropSpace = addDummyPrefix || removeExtraWhitespaces;
    for (const id of ids) {
      const piece = pieces[id];
      if (!piece || piece.type === PIECE.control) continue;
      if (piece.type === PIECE.unknown) {
        text += unkSurface;
        continue;
      }
      const startsText = dropSpace && text === '' && piece.text.startsWith(SPACE);
      if (startsText && !removeExtraWhitespaces) dropSpace = false;
      text += (startsText ? piece.text.slice(1) : piece.text).replaceAll(SPACE, ' ');
    }
    return text;
  }

  /**
   * The character map's longest matches, runs of spaces made one, none at the ends, and ▁ for each space.
   * @returns what the pieces are sought in
   */
  normalize(text: string, start: TextStart = 'prefix'): string {
    const trim = this.model.removeExtraWhitespaces;
    let result = '';
    let afterSpace = trim && start !== 'kept';
    for (const part of this.mapped(text)) {
      const kept = afterSpace ? part.replace(/^ +/, '') : part;
      result += kept;
      // A part that vanished leaves the state as it was.
      if (kept !== '') afterSpace = trim && kept.endsWith(' ');
    }
    if (trim) result = result.replace(/[ \u2581]+$/, '');
    const prefix = this.model.addDummyPrefix && start === 'prefix' && result !== '' ? SPACE : '';
    return prefix + result.replaceAll(' ', SPACE);
  }

  private *mapped(text: string): Generator<string> {
    const bytes = new TextEncoder().encode(text);
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    for (let at = 0; at < bytes.length; ) {
      const own = this.userDefined.length > 0 ? this.userDefinedAt(bytes, at) : undefined;
      const match = own === undefined ? this.map?.longest(bytes, at) : undefined;
      const length = own?.length ?? match?.length ?? characterLength(bytes[at] ?? 0);
      yield match?.replacement ?? decoder.decode(bytes.subarray(at, at + length));
      at += length;
    }
  }

  private userDefinedAt(bytes: Uint8Array, at: number): Uint8Array | undefined {
    const encoder = new TextEncoder();
    return this.userDefined
      .map(piece => encoder.encode(piece))
      .find(piece => piece.every((byte, i) => bytes[at + i] === byte));
  }

  private insert(piece: string, id: number): void {
    let node = this.root;
    for (const character of piece) {
      let next = node.next.get(character);
      if (!next) {
        next = { next: new Map() };
        node.next.set(character, next);
      }
      node = next;
    }
    node.id = id;
  }

  /** Viterbi over the characters; sums in f32, as the library keeps them, and the first of equal paths wins. */
  private bestPath(characters: readonly string[]): number[] {
    const { length } = characters;
    const score = new Float32Array(length + 1);
    const from = new Int32Array(length + 1).fill(-1);
    const piece = new Int32Array(length + 1);
    const offer = (start: number, end: number, id: number, cost: number): void => {
      const candidate = Math.fround((score[start] ?? 0) + Math.fround(cost));
      if (from[end] !== -1 && candidate <= (score[end] ?? 0)) return;
      score[end] = candidate;
      from[end] = start;
      piece[end] = id;
    };
    for (let start = 0; start < length; start++) {
      let known = false;
      let node: Node | undefined = this.root;
      for (let end = start + 1; end <= length; end++) {
        node = node.next.get(characters[end - 1] ?? '');
        if (!node) break;
        if (node.id === undefined) continue;
        offer(start, end, node.id, this.scoreOf(node.id));
        known ||= end === start + 1;
      }
      if (!known) offer(start, start + 1, this.model.unkId, this.unkScore);
    }
    const path: number[] = [];
    for (let end = length; end > 0; end = from[end] ?? 0) path.push(piece[end] ?? 0);
    return path.reverse();
  }

  private scoreOf(id: number): number {
    const piece = this.model.pieces[id];
    if (!piece) return 0;
    if (piece.type !== PIECE.userDefined) return piece.score;
    return new TextEncoder().encode(piece.text).length * this.maxScore - 0.1;
  }
}

/** Bytes of the UTF-8 character that starts with this byte. */
function characterLength(first: number): number {
  if (first < 0xc0) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}
