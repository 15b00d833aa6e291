import { beforeAll, describe, expect, it } from 'vitest';
import { T5Tokenizer } from '../../src/tokenizers/t5.ts';
import { goldenFolder, goldenJson, type TokenizerCase, title } from './golden.ts';

const fastCases = goldenJson<TokenizerCase[]>('tokenizers/t5/cases.json');
const pieceCases = goldenJson<TokenizerCase[]>('tokenizers/t5/cases_sentencepiece.json');

describe('with tokenizer.json', () => {
  let t5: T5Tokenizer;
  beforeAll(async () => {
    t5 = await T5Tokenizer.fromFolder(goldenFolder('t5'));
  });
  it.each(fastCases.map(row => [title(row.text), row] as const))('encodes and decodes %s', (_, row) => {
    expect(t5.encode(row.text).ids).toEqual(row.ids);
    expect(t5.decode(row.ids, { skipSpecialTokens: true })).toBe(row.decoded);
  });
});

describe('with spiece.model alone', () => {
  let t5: T5Tokenizer;
  beforeAll(async () => {
    t5 = await T5Tokenizer.fromFolder(goldenFolder('t5'), '', { mode: 'sentencepiece' });
  });
  it.each(pieceCases.map(row => [title(row.text), row] as const))('encodes and decodes %s', (_, row) => {
    expect(t5.encode(row.text, { splitSpecialTokens: true }).ids).toEqual(row.ids);
    expect(t5.decode(row.ids)).toBe(row.decoded);
  });
});

interface Prompts {
  prompts: Record<string, Record<string, { input_ids: number[]; ids: number[][]; texts: string[] }>>;
}
const orchard = Object.values(goldenJson<Prompts>('orchard/text.json').prompts).flatMap(rows => Object.entries(rows));

describe('the embedded model', () => {
  let t5: T5Tokenizer;
  beforeAll(async () => {
    t5 = await T5Tokenizer.fromFolder(goldenFolder('orchard-t5'));
  });
  it.each(orchard)('asks for prompts about a %s, and reads the answers', (concept, row) => {
    expect(t5.encode(`Provide a caption for images containing a ${concept}. `).ids).toEqual(row.input_ids);
    expect(t5.decodeBatch(row.ids, { skipSpecialTokens: true })).toEqual(row.texts);
  });
});
