import { beforeAll, describe, expect, it } from 'vitest';
import { ClipTokenizer } from '../../src/tokenizers/clip.ts';
import { goldenFolder, goldenJson, type TokenizerCase, title } from './golden.ts';

const cases = goldenJson<TokenizerCase[]>('tokenizers/clip/cases.json');
let clip: ClipTokenizer;
beforeAll(async () => {
  clip = await ClipTokenizer.fromFolder(goldenFolder('clip'), '');
});

describe('the real vocabulary', () => {
  it.each(cases.map(row => [title(row.text), row] as const))('encodes and decodes %s', (_, row) => {
    expect(clip.encode(row.text).ids).toEqual(row.ids);
    expect(clip.decode(row.ids, { skipSpecialTokens: true })).toBe(row.decoded);
  });
});
