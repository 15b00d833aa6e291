import { beforeAll, describe, expect, it } from 'vitest';
import { T5Tokenizer } from '../../src/tokenizers/t5.ts';
import { agrees, goldenFolder, goldenJson, type TokenizerCase, title, withJson, without } from './golden.ts';

const fastCases = goldenJson<TokenizerCase[]>('tokenizers/t5/cases.json');
const pieceCases = goldenJson<TokenizerCase[]>('tokenizers/t5/cases_sentencepiece.json');
const orchard = goldenFolder('orchard-t5');
const notLegacy = withJson(orchard, 'tokenizer_config.json', json => ({ ...json, legacy: false }));

describe('with tokenizer.json', () => {
  let t5: T5Tokenizer;
  beforeAll(async () => {
    t5 = await T5Tokenizer.fromFolder(goldenFolder('t5'));
  });

  it.each(fastCases.map(row => [title(row.text), row] as const))('encodes and decodes %s', (_, row) => {
    expect(t5.encode(row.text).ids).toEqual(row.ids);
    expect(t5.decode(row.ids, { skipSpecialTokens: true })).toBe(row.decoded);
  });

  it('agrees with transformers on seeded texts', () => agrees(t5, 't5 fast, tokenizer.json'));

  it('shows special tokens unless they are skipped', () => {
    const { ids } = t5.encode('a table<extra_id_0>');
    expect(t5.decode(ids)).toBe('a table<extra_id_0></s>');
    expect(t5.decode(ids, { skipSpecialTokens: true })).toBe('a table');
  });

  it('pads with 0 and cuts before the end mark when asked to', () => {
    const [long, short] = t5.encodeBatch(['a table of the bowl', 'a'], {
      maxLength: 4,
      truncation: true,
      padding: 'longest',
    });
    expect(long.ids).toHaveLength(4);
    expect(long.ids.at(-1)).toBe(t5.endId);
    expect(long.overflowText).toBe('the bowl');
    expect(short).toEqual({ ids: [3, 1, 0, 0], attentionMask: [1, 1, 0, 0] });
  });
});

describe('with a tokenizer.json that splits at spaces alone, as that of Flan-T5', () => {
  const flan = withJson(goldenFolder('t5'), 'tokenizer.json', json => ({
    ...json,
    normalizer: {
      type: 'Sequence',
      normalizers: [json['normalizer'], { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' }],
    },
    pre_tokenizer: { type: 'Metaspace', replacement: '\u2581', add_prefix_space: true },
    decoder: { type: 'Metaspace', replacement: '\u2581', add_prefix_space: true },
  }));

  it('agrees with transformers on seeded texts', async () => {
    agrees(await T5Tokenizer.fromFolder(flan), 't5 fast, layout of Flan-T5');
  });

  it.each([
    ['a table. ', [3, 7, 36, 32, 1]],
    ['a table.', [3, 7, 36, 1]],
    ['  a   table.   ', [3, 7, 36, 32, 1]],
  ])('a space at the end is a piece of its own: %j', async (text, ids) => {
    expect((await T5Tokenizer.fromFolder(flan)).encode(text).ids).toEqual(ids);
  });
});

describe('with other settings of Metaspace', () => {
  const words = { type: 'WhitespaceSplit' };
  const folder = (step: object, split = false) =>
    withJson(goldenFolder('t5'), 'tokenizer.json', json => {
      const metaspace = { type: 'Metaspace', replacement: '\u2581', ...step };
      const steps = split ? { type: 'Sequence', pretokenizers: [words, metaspace] } : metaspace;
      return { ...json, pre_tokenizer: steps, decoder: metaspace };
    });

  it.each([
    ['t5 fast, no prefix space', folder({ prepend_scheme: 'never', add_prefix_space: false }, true)],
    ['t5 fast, never', folder({ prepend_scheme: 'never' })],
    ['t5 fast, first, not split', folder({ prepend_scheme: 'first', split: false })],
    ['t5 fast, not split', folder({ split: false })],
  ])('%s: agrees on seeded texts', async (name, files) => {
    agrees(await T5Tokenizer.fromFolder(files), name);
  });

  it.each([{ add_prefix_space: false }, { prepend_scheme: 'often' }, { replacement: '' }])(
    '%j is refused, as there',
    async step => {
      await expect(T5Tokenizer.fromFolder(folder(step))).rejects.toThrow('Metaspace');
    },
  );
});

describe('with spiece.model, as the SentencePiece library', () => {
  let t5: T5Tokenizer;
  beforeAll(async () => {
    t5 = await T5Tokenizer.fromFolder(goldenFolder('t5'), '', { mode: 'sentencepiece' });
  });

  it.each(pieceCases.map(row => [title(row.text), row] as const))('encodes and decodes %s', (_, row) => {
    expect(t5.encode(row.text, { splitSpecialTokens: true }).ids).toEqual(row.ids);
    expect(t5.decode(row.ids)).toBe(row.decoded);
  });

  it('numbers the extra ids backwards from the end, and reads them in a text', () => {
    expect(t5.tokenId('<extra_id_0>')).toBe(1599);
    expect(t5.encode('<extra_id_0> and <extra_id_99>').ids).toEqual([1599, 41, 1500, 1]);
    expect(t5.decode([1599, 41, 1500, 1])).toBe('<extra_id_0>and<extra_id_99>');
  });

  it('adds no second end mark', () => {
    expect(t5.encode('a</s>').ids).toEqual([3, 1]);
  });
});

describe('with spiece.model, as the classes of transformers', () => {
  it.each([
    ['t5 slow', orchard, 'sentencepiece', 'sentencepiece'],
    ['t5 slow, not legacy', notLegacy, 'sentencepiece', 'sentencepiece'],
    ['t5 fast, spiece.model', orchard, undefined, 'fast'],
    ['t5 fast, spiece.model, not legacy', notLegacy, 'fast', 'fast'],
  ] as const)('%s: agrees on seeded texts', async (name, folder, asked, mode) => {
    const t5 = await T5Tokenizer.fromFolder(folder, '', asked ? { mode: asked } : {});
    expect(t5.mode).toBe(mode);
    agrees(t5, name);
  });

  it('needs no config beside the model', async () => {
    const bare = without(orchard, 'tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json');
    agrees(await T5Tokenizer.fromFolder(bare), 't5 fast, spiece.model');
    agrees(await T5Tokenizer.fromFolder(bare, '', { mode: 'sentencepiece' }), 't5 slow');
  });
});

interface Prompts {
  prompts: Record<string, Record<string, { input_ids: number[]; ids: number[][]; texts: string[] }>>;
}
const concepts = Object.values(goldenJson<Prompts>('orchard/text.json').prompts).flatMap(rows => Object.entries(rows));

describe('the embedded model', () => {
  let t5: T5Tokenizer;
  beforeAll(async () => {
    t5 = await T5Tokenizer.fromFolder(orchard);
  });

  it.each(concepts)('asks for prompts about a %s, and reads the answers', (concept, row) => {
    expect(t5.encode(`Provide a caption for images containing a ${concept}. `).ids).toEqual(row.input_ids);
    expect(t5.decodeBatch(row.ids, { skipSpecialTokens: true })).toEqual(row.texts);
  });
});
