/** The tokenizer folder of a single-file checkpoint: CLIP's vocabulary from elsewhere, and the padding of the model's version. */
import { InputError } from '../../core/errors.ts';
import type { FolderSource } from '../../core/tensor-source.ts';

const VOCABULARY = ['vocab.json', 'merges.txt', 'added_tokens.json'];
const SPECIAL = ['special_tokens_map.json', 'tokenizer_config.json'];
const START = '<|startoftext|>';
const END = '<|endoftext|>';

/**
 * The files of `tokenizer/`, by their paths. A folder of configs keeps its own; a vocabulary gets the special tokens of the version:
 * Stable Diffusion 2.x pads with "!", 1.x with the end mark, whichever folder the vocabulary was taken from.
 * @param version of the checkpoint
 * @param label of the checkpoint, for messages
 * @throws InputError where no folder is given, or it holds no vocabulary
 */
export async function singleFileTokenizer(
  given: { readonly tokenizer?: FolderSource | undefined; readonly config?: FolderSource | undefined },
  version: 1 | 2,
  label: string,
): Promise<Map<string, string>> {
  const folder = given.tokenizer ?? given.config;
  if (folder === undefined) {
    throw new InputError({
      op: 'openSingleFile',
      problem: 'a checkpoint in one file holds no vocabulary',
      expected: "a tokenizer: the folder with CLIP's vocab.json and merges.txt",
      path: label,
      fix: 'Take it from openai/clip-vit-large-patch14 on the Hub, or from any Stable Diffusion folder, and pass it as `tokenizer`.',
    });
  }
  const prefix = (await holdsVocabulary(folder, 'tokenizer/')) ? 'tokenizer/' : '';
  if (prefix === '' && !(await holdsVocabulary(folder, ''))) {
    throw new InputError({
      op: 'openSingleFile',
      problem: 'the folder holds no vocabulary',
      expected: 'vocab.json and merges.txt, or tokenizer.json',
      path: folder.label,
      fix: 'Name the folder of openai/clip-vit-large-patch14, or any Stable Diffusion folder.',
    });
  }
  const own = given.tokenizer === undefined;
  const merged = (await folder.has(`${prefix}merges.txt`)) ? [] : ['tokenizer.json'];
  const files = new Map<string, string>();
  for (const name of [...VOCABULARY, ...merged, ...(own ? SPECIAL : [])]) {
    if (await folder.has(prefix + name)) files.set(`tokenizer/${name}`, await folder.text(prefix + name));
  }
  if (own) return files;
  const pad = version === 2 ? '!' : END;
  files.set('tokenizer/special_tokens_map.json', asText({ ...marks(), pad_token: pad }));
  files.set(
    'tokenizer/tokenizer_config.json',
    asText({
      ...{ add_prefix_space: false, bos_token: START, do_lower_case: true, eos_token: END, errors: 'replace' },
      ...{ model_max_length: 77, pad_token: pad, tokenizer_class: 'CLIPTokenizer', unk_token: END },
    }),
  );
  return files;
}

async function holdsVocabulary(folder: FolderSource, prefix: string): Promise<boolean> {
  const [vocab, merges, both] = await Promise.all(
    ['vocab.json', 'merges.txt', 'tokenizer.json'].map(name => folder.has(prefix + name)),
  );
  return (vocab === true && merges === true) || both === true;
}

/** Start, end and unknown as published folders have them. */
function marks(): Record<string, unknown> {
  const mark = (content: string): object => ({
    content,
    lstrip: false,
    normalized: true,
    rstrip: false,
    single_word: false,
  });
  return { bos_token: mark(START), eos_token: mark(END), unk_token: mark(END) };
}

function asText(json: object): string {
  return `${JSON.stringify(json, null, 2)}\n`;
}
