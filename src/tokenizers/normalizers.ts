/** Text normalisation that must agree with the tokenizers of the published models to the character. */
import type { CharMap } from './char-map.ts';

/**
 * Lower case, each code point for itself: a capital sigma at the end of a word becomes σ, not ς.
 * @param text any string
 */
export function lowerCase(text: string): string {
  let result = '';
  for (const character of text) result += character.toLowerCase();
  return result;
}

/**
 * A character map as the `Precompiled` step applies it: a grapheme cluster of fewer than 6 bytes whole, else character
 * by character, and from the trie's hits the shortest.
 * @param text any string
 * @param map the model's map
 * @see huggingface/tokenizers issue 2334 for how this departs from SentencePiece
 */
export function mapGraphemes(text: string, map: CharMap): string {
  const encoder = new TextEncoder();
  let result = '';
  for (const { segment } of new Intl.Segmenter('en', { granularity: 'grapheme' }).segment(text)) {
    const bytes = encoder.encode(segment);
    const whole = bytes.length < 6 ? map.shortest(bytes) : undefined;
    if (whole) {
      result += whole.replacement;
      continue;
    }
    for (const character of segment) result += map.shortest(encoder.encode(character))?.replacement ?? character;
  }
  return result;
}

/** A pattern of what Python's `str.strip` takes off the ends of a text: JavaScript's `trim` knows another set. */
export const PYTHON_SPACES = '[\\p{White_Space}\\u001c-\\u001f]+';

/** How BERT cleans a text. */
export interface BertTextSettings {
  readonly cleanText: boolean;
  readonly spaceChinese: boolean;
  readonly stripAccents: boolean;
  readonly lowerCase: boolean;
}

const CONTROL = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u{FFFD}]/gu;
const KEPT_CONTROL = '\t\n\r';
const CHINESE =
  /[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\u{F900}-\u{FAFF}\u{2F800}-\u{2FA1F}]/gu;

/**
 * BERT's basic clean-up: control characters out, white space to spaces, Chinese characters apart, accents off, lower
 * case; each step where the settings ask for it.
 * @param text any string
 * @param settings the folder's
 */
export function bertText(text: string, settings: BertTextSettings): string {
  let result = text;
  if (settings.cleanText) {
    result = result
      .replace(CONTROL, character => (KEPT_CONTROL.includes(character) ? character : ''))
      .replace(/\p{White_Space}/gu, ' ');
  }
  if (settings.spaceChinese) result = result.replace(CHINESE, ' $& ');
  if (settings.stripAccents) result = result.normalize('NFD').replace(/\p{Mn}/gu, '');
  return settings.lowerCase ? lowerCase(result) : result;
}

const CJK =
  /[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B820}-\u{2CEAF}\u{F900}-\u{FAFF}\u{2F800}-\u{2FA1F}]/gu;

/**
 * The words of a prompt as the slow CLIP class splits it where ftfy is not installed: everything of Unicode's group C out but
 * tab and line ends, CJK ideographs apart, NFC, lower case by word. Accents stay.
 * @param text any string
 * @see transformers 4.57.6 `BasicTokenizer(strip_accents=False, do_split_on_punc=False)`
 */
export function clipWords(text: string): string[] {
  const clean = text
    .replace(/[\p{C}\u{FFFD}]/gu, character => (KEPT_CONTROL.includes(character) ? ' ' : ''))
    .replace(/\p{Zs}/gu, ' ')
    .replace(CJK, ' $& ')
    .normalize('NFC');
  return clean.split(/[ \u2028\u2029]+/).flatMap(word => (word === '' ? [] : [word.toLowerCase()]));
}

/** The text without white space at its start; JavaScript's own takes U+FEFF for space and U+0085 for none. */
export function trimStart(text: string): string {
  return text.replace(/^\p{White_Space}+/u, '');
}

/** The text without white space at its end. */
export function trimEnd(text: string): string {
  return text.replace(/\p{White_Space}+$/u, '');
}
