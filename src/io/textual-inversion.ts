/**
 * Files of textual inversion embeddings: vectors that stand for a word that a text encoder never learned. Two layouts are
 * about: diffusers' `{ token: tensor }`, and that of the AUTOMATIC1111 web UI, `{ string_to_param: { "*": tensor }, name }`
 * or, as safetensors, `{ emb_params: tensor }`. What is done with them is in pipeline/diffusion/textual-inversion.ts.
 */
import { WeightsError } from '../core/errors.ts';
import type { NdArray } from '../core/ndarray.ts';
import type { ByteSource, FolderSource, TensorSource } from '../core/tensor-source.ts';
import { entriesOf } from './pickled.ts';
import { readFloats } from './read-floats.ts';
import type { TorchSource } from './torch-tensors.ts';
import { openWeightFile } from './weight-file.ts';

/** One embedding as its file has it. */
export interface TextualInversion {
  /** The word that the file names; undefined where it names none. */
  readonly token: string | undefined;
  /** [D], or [n, D] for n vectors. */
  readonly vectors: NdArray;
  /** For messages: the file. */
  readonly label: string;
}

/** What diffusers and its training scripts call the file in a folder of its own. */
/** Files of a folder that are looked for, the first that is there is taken. */
export const EMBEDDING_FILES: readonly string[] = ['learned_embeds.safetensors', 'learned_embeds.bin'];
/** No embedding is longer: 75 vectors of 1280 numbers are 384 kB. */
const MOST_BYTES = 64 * 2 ** 20;
/** Where the web UI's files have their tensor, under "*". */
const PARAMS = 'string_to_param.';

/**
 * Reads the embedding of a folder as diffusers' training scripts leave it.
 * @param folder holds learned_embeds.safetensors or learned_embeds.bin
 * @throws as readTextualInversion; WeightsError where there is neither
 */
export async function readTextualInversionFolder(folder: FolderSource): Promise<TextualInversion> {
  for (const name of EMBEDDING_FILES) if (await folder.has(name)) return readTextualInversion(await folder.bytes(name));
  const expected = EMBEDDING_FILES.join(' or ');
  const fix = 'Name the file itself.';
  throw new WeightsError({
    op: 'loadTextualInversion',
    problem: 'no embedding here',
    expected,
    path: folder.label,
    fix,
  });
}

/**
 * Reads one file, whatever its name ends in; it is closed in any case.
 * @param bytes safetensors, or what torch.save wrote (nothing in it is executed)
 * @returns its word and its vectors
 * @throws WeightsError for a damaged file, one of several embeddings, one for Stable Diffusion XL, and for any other file
 */
export async function readTextualInversion(bytes: ByteSource): Promise<TextualInversion> {
  const { label, byteLength } = bytes;
  if (byteLength > MOST_BYTES) {
    await bytes.close?.();
    const expected = `at most ${MOST_BYTES / 2 ** 20} MiB`;
    throw refusal(label, 'the file is too large for an embedding', expected, `${byteLength} bytes`);
  }
  const source = await openWeightFile(bytes);
  try {
    const keys = [...source.tensors.keys()];
    const params = keys.filter(key => key.startsWith(PARAMS));
    const key = onlyKey(label, params.length > 0 ? params : keys);
    const token = params.length > 0 ? nameIn(source) : key === 'emb_params' ? undefined : key;
    return { token, vectors: await readFloats(source, key), label };
  } finally {
    await source.close?.();
  }
}

/** What the web UI calls an embedding; its first files have no name. */
function nameIn(source: TensorSource | TorchSource): string | undefined {
  const name = 'root' in source ? entriesOf(source.root)?.get('name') : undefined;
  return typeof name === 'string' && name !== '' ? name : undefined;
}

function onlyKey(label: string, keys: readonly string[]): string {
  const [key] = keys;
  if (key !== undefined && keys.length === 1) return key;
  if (keys.includes('clip_g')) {
    const fix = 'Use an embedding that was trained for Stable Diffusion 1.x or 2.x.';
    throw refusal(label, 'an embedding for Stable Diffusion XL', 'the vectors of one text encoder', keys, fix);
  }
  const lora = keys.some(name => /\blora_(?:up|down|A|B)\b|^lora_(?:unet|te)/.test(name));
  const fix = lora ? 'This looks like a LoRA: load it with loadLoraWeights.' : undefined;
  throw refusal(label, 'not an embedding', 'one tensor, or string_to_param', keys.slice(0, 8), fix);
}

function refusal(label: string, problem: string, expected: string, received: unknown, fix?: string): WeightsError {
  const remedy =
    fix ?? "Name a file of textual inversion: diffusers' learned_embeds, or one of the AUTOMATIC1111 web UI.";
  return new WeightsError({ op: 'loadTextualInversion', problem, expected, received, path: label, fix: remedy });
}
