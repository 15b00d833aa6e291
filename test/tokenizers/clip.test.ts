import { beforeAll, describe, expect, it } from 'vitest';
import { ClipTokenizer } from '../../src/tokenizers/clip.ts';
import { diskFolder } from '../support/folder.ts';
import {
  agrees,
  goldenFolder,
  goldenJson,
  goldenPath,
  type TokenizerCase,
  title,
  transformers,
  withJson,
  without,
} from './golden.ts';

const folder = goldenFolder('clip');
const cases = goldenJson<TokenizerCase[]>('tokenizers/clip/cases.json');
let clip: ClipTokenizer;
beforeAll(async () => {
  clip = await ClipTokenizer.fromFolder(folder, '');
});

describe('the published vocabulary', () => {
  it.each(cases.map(row => [title(row.text), row] as const))('encodes and decodes %s', (_, row) => {
    expect(clip.encode(row.text).ids).toEqual(row.ids);
    expect(clip.decode(row.ids, { skipSpecialTokens: true })).toBe(row.decoded);
  });

  it('agrees with transformers on seeded texts', () => agrees(clip, 'clip'));

  it.each([
    ['a bowl of fruits!', [320, 3814, 539, 13282, 0]],
    ['wow! great!!', [2781, 0, 830, 0, 0]],
    ['hello!world', [3306, 0, 1002]],
    ['How are you doing?', [829, 631, 592, 1960, 286]],
    ['a basket of pears', [320, 10338, 539, 39565]],
    ['a bowl of pears', [320, 3814, 539, 39565]],
    ['a photograph of a bowl of fruit on a table', [320, 8853, 539, 320, 3814, 539, 5190, 525, 320, 2175]],
    ["A\n'll !!to?'d''d of, can't.", [320, 1342, 0, 0, 531, 13610, 323, 8445, 323, 539, 267, 753, 713, 269]],
    ['! !! !!!', [0, 0, 0, 0, 0, 0]],
  ])('gives the published ids of %s', (text, ids) => {
    expect(clip.encode(text, { padding: false }).ids).toEqual([49406, ...ids, 49407]);
  });
});

describe('padding', () => {
  it('takes the pad token of special_tokens_map.json before that of the config', async () => {
    const contrary = withJson(folder, 'tokenizer_config.json', json => ({ ...json, pad_token: '<|endoftext|>' }));
    expect((await ClipTokenizer.fromFolder(contrary, '')).padId).toBe(0);
  });

  it('takes the pad token of a config that lists its added tokens before that of the map', async () => {
    const listed = withJson(folder, 'tokenizer_config.json', json => ({
      ...json,
      pad_token: '<|endoftext|>',
      added_tokens_decoder: { 49407: { content: '<|endoftext|>', normalized: true, special: true } },
    }));
    expect((await ClipTokenizer.fromFolder(listed, '')).padId).toBe(49407);
  });

  it('leaves "!" in the text where the end mark pads', async () => {
    const bare = withJson(without(folder, 'special_tokens_map.json'), 'tokenizer_config.json', json => ({
      ...json,
      pad_token: '<|endoftext|>',
    }));
    const other = await ClipTokenizer.fromFolder(bare, '');
    for (const [text, ids] of [
      ['a bowl of fruits!', [320, 3814, 539, 13282, 256]],
      ["A\n'll !!to?'d''d of, can't.", [320, 1342, 748, 531, 13610, 323, 8445, 323, 539, 267, 753, 713, 269]],
      ['! !! !!!', [256, 748, 995]],
      ['a basket of pears', [320, 10338, 539, 39565]],
    ] as const) {
      expect(other.encode(text, { padding: false }).ids).toEqual([49406, ...ids, 49407]);
    }
    expect(other.encode('wow! great!!').ids.slice(0, 8)).toEqual([49406, 2781, 256, 830, 748, 49407, 49407, 49407]);
    agrees(other, 'clip, endoftext pads');
  });

  it('fills rows to the length of the model, the longest row or none', () => {
    const [whole] = clip.encodeBatch(['a bowl']);
    expect(whole.ids).toHaveLength(77);
    expect(whole.attentionMask.slice(0, 6)).toEqual([1, 1, 1, 1, 0, 0]);
    const rows = clip.encodeBatch(['a bowl', 'a'], { padding: 'longest' });
    expect(rows.map(row => row.ids)).toEqual([
      [49406, 320, 3814, 49407],
      [49406, 320, 49407, 0],
    ]);
    expect(rows[1].attentionMask).toEqual([1, 1, 1, 0]);
    expect(clip.encodeBatch([])).toEqual([]);
    expect(clip.encode('a', { padding: false, addSpecialTokens: false }).ids).toEqual([320]);
  });
});

