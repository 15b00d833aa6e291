import { describe, expect, it } from 'vitest';
import { BertTokenizer, ClipTokenizer, loadTokenizer, T5Tokenizer } from '../../src/tokenizers/index.ts';
import { diskFolder } from '../support/folder.ts';
import { goldenFolder, goldenPath, without } from './golden.ts';

describe('loadTokenizer', () => {
  it.each([
    ['clip', ClipTokenizer],
    ['t5', T5Tokenizer],
    ['bert', BertTokenizer],
    ['orchard-t5', T5Tokenizer],
    ['orchard-blip', BertTokenizer],
  ])('reads %s by the class that its config names', async (name, type) => {
    expect(await loadTokenizer(goldenFolder(name))).toBeInstanceOf(type);
  });

  it.each([
    ['clip', [], ClipTokenizer],
    ['t5', ['tokenizer.json'], T5Tokenizer],
    ['t5', ['spiece.model'], T5Tokenizer],
    ['bert', ['tokenizer.json'], BertTokenizer],
    ['bert', ['vocab.txt'], BertTokenizer],
  ] as const)('reads %s without a config and %j by the files that are there', async (name, missing, type) => {
    const folder = without(goldenFolder(name), 'tokenizer_config.json', ...missing);
    expect(await loadTokenizer(folder)).toBeInstanceOf(type);
  });

  it('reads the subfolder of a model', async () => {
    const tokenizer = await loadTokenizer(diskFolder(goldenPath('sd2/model')), 'tokenizer');
    expect(tokenizer.encode('a bowl').ids).toHaveLength(77);
  });
});
