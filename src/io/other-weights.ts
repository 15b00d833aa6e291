/**
 * What lies in a model's folder where weights of the usual names do not: variants, weights of other programs, files of another
 * name. From it comes either the one variant that can be taken, or the remedy in the error.
 */
import type { FolderSource } from '../core/tensor-source.ts';
import { type CheckpointStem, candidates } from './checkpoint-names.ts';

/** Variants that are looked for by name where a folder cannot be listed. */
const KNOWN_VARIANTS = ['fp16', 'non_ema', 'ema', 'bf16', 'fp32'];

/** Formats by the ends of their files, first match first: what they are called, and what to do. */
const FORMATS: readonly (readonly [RegExp, string, string])[] = [
  [/\.msgpack$/, 'Flax', 'Convert them in Python: from_pretrained(folder, from_flax=True).save_pretrained(folder).'],
  [/\.h5$/, 'TensorFlow', 'Convert them in Python: from_pretrained(folder, from_tf=True).save_pretrained(folder).'],
  [/\.onnx(_data)?$|^openvino_/, 'ONNX or OpenVINO', 'Download the safetensors or .bin files of the model too.'],
  [/\.gguf$/, 'GGUF', 'Download the safetensors or .bin files of the model too.'],
  [/-\d+-of-\d+\.(safetensors|bin)$/, 'shards without an index', 'Download the file that ends in .index.json too.'],
];

/** The same files under their usual names, for folders that cannot be listed. */
const KNOWN_FILES = [
  ...['diffusion_flax_model.msgpack', 'flax_model.msgpack', 'tf_model.h5', 'model.onnx', 'openvino_model.xml'],
  ...(['diffusion_pytorch_model', 'model'] as const).flatMap(stem => candidates(stem, undefined)),
];

/** What was found in place of the usual names. */
export interface OtherWeights {
  /** Variants that the folder has weights of. */
  readonly variants: readonly string[];
  /** Files that hold weights and cannot be taken as they are, such as 'model.onnx (ONNX or OpenVINO)'; undefined where none is. */
  readonly found: string | undefined;
  /** What to do about them; undefined where `found` is. */
  readonly fix: string | undefined;
}

/**
 * Looks for other weights in a model's folder.
 * @param folder the one that holds config.json
 * @param stem name that its weights should have
 */
export async function otherWeights(folder: FolderSource, stem: CheckpointStem): Promise<OtherWeights> {
  const plain = candidates(stem, undefined);
  const there = folder.list ? await folder.list('') : await probe(folder, stem);
  const names = there.filter(name => !plain.includes(name));
  const variants = variantsAmong(names, stem);
  for (const [pattern, format, fix] of FORMATS) {
    const found = names.find(name => pattern.test(name));
    if (found !== undefined) return { variants, found: `${found} (${format})`, fix };
  }
  const found = names.find(name => /\.(safetensors|bin|ckpt|pth?)$/.test(name));
  if (found === undefined) return { variants, found, fix: undefined };
  return { variants, found, fix: `If it is this model's, rename it to ${nameLike(found, stem)}.` };
}

/**
 * The variants that a list of files has weights of.
 * @param names of the files of one model's folder
 * @param stem name of its weights without extension
 */
export function variantsAmong(names: Iterable<string>, stem: CheckpointStem): string[] {
  const found = new Set<string>();
  for (const name of names) {
    // Of shards the index tells.
    const parts = name.split('.').slice(1, -1);
    for (const part of parts.filter(own => !/-\d+-of-\d+$/.test(own))) {
      if (candidates(stem, part).includes(name)) found.add(part);
    }
  }
  return [...found];
}

async function probe(folder: FolderSource, stem: CheckpointStem): Promise<string[]> {
  const names = [...KNOWN_VARIANTS.flatMap(variant => candidates(stem, variant)), ...KNOWN_FILES];
  const there: string[] = [];
  for (const name of names) if (await folder.has(name)) there.push(name);
  return there;
}

/** The name under which a file would be found. */
function nameLike(found: string, stem: CheckpointStem): string {
  const [safetensors = '', , bin = ''] = candidates(stem, undefined);
  return found.endsWith('.safetensors') ? safetensors : bin;
}
