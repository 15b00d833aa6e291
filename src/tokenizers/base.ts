/** Marks, truncation, padding and clean-up: what all tokenizers do alike around their own splitting and joining. */
import { InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { DecodeOptions, EncodeOptions, Encoding, Padding, TextTokenizer } from './types.ts';

const ENCODE = namesOf<EncodeOptions>({
  ...{ maxLength: 1, truncation: 1, padding: 1, addSpecialTokens: 1, splitSpecialTokens: 1 },
});
const DECODE = namesOf<DecodeOptions>({ skipSpecialTokens: 1, cleanUp: 1 });

/** What an `encode` call does where its options are silent. */
interface EncodeDefaults {
  readonly truncation: boolean;
  readonly padding: Padding;
}

/** Shared by the tokenizers of CLIP, T5 and BERT, which fill in the splitting and the joining. */
export abstract class BaseTokenizer implements TextTokenizer {
  abstract readonly padId: number;
  abstract readonly modelMaxLength: number;
  /** Class name, for messages. */
  protected abstract readonly op: string;
  protected abstract readonly defaults: EncodeDefaults;
  protected abstract readonly cleanUpByDefault: boolean;

  /** Ids of the text alone, without marks. */
  protected abstract textIds(text: string, splitSpecialTokens: boolean): number[];
  /** Marks to put before and after the ids of a text. */
  protected abstract marks(textIds: readonly number[]): { before: readonly number[]; after: readonly number[] };
  /** The text that ids stand for, before any clean-up. */
  protected abstract join(ids: readonly number[], skipSpecialTokens: boolean): string;
  abstract tokenId(token: string): number | undefined;

  /**
   * Ids of one text.
   * @param text any string, the empty one too
   * @param options row length, truncation, padding, marks
   * @returns the row, its mask, and what truncation cut off
   * @throws InputError for a text that is no string, and for a length that is no integer or leaves no room for the marks
   */
  encode(text: string, options: EncodeOptions = {}): Encoding {
    checkNames(`${this.op}.encode`, options, ENCODE);
    if (typeof text !== 'string') {
      throw new InputError({
        op: `${this.op}.encode`,
        problem: 'the text is not a string',
        expected: 'a string',
        received: text === null ? 'null' : typeof text,
        fix: 'Pass one string, or a list of strings to encodeBatch.',
      });
    }
    const textIds = this.textIds(text, options.splitSpecialTokens ?? false);
    const { before, after } = options.addSpecialTokens === false ? NO_MARKS : this.marks(textIds);
    const maxLength = this.rowLength(options, before.length + after.length);
    const room = maxLength - before.length - after.length;
    const cut = (options.truncation ?? this.defaults.truncation) && textIds.length > room;
    const ids = [...before, ...(cut ? textIds.slice(0, room) : textIds), ...after];
    const row = this.pad(ids, (options.padding ?? this.defaults.padding) === 'maxLength' ? maxLength : 0);
    return cut ? { ...row, overflowText: this.decode(textIds.slice(room)) } : row;
  }

  /**
   * Ids of several texts.
   * @param texts any strings
   * @param options as for {@link encode}; `padding: 'longest'` gives all rows the length of the longest
   * @returns one row a text
   * @throws InputError as {@link encode} does
   */
  encodeBatch(texts: readonly string[], options: EncodeOptions = {}): Encoding[] {
    const rows = texts.map(text => this.encode(text, options));
    if ((options.padding ?? this.defaults.padding) !== 'longest') return rows;
    const longest = Math.max(0, ...rows.map(row => row.ids.length));
    return rows.map(row => ({ ...row, ...this.pad(row.ids, longest) }));
  }

  /**
   * The text that ids stand for; ids that the vocabulary lacks are left out.
   * @param ids integers from 0
   * @param options skipping of special tokens, clean-up
   * @returns the text
   * @throws InputError for an id that is no integer
   */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    checkNames(`${this.op}.decode`, options, DECODE);
    const list = Array.from(ids);
    const wrong = list.findIndex(id => !Number.isInteger(id));
    if (wrong >= 0) {
      throw new InputError({
        op: `${this.op}.decode`,
        problem: 'an id is not an integer',
        expected: 'integers from 0',
        value: list[wrong],
        path: `ids[${wrong}]`,
        fix: 'Pass ids as encode gives them.',
      });
    }
    const text = this.join(list, options.skipSpecialTokens ?? false);
    return (options.cleanUp ?? this.cleanUpByDefault) ? cleanUp(text) : text;
  }

  /** {@link decode} for each row. */
  decodeBatch(rows: readonly ArrayLike<number>[], options: DecodeOptions = {}): string[] {
    return rows.map(ids => this.decode(ids, options));
  }

  private rowLength(options: EncodeOptions, marks: number): number {
    const length = options.maxLength ?? this.modelMaxLength;
    const padded = (options.padding ?? this.defaults.padding) === 'maxLength';
    const unlimited = length === Number.POSITIVE_INFINITY && !padded;
    if (unlimited || (Number.isInteger(length) && length >= marks)) return length;
    throw new InputError({
      op: `${this.op}.encode`,
      problem: 'no row of that length',
      expected: `an integer of at least ${marks}, the number of marks around a text`,
      value: length,
      path: 'maxLength',
      fix:
        length === Number.POSITIVE_INFINITY
          ? "Pass maxLength: this tokenizer's folder names no limit to pad to."
          : 'Pass another maxLength.',
    });
  }

  private pad(ids: readonly number[], length: number): { ids: number[]; attentionMask: number[] } {
    const missing = Math.max(0, length - ids.length);
    return {
      ids: [...ids, ...new Array<number>(missing).fill(this.padId)],
      attentionMask: [...ids.map(() => 1), ...new Array<number>(missing).fill(0)],
    };
  }
}

const NO_MARKS = { before: [], after: [] } as const;

/** Text before clean-up and after it, in the order in which the rules apply. */
const CLEAN_UP: readonly (readonly [string, string])[] = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

/**
 * Takes the space before punctuation and English contractions away.
 * @param text pieces joined by spaces
 * @returns the same text as people write it
 * @see transformers' `clean_up_tokenization_spaces`
 */
export function cleanUp(text: string): string {
  return CLEAN_UP.reduce((result, [from, to]) => result.replaceAll(from, to), text);
}
