/** The face that every tokenizer of this folder shows, whatever files it was read from. */

/** `'longest'` pads a batch to its longest row, `'maxLength'` every row to `maxLength`. */
export type Padding = false | 'longest' | 'maxLength';

/** What `encode` and `encodeBatch` do besides splitting the text. */
export interface EncodeOptions {
  /** Row length in ids, special ones included; an integer. The tokenizer's `modelMaxLength` where absent. */
  readonly maxLength?: number;
  /** Cuts rows that are longer than `maxLength`; the end mark stays last. */
  readonly truncation?: boolean;
  /** Fills short rows with `padId`. Default 'maxLength' for CLIP, false for T5 and BERT. */
  readonly padding?: Padding;
  /** Puts the model's marks (start, end) around the text; true where absent. */
  readonly addSpecialTokens?: boolean;
  /** Reads special tokens that stand in the text as plain characters; false where absent. */
  readonly splitSpecialTokens?: boolean;
}

/** One row of ids. */
export interface Encoding {
  /** Ids of the text with its marks and padding. */
  readonly ids: number[];
  /** 1 for each id of the text and its marks, 0 for padding. */
  readonly attentionMask: number[];
  /** The end of the text that truncation cut off, as the tokenizer would write it; absent where nothing was cut. */
  readonly overflowText?: string;
}

/** What `decode` does besides joining the pieces. */
export interface DecodeOptions {
  /** Leaves special tokens out; false where absent. */
  readonly skipSpecialTokens?: boolean;
  /** Pulls punctuation and English contractions to the word before; as the folder's config says where absent. */
  readonly cleanUp?: boolean;
}

/** Text to ids and back. */
export interface TextTokenizer {
  /** The id that fills short rows. */
  readonly padId: number;
  /** Longest row that the model takes; Infinity where the folder names no limit. */
  readonly modelMaxLength: number;
  /** Ids of one text, with the special tokens of the model around it. */
  encode(text: string, options?: EncodeOptions): Encoding;
  /** Ids of several texts, padded and cut as the options say. */
  encodeBatch(texts: readonly string[], options?: EncodeOptions): Encoding[];
  /** The text that ids stand for, special tokens left out on request. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** The texts of several rows of ids. */
  decodeBatch(rows: readonly ArrayLike<number>[], options?: DecodeOptions): string[];
  /** Id of one token as the vocabulary spells it; undefined where there is none. */
  tokenId(token: string): number | undefined;
}
