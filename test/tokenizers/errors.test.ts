import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/core/errors.ts';
import { BertTokenizer } from '../../src/tokenizers/bert.ts';
import { CharMap } from '../../src/tokenizers/char-map.ts';
import { ClipTokenizer } from '../../src/tokenizers/clip.ts';
import { loadTokenizer } from '../../src/tokenizers/index.ts';
import { parseSentencePieceModel } from '../../src/tokenizers/sentencepiece-model.ts';
import { T5Tokenizer } from '../../src/tokenizers/t5.ts';
import { memoryFolder } from '../support/folder.ts';
import { goldenFolder } from './golden.ts';

const vocab = '{"a": 0, "a</w>": 1, "<|startoftext|>": 2, "<|endoftext|>": 3}';
const clipFiles = { 'vocab.json': vocab, 'merges.txt': '#version: 0.2\n' };
const clip = (files: Record<string, string>) => ClipTokenizer.fromFolder(memoryFolder(files, 'model'), '');

async function bytesOf(name: string): Promise<Uint8Array> {
  const source = await goldenFolder('t5').bytes(name);
  const bytes = new Uint8Array(source.byteLength);
  await source.read(0, bytes);
  return bytes;
}

describe('files', () => {
  it('names what a CLIP folder lacks', async () => {
    await expect(clip({ 'vocab.json': vocab })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: ClipTokenizer: the folder holds no tokenizer of this kind: expected vocab.json and merges.txt, or tokenizer.json (model). Download the whole model folder, its tokenizer files included.]`,
    );
    await expect(clip({ 'vocab.json': vocab })).rejects.toBeInstanceOf(InputError);
    await expect(ClipTokenizer.fromFolder(memoryFolder({}, 'model'))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: ClipTokenizer: the folder holds no tokenizer of this kind: expected vocab.json and merges.txt, or tokenizer.json (model/tokenizer). Download the whole model folder, its tokenizer files included.]`,
    );
  });

  it('names a file that is not JSON, or JSON of another kind', async () => {
    await expect(clip({ ...clipFiles, 'vocab.json': '<html>' })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: ClipTokenizer: an HTML page in place of the file (model/vocab.json). Download the file itself: the address was that of a page, or the server wanted a login or a token.]`,
    );
    await expect(clip({ ...clipFiles, 'vocab.json': '[1]' })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: ClipTokenizer: vocab.json is not a JSON object (model/vocab.json). Download the file again.]`,
    );
    await expect(clip({ ...clipFiles, 'vocab.json': '{"a": "0"}' })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: ClipTokenizer: vocab.json is no vocabulary: the id of "a" is wrong: expected an integer from 0, got "0" (model/vocab.json). Download the file again.]`,
    );
  });

  it('names the line of merges.txt that is no merge', async () => {
    const files = { ...clipFiles, 'merges.txt': '#version: 0.2\na a</w>\nabc\n' };
    await expect(clip(files)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: ClipTokenizer: merges.txt is no list of merges at line 3: expected two symbols, got abc (model/merges.txt). Download the file again.]`,
    );
  });

  it('refuses a tokenizer.json of another model', async () => {
    const files = { 'tokenizer.json': '{"model": {"type": "WordPiece"}}' };
    await expect(clip(files)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: ClipTokenizer: tokenizer.json is no CLIP tokenizer: expected model.type BPE with end_of_word_suffix </w>, got {"type":"WordPiece"} (model/tokenizer.json). Download the file again.]`,
    );
  });

  it('refuses a tokenizer.json that the package cannot build', async () => {
    const folder = memoryFolder({ 'tokenizer.json': '{"model": {"type": "Other"}}' }, 'model');
    await expect(T5Tokenizer.fromFolder(folder)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: T5Tokenizer: tokenizer.json is no tokenizer that can be built: got Unknown TokenizerModel type: Other (model/tokenizer.json). Download the file again.]`,
    );
  });

  it('names what T5 and BERT folders lack', async () => {
    const empty = memoryFolder({}, 'model');
    await expect(T5Tokenizer.fromFolder(empty)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: T5Tokenizer: the folder holds no tokenizer of this kind: expected tokenizer.json or spiece.model (model). Download the whole model folder, its tokenizer files included.]`,
    );
    await expect(T5Tokenizer.fromFolder(empty, 'tok', { mode: 'fast' })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: T5Tokenizer: the folder holds no tokenizer of this kind: expected tokenizer.json or spiece.model (model/tok). Download the whole model folder, its tokenizer files included.]`,
    );
    await expect(BertTokenizer.fromFolder(empty)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: BertTokenizer: the folder holds no tokenizer of this kind: expected vocab.txt or tokenizer.json (model). Download the whole model folder, its tokenizer files included.]`,
    );
    const words = memoryFolder({ 'vocab.txt': 'a\nb\n' }, 'model');
    await expect(BertTokenizer.fromFolder(words)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: BertTokenizer: vocab.txt is no vocabulary: it lacks the unknown token: expected [UNK] (model/vocab.txt). Download the file again.]`,
    );
    const unmarked = memoryFolder({ 'vocab.txt': '[UNK]\n', 'tokenizer_config.json': '{"cls_token": ""}' }, 'model');
    await expect(BertTokenizer.fromFolder(unmarked)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: BertTokenizer: vocab.txt is without a token that the folder names: expected [CLS] (model/vocab.txt). Download the file again.]`,
    );
  });
});

describe('spiece.model', () => {
  it('is refused when it breaks off, at any byte', async () => {
    const whole = await bytesOf('spiece.model');
    const small = whole.subarray(0, 60);
    const refusals = Array.from({ length: small.length }, (_, i) => {
      try {
        return parseSentencePieceModel(small.subarray(0, i), 'm').pieces.length;
      } catch (error) {
        return error instanceof InputError ? 'refused' : String(error);
      }
    });
    // Only whole pieces may pass.
    expect(new Set(refusals.filter(result => typeof result === 'string'))).toEqual(new Set(['refused']));
    expect(() =>
      parseSentencePieceModel(whole.subarray(0, -1), 'model/spiece.model'),
    ).toThrowErrorMatchingInlineSnapshot(
      `[InputError: T5Tokenizer: spiece.model is not a SentencePiece model, or breaks off (model/spiece.model). Download the file again.]`,
    );
    expect(() => parseSentencePieceModel(new Uint8Array(0), 'm')).toThrowErrorMatchingInlineSnapshot(
      `[InputError: T5Tokenizer: the model has no pieces (m). Use the spiece.model of a T5 model.]`,
    );
  });

  it.each([
    ['of another type', [0x18, 2]],
    ['with byte pieces', [0x98, 0x02, 1]],
    ['with white space after words', [0xc0, 0x01, 1]],
  ])('is refused when it is %s', async (_, field) => {
    const whole = await bytesOf('spiece.model');
    const spec = [0x12, field.length, ...field];
    expect(() => parseSentencePieceModel(Uint8Array.from([...whole, ...spec]), 'm')).toThrow(InputError);
  });

  it('is refused when its character map does not fit', async () => {
    expect(() => new CharMap(Uint8Array.of(8, 0, 0, 0, 1, 2, 3, 4), 'm')).toThrowErrorMatchingInlineSnapshot(
      `[InputError: CharMap: the character map does not hold the trie that it announces: expected a multiple of 4 bytes, from 4 to 4, got 8 (m). Download the tokenizer again.]`,
    );
    expect(() => new CharMap(new Uint8Array(2), 'm')).toThrow(InputError);
    const charsmap = JSON.stringify({
      normalizer: { type: 'Precompiled', precompiled_charsmap: '%' },
      model: { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0]] },
    });
    const folder = memoryFolder({ 'tokenizer.json': charsmap }, 'model');
    await expect(T5Tokenizer.fromFolder(folder)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: CharMap: precompiled_charsmap is not base64 (model/tokenizer.json). Download the tokenizer again.]`,
    );
  });
});

