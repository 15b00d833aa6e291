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
