import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { ClipTokenizer } from '../../src/tokenizers/clip.ts';
import { goldenFolder, goldenJson, title, withJson, without } from './golden.ts';

/** What transformers' slow class made of texts and of every character: scripts/golden/clip_slow.py. */
interface Golden {
  readonly texts: readonly string[];
  readonly cases: Readonly<Record<string, { ids: number[][]; decoded: string[]; whole: string[] }>>;
  /** Ranges of characters that the recording Python did not know, ends included. */
  readonly unknown: readonly (readonly [number, number])[];
  /** A hash for each 4096 characters. */
  readonly blocks: readonly string[];
}

const golden = goldenJson<Golden>('tokenizers/clip-slow.json');
/** Recorded up to the first end mark. */
const prompts = goldenJson<{ text: string; ids: number[] }[]>('tokenizers/clip-slow-prompts.json');
const folder = goldenFolder('clip');
const own = { padding: false, truncation: false } as const;
let slow: ClipTokenizer;
beforeAll(async () => {
  slow = await ClipTokenizer.fromFolder(folder, '', { mode: 'slow' });
});

it.each(prompts.map(row => [title(row.text), row] as const))('gives the ids of the slow class for %s', (_, row) => {
  const { ids } = slow.encode(row.text);
  expect(ids.slice(0, ids.indexOf(slow.endId) + 1)).toEqual(row.ids);
});

describe('recorded texts', () => {
  const agrees = (tokenizer: ClipTokenizer, name: string) => {
    const rows = golden.cases[name];
    const ours = golden.texts.map((text, i) => ({
      text,
      ids: tokenizer.encode(text, own).ids,
      decoded: tokenizer.decode(rows.ids[i], { skipSpecialTokens: true }),
      whole: tokenizer.decode(rows.ids[i]),
    }));
    const theirs = golden.texts.map((text, i) => ({
      ...{ text, ids: rows.ids[i], decoded: rows.decoded[i], whole: rows.whole[i] },
    }));
    const differ = ours.map((row, i) => JSON.stringify(row) !== JSON.stringify(theirs[i]));
    expect(ours.filter((_, i) => differ[i])).toEqual(theirs.filter((_, i) => differ[i]));
  };

  it('are treated alike where "!" pads', () => agrees(slow, 'plain'));

  it('are treated alike where the end mark pads', async () => {
    const bare = withJson(without(folder, 'special_tokens_map.json'), 'tokenizer_config.json', json => ({
      ...json,
      pad_token: '<|endoftext|>',
    }));
    agrees(await ClipTokenizer.fromFolder(bare, '', { mode: 'slow' }), 'endoftext pads');
  });

  it('are treated alike with added tokens, which are found in their own case', async () => {
    const special = ['!', '<|startoftext|>', '<|endoftext|>'].map(content => ({ content, special: true }));
    const added = ['<cat-toy>', '<cat-toy>_1', 'sks', '<Dog>'].map(content => ({ content }));
    const eager = { content: '<eager>', lstrip: true, rstrip: true };
    const whole = { content: 'whole', single_word: true }; // a piece of the vocabulary, which keeps its id
    const tokens = [...special, whole, ...added, eager];
    const ids = [0, 49406, 49407, 10360, 49408, 49409, 49410, 49411, 49412];
    const listed = withJson(folder, 'tokenizer_config.json', json => ({
      ...json,
      added_tokens_decoder: Object.fromEntries(tokens.map((token, i) => [ids[i], token])),
    }));
    agrees(await ClipTokenizer.fromFolder(listed, '', { mode: 'slow' }), 'added');
  });
});

/** Every block in the long run, else those with letters, marks and signs of most scripts. */
const BLOCKS = process.env.PENTIMENTO_FULL ? golden.blocks.map((_, i) => i) : [0, 2, 15, 31];

it.each(BLOCKS)('treats the characters of block %i as the recording Python does', block => {
  const start = block * 4096;
  const hash = createHash('sha256');
  const unknown = golden.unknown.filter(([first, last]) => first < start + 4096 && last >= start);
  for (let code = start; code < start + 4096; code++) {
    if (unknown.some(([first, last]) => first <= code && code <= last)) continue;
    const character = String.fromCodePoint(code);
    const ids = [`a${character}b`, `'${character}`].map(text => {
      return slow.encode(text, { ...own, addSpecialTokens: false }).ids.join(',');
    });
    hash.update(`${ids.join(';')}\n`);
  }
  expect(hash.digest('hex').slice(0, 16)).toBe(golden.blocks[block]);
});

it('finds nothing of an added token in another case', async () => {
  const tokenizer = await ClipTokenizer.fromFolder(folder, '', { mode: 'slow' });
  const [id] = tokenizer.addTokens(['SKS']);
  expect(tokenizer.encode('a SKS', own).ids).toContain(id);
  expect(tokenizer.encode('a sks', own).ids).not.toContain(id);
  tokenizer.removeTokens(['SKS']);
  expect(tokenizer.encode('a SKS', own).ids).toEqual(slow.encode('a SKS', own).ids);
});
