import { describe, expect, it } from 'vitest';
import { BertTokenizer } from '../../src/tokenizers/bert.ts';
import { goldenFolder, goldenJson, type TokenizerCase, title, without } from './golden.ts';

const cases = goldenJson<TokenizerCase[]>('tokenizers/bert/cases.json');

describe.each([
  ['tokenizer.json', await BertTokenizer.fromFolder(goldenFolder('bert'))],
  ['vocab.txt', await BertTokenizer.fromFolder(without(goldenFolder('bert'), 'tokenizer.json'))],
])('with %s', (_file, bert) => {
  it.each(cases.map(row => [title(row.text), row] as const))('encodes and decodes %s', (_, row) => {
    expect(bert.encode(row.text).ids).toEqual(row.ids);
    expect(bert.decode(row.ids, { skipSpecialTokens: true })).toBe(row.decoded);
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
      expect(bert.encode(text).ids.slice(1)).toEqual(ids.slice(1));
    }
  });
});
