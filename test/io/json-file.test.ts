import { expect, it } from 'vitest';
import { InputError } from '../../src/core/errors.ts';
import { parseJsonFile } from '../../src/io/json-file.ts';
import { readJson } from '../../src/pipeline/runtime/read-json.ts';
import { ClipTokenizer, T5Tokenizer } from '../../src/tokenizers/index.ts';
import { memoryFolder } from '../support/folder.ts';

const parse = (text: string) => parseJsonFile(text, 'read', 'unet/config.json');

it('reads JSON with and without a byte order mark', async () => {
  for (const text of ['{"a": [1]}', '\ufeff{"a": [1]}', '\r\n {"a":\r\n[1]} '])
    expect(await parse(text)).toEqual({ a: [1] });
});

it.each([
  [
    'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n',
    /^read: a Git LFS pointer in place of the file/,
  ],
  ['<!DOCTYPE html><html>', /^read: an HTML page in place of the file \(unet\/config\.json\)/],
  ['Entry not found', /it begins "Entry not found"/],
  ['{"error":"Repository not found"}', /it begins "\{"error":"Repository not found"\}"/],
])('names what stands in the place of JSON: %s', async (text, said) => {
  await expect(parse(text)).rejects.toThrow(said);
  await expect(parse(text)).rejects.toThrow(InputError);
});

it('reads the infinities that Python writes, and leaves words in strings alone', async () => {
  const text = '{"lambda_min_clipped": -Infinity, "b":[Infinity ,1], "say": "c: Infinity \\" Infinity"}';
  expect(await parse(text)).toEqual({
    lambda_min_clipped: Number.NEGATIVE_INFINITY,
    b: [Number.POSITIVE_INFINITY, 1],
    say: 'c: Infinity " Infinity',
  });
  await expect(parse('{"a": Infinity')).rejects.toThrow(SyntaxError);
  expect(await parse('{"say": "a: Infinity"}')).toEqual({ say: 'a: Infinity' });
});

it('takes damaged JSON for what it is', async () => {
  for (const text of ['', '{', '{"a": 1,}', '[1', '"a']) await expect(parse(text)).rejects.toThrow(SyntaxError);
});

it('is how configs and the files of tokenizers are read', async () => {
  const page = memoryFolder({ 'config.json': '<html>', 'tokenizer/vocab.json': '<html>', 'tokenizer/merges.txt': '' });
  await expect(readJson(page, 'config.json', 'read')).rejects.toThrow('read: an HTML page in place of the file');
  await expect(ClipTokenizer.fromFolder(page)).rejects.toThrow('an HTML page in place of the file');
  expect(await readJson(memoryFolder({ 'config.json': '\ufeff{"a":1}' }), 'config.json', 'read')).toEqual({ a: 1 });
});

it('is told of the other files of tokenizers too', async () => {
  const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 791656\n';
  const clip = memoryFolder({ 'tokenizer/vocab.json': '{"a":0}', 'tokenizer/merges.txt': '<!doctype html>' });
  await expect(ClipTokenizer.fromFolder(clip)).rejects.toThrow(
    'ClipTokenizer: an HTML page in place of the file (memory/tokenizer/merges.txt)',
  );
  await expect(T5Tokenizer.fromFolder(memoryFolder({ 'spiece.model': pointer }), '')).rejects.toThrow(
    'a Git LFS pointer in place of the file of 791656 bytes (memory/spiece.model)',
  );
});

it('lets an error of the folder itself pass', async () => {
  const gone = new Error('the network is gone');
  const folder = { ...memoryFolder({ 'config.json': '' }), text: () => Promise.reject(gone) };
  await expect(readJson(folder, 'config.json', 'read')).rejects.toBe(gone);
});
