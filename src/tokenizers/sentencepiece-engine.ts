/** What the slow T5 class of transformers puts around the SentencePiece library: special tokens and extra ids. */
import { trimEnd, trimStart } from './normalizers.ts';
import type { NumberedToken } from './special-tokens.ts';
import { TokenSplitter } from './token-splitter.ts';
import { SPACE, type Unigram } from './unigram.ts';

/** A SentencePiece model and the tokens that stand beside its pieces. */
export class SentencePieceEngine {
  private readonly unigram: Unigram;
  private readonly pieceCount: number;
  private readonly byContent: ReadonlyMap<string, NumberedToken>;
  private readonly byId: ReadonlyMap<number, NumberedToken>;
  private readonly legacy: boolean;
  private readonly splitter: TokenSplitter;

  /**
   * @param unigram pieces
   * @param pieceCount how many
   * @param tokens special tokens and extra ids
   * @param legacy whether each stretch of text between special tokens starts like a text of its own
   */
  constructor(unigram: Unigram, pieceCount: number, tokens: readonly NumberedToken[], legacy: boolean) {
    this.unigram = unigram;
    this.pieceCount = pieceCount;
    this.legacy = legacy;
    this.byContent = new Map(tokens.map(token => [token.content, token]));
    this.byId = new Map(tokens.map(token => [token.id, token]));
    this.splitter = new TokenSplitter(tokens);
  }

  /** Ids of a text; with `splitSpecialTokens` those of the SentencePiece library itself. */
  textIds(text: string, splitSpecialTokens: boolean): number[] {
    if (splitSpecialTokens) return this.unigram.encode(text);
    const prefixed = this.legacy || text === '' ? text : SPACE + text.replaceAll(SPACE, ' ');
    return this.splitter.split(prefixed).flatMap(section => this.sectionIds(section));
  }

  /** Text of ids; extra ids as they are spelled, unless special tokens are skipped. */
  join(ids: readonly number[], skipSpecialTokens: boolean): string {
    if (skipSpecialTokens)
      return trimStart(trimEnd(this.unigram.decode(ids.filter(id => !this.byId.get(id)?.special))));
    let text = '';
    let run: number[] = [];
    for (const id of ids) {
      const token = id >= this.pieceCount ? this.byId.get(id) : undefined;
      if (!token) {
        run.push(id);
        continue;
      }
      text += this.unigram.decode(run) + token.content;
      run = [];
    }
    return text + this.unigram.decode(run);
  }

  tokenId(token: string): number | undefined {
    return this.byContent.get(token)?.id ?? this.unigram.pieceId(token);
  }

  private sectionIds(section: string): number[] {
    const token = this.byContent.get(section);
    if (token) return [token.id];
    if (this.legacy) return this.unigram.encode(section);
    return this.unigram.encode(section, section.startsWith(' ') || section.startsWith(SPACE) ? 'kept' : 'bare');
  }
}