describe('truncation', () => {
  it.each(transformers.long.map(row => [title(row.text), row] as const))('tells what it cut off %s', (_, row) => {
    const { ids, overflowText } = clip.encode(row.text);
    expect(ids).toEqual(row.ids);
    expect(overflowText).toBe(row.overflow ?? undefined);
  });

  it('keeps both marks in the shortest row, and gives long rows where it is switched off', () => {
    expect(clip.encode('a bowl', { maxLength: 2 }).ids).toEqual([49406, 49407]);
    expect(clip.encode('a '.repeat(120), { truncation: false }).ids).toHaveLength(122);
  });
});

describe('added tokens', () => {
  it('get ids after the vocabulary, and stay whole in a text', async () => {
    const { names, ids, prompts } = transformers.added;
    const own = await ClipTokenizer.fromFolder(folder, '');
    expect(own.addTokens(names.slice(0, 2))).toEqual(ids.slice(0, 2));
    expect(own.addTokens(names)).toEqual(ids);
    for (const { text, ids: row, decoded, expanded } of prompts) {
      expect(own.encode(text, { padding: false }).ids).toEqual(row);
      expect(own.decode(row, { skipSpecialTokens: true })).toBe(decoded);
      expect(own.expandTokens(text)).toBe(expanded);
    }
  });

  it('change nothing in a tokenizer that has none', () => {
    expect(clip.expandTokens('a bowl! <cat-toy>')).toBe('a bowl! <cat-toy>');
  });

  it('are read as characters on request', () => {
    expect(clip.encode('hello!', { padding: false, splitSpecialTokens: true }).ids).toEqual([49406, 3306, 256, 49407]);
  });
});

describe('a tokenizer.json', () => {
  it('gives the same ids as vocab.json and merges.txt', async () => {
    const [vocab, merges] = await Promise.all([folder.text('vocab.json'), folder.text('merges.txt')]);
    const pairs = merges.trim().split('\n').slice(1, 48895);
    const mark = { normalized: true, special: true };
    const json = {
      added_tokens: [
        { id: 49406, content: '<|startoftext|>', ...mark },
        { id: 49407, content: '<|endoftext|>', ...mark },
        { id: 0, content: '!', normalized: false, special: true },
      ],
      model: { type: 'BPE', end_of_word_suffix: '</w>', vocab: JSON.parse(vocab), merges: pairs },
    };
    const files = withJson(without(folder, 'vocab.json', 'special_tokens_map.json'), 'tokenizer.json', () => json);
    const other = await ClipTokenizer.fromFolder(files, '');
    expect(other.padId).toBe(0);
    agrees(other, 'clip');
  });
});

describe('the folders of whole models', () => {
  it.each(['sd1', 'sd2'])('%s: reads the tokenizer from its subfolder', async name => {
    const tokenizer = await ClipTokenizer.fromFolder(diskFolder(goldenPath(`${name}/model`)));
    expect([tokenizer.startId, tokenizer.endId, tokenizer.modelMaxLength]).toEqual([659, 660, 77]);
    const { ids } = tokenizer.encode('a bowl of pears');
    expect(ids).toHaveLength(77);
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe('a bowl of pears');
  });
});
