/** Tokenizers of the text encoders and caption models: CLIP, T5, BERT. */
import type { FolderSource } from '../core/tensor-source.ts';
import { BertTokenizer } from './bert.ts';
import { ClipTokenizer } from './clip.ts';
import { isObject, TokenizerFiles } from './files.ts';
import { T5Tokenizer } from './t5.ts';
import type { TextTokenizer } from './types.ts';

export { BertTokenizer } from './bert.ts';
export { checkIds } from './check-ids.ts';
export { type ClipMode, ClipTokenizer, type ClipTokenizerOptions } from './clip.ts';
export { type T5Mode, T5Tokenizer, type T5TokenizerOptions } from './t5.ts';
export type { DecodeOptions, EncodeOptions, Encoding, Padding, TextTokenizer } from './types.ts';

type Family = 'CLIP' | 'T5' | 'Bert';
const CONFIG = 'tokenizer_config.json';

/**
 * Reads whatever tokenizer a folder holds: by `tokenizer_class` of its config, else by the files that are there.
 * @param folder a model folder
 * @param path the tokenizer's subfolder; `''` (default) where the folder holds the files itself
 * @returns a {@link ClipTokenizer}, {@link T5Tokenizer} or {@link BertTokenizer}
 * @throws InputError for a class that this library does not have, and for a folder without a tokenizer
 * @see transformers `AutoTokenizer`
 */
export async function loadTokenizer(folder: FolderSource, path = ''): Promise<TextTokenizer> {
  const files = new TokenizerFiles('loadTokenizer', folder, path);
  const name = (await files.jsonIfThere(CONFIG))['tokenizer_class'];
  const family = typeof name === 'string' ? familyOfClass(name) : await familyOfFiles(files);
  if (family === 'CLIP') return ClipTokenizer.fromFolder(folder, path);
  if (family === 'T5') return T5Tokenizer.fromFolder(folder, path);
  if (family === 'Bert') return BertTokenizer.fromFolder(folder, path);
  if (typeof name !== 'string')
    throw files.missing('vocab.json and merges.txt, spiece.model, vocab.txt or tokenizer.json');
  throw files.unsupported(CONFIG, 'names a tokenizer that this library does not have', {
    expected: 'CLIPTokenizer, T5Tokenizer or BertTokenizer',
    received: name,
  });
}

function familyOfClass(name: string): Family | undefined {
  const family = /^(CLIP|T5|Bert)Tokenizer(Fast)?$/.exec(name)?.[1];
  return family === 'CLIP' || family === 'T5' || family === 'Bert' ? family : undefined;
}

async function familyOfFiles(files: TokenizerFiles): Promise<Family | undefined> {
  if (await files.has('merges.txt')) return 'CLIP';
  if (await files.has('spiece.model')) return 'T5';
  if (await files.has('vocab.txt')) return 'Bert';
  const model = (await files.jsonIfThere('tokenizer.json'))['model'];
  const type = isObject(model) ? model['type'] : undefined;
  if (type === 'BPE') return 'CLIP';
  if (type === 'Unigram') return 'T5';
  return type === 'WordPiece' ? 'Bert' : undefined;
}