describe('arguments', async () => {
  const tokenizer = await clip(clipFiles);

  it('refuses texts that are no strings', () => {
    for (const text of [null, undefined, 7, ['a'], {}]) {
      expect(() => tokenizer.encode(text as never)).toThrow(InputError);
    }
    expect(() => tokenizer.encode(7 as never)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: ClipTokenizer.encode: the text is not a string: expected a string, got number. Pass one string, or a list of strings to encodeBatch.]`,
    );
    expect(() => tokenizer.encodeBatch(['a', null] as never)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: ClipTokenizer.encode: the text is not a string: expected a string, got null. Pass one string, or a list of strings to encodeBatch.]`,
    );
  });

  it('refuses rows without room for the marks, and lengths that are no integers', () => {
    expect(() => tokenizer.encode('a', { maxLength: 1 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: ClipTokenizer.encode: no row of that length: expected an integer of at least 2, the number of marks around a text, got 1 (maxLength). Pass another maxLength.]`,
    );
    for (const maxLength of [2.5, Number.NaN, -1])
      expect(() => tokenizer.encode('a', { maxLength })).toThrow(InputError);
  });

  it('asks for a length where the folder names none to pad to', async () => {
    const bert = await BertTokenizer.fromFolder(goldenFolder('bert'));
    expect(bert.modelMaxLength).toBe(Number.POSITIVE_INFINITY);
    expect(() => bert.encode('a', { padding: 'maxLength' })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: BertTokenizer.encode: no row of that length: expected an integer of at least 2, the number of marks around a text, got Infinity (maxLength). Pass maxLength: this tokenizer's folder names no limit to pad to.]`,
    );
    expect(bert.encode('a', { padding: 'maxLength', maxLength: 5 }).ids).toEqual([101, 142, 102, 0, 0]);
    expect(bert.encode('a', { truncation: true }).ids).toEqual([101, 142, 102]);
  });

  it('refuses ids that are no integers', () => {
    expect(() => tokenizer.decode([1, 0.5])).toThrowErrorMatchingInlineSnapshot(
      `[InputError: ClipTokenizer.decode: an id is not an integer: expected integers from 0, got 0.5 (ids[1]). Pass ids as encode gives them.]`,
    );
  });

  it('refuses an added token without characters', () => {
    expect(() => tokenizer.addTokens([''])).toThrowErrorMatchingInlineSnapshot(
      `[InputError: ClipTokenizer.addTokens: a token without characters: got [""]]`,
    );
  });
});

describe('loadTokenizer', () => {
  it('refuses a class that it does not have', async () => {
    const folder = memoryFolder({ 'tokenizer_config.json': '{"tokenizer_class": "LlamaTokenizer"}' }, 'model');
    await expect(loadTokenizer(folder)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadTokenizer: tokenizer_config.json names a tokenizer that this library does not have: expected CLIPTokenizer, T5Tokenizer or BertTokenizer, got LlamaTokenizer (model/tokenizer_config.json)]`,
    );
  });

  it('refuses a folder without a tokenizer', async () => {
    await expect(loadTokenizer(memoryFolder({}, 'model'), 'tokenizer')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: loadTokenizer: the folder holds no tokenizer of this kind: expected vocab.json and merges.txt, spiece.model, vocab.txt or tokenizer.json (model/tokenizer). Download the whole model folder, its tokenizer files included.]`,
    );
  });
});
