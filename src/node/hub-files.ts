/** Which files of a repository a pipeline reads, by their names alone, and whether a folder holds all of them. */
import { dirname } from 'node:path';
import { InputError } from '../core/errors.ts';
import { type CheckpointStem, candidates } from '../io/checkpoint.ts';
import { variantsAmong } from '../io/other-weights.ts';

/** The parts of a pipeline's folder that are read; repositories hold more (safety checkers, other frameworks). */
const COMPONENTS = ['', 'scheduler', 'inverse_scheduler', 'text_encoder', 'tokenizer', 'unet', 'vae'];
const NETWORKS = ['text_encoder', 'unet', 'vae'];
const STEMS: readonly CheckpointStem[] = ['diffusion_pytorch_model', 'model'];
const SMALL = /\.(json|txt|model)$/;
const NUMBER = '-\\d+-of-\\d+';

/**
 * The files to fetch: configs, vocabularies, and of each component's weights the first set that `openCheckpoint` would
 * open, with all its shards. Small files come first, so that what is wrong with them shows before gigabytes have arrived.
 * @param files of the repository
 * @param variant such as 'fp16'
 * @param withoutWeights leaves out the weights
 */
export function selectFiles<T extends { readonly path: string }>(
  files: readonly T[],
  variant?: string,
  withoutWeights = false,
): T[] {
  const pipelineFolder = files.some(f => f.path === 'model_index.json');
  const folders = pipelineFolder ? COMPONENTS : [''];
  const kept = folders.map(folder => {
    const inside = files.filter(f => dirname(f.path) === (folder || '.') && isPlainPath(f.path));
    const names = new Set(inside.map(f => nameIn(folder, f.path)));
    const weights = new Set(chooseWeights(names, variant));
    const small = (name: string): boolean => SMALL.test(name) && !/\.index\.([\w-]+\.)?json$/.test(name);
    return {
      small: inside.filter(f => small(nameIn(folder, f.path)) && !weights.has(nameIn(folder, f.path))),
      weights: inside.filter(f => weights.has(nameIn(folder, f.path))),
    };
  });
  return [...kept.flatMap(k => k.small), ...(withoutWeights ? [] : kept.flatMap(k => k.weights))];
}

function nameIn(folder: string, path: string): string {
  return path.slice(folder ? folder.length + 1 : 0);
}

/** Whether a path stays inside its folder on every system, as what a listing names must. */
export function isPlainPath(path: string): boolean {
  return path.split('/').every(part => /^[^\\:*?"<>|\0]+$/.test(part) && part !== '.' && part !== '..');
}

/**
 * The weights of one folder: an index with its shards, or a single file; none where there are none, or several variants
 * and no plain set.
 */
function chooseWeights(names: ReadonlySet<string>, variant: string | undefined): string[] {
  const asked = variant === undefined ? [] : setOf(names, variant);
  if (asked.length > 0) return asked;
  const plain = setOf(names, undefined);
  if (plain.length > 0) return plain;
  const [only, ...more] = variantsIn(names);
  return only === undefined || more.length > 0 ? [] : setOf(names, only);
}

function setOf(names: ReadonlySet<string>, variant: string | undefined): string[] {
  const found = STEMS.flatMap(stem => candidates(stem, variant)).find(name => names.has(name));
  if (found === undefined) return [];
  if (!found.endsWith('.json')) return [found];
  const [base = '', extension = ''] = found.split(/\.(safetensors|bin)/);
  const stem = base.split('.')[0];
  const middle =
    variant === undefined ? NUMBER : `(\\.${literally(variant)}${NUMBER}|${NUMBER}\\.${literally(variant)})`;
  const shard = new RegExp(`^${stem}${middle}\\.${extension}$`);
  return [found, ...[...names].filter(name => shard.test(name))];
}

function literally(text: string): string {
  return text.replaceAll(/[^\w-]/g, '\\$&');
}

/** The names of the sets of weights beside a plain one, such as fp16 and non_ema. */
function variantsIn(names: ReadonlySet<string>): string[] {
  return [...new Set(STEMS.flatMap(stem => variantsAmong(names, stem)))];
}

/**
 * Refuses a repository whose weights nobody here reads, before anything is downloaded.
 * @param files of the repository
 * @param variant that was asked for
 * @param place for the message
 * @throws InputError naming what lies there in place of the weights
 */
export function checkWeights(
  files: readonly { readonly path: string }[],
  variant: string | undefined,
  place: string,
): void {
  const pipelineFolder = files.some(f => f.path === 'model_index.json');
  for (const folder of pipelineFolder ? NETWORKS : ['']) {
    const inside = files.filter(f => dirname(f.path) === (folder || '.')).map(f => nameIn(folder, f.path));
    const names = new Set(inside);
    if (chooseWeights(names, variant).length > 0 || (pipelineFolder && inside.length === 0)) continue;
    const variants = variantsIn(names);
    const others = inside.filter(name => /\.(safetensors|bin|ckpt|msgpack|h5|onnx|pt|pth|gguf|pb|ot)$/.test(name));
    throw new InputError({
      op: 'fetchModel',
      problem:
        variants.length > 1 ? 'there are several sets of weights, and no plain one' : 'no weights that can be read',
      expected:
        variants.length > 1 ? `a variant: ${variants.join(' or ')}` : 'safetensors or PyTorch files of diffusers',
      received: variants.length > 1 ? 'none' : others.slice(0, 5).join(', ') || 'none',
      path: folder === '' ? place : `${place}, ${folder}`,
      fix:
        variants.length > 1
          ? 'Name the variant.'
          : 'Use a repository of PyTorch weights; a checkpoint of one file is downloaded by hand and named by its path.',
    });
  }
}

/** Reads a text file of a folder; undefined where there is none. */
export type ReadText = (path: string) => Promise<string | undefined>;

/**
 * What a folder on disk lacks of what a pipeline reads. The repository is not at hand: what can be known is what its own
 * index files name.
 * @param paths of the files that are there
 * @param variant where given, and `exact`, each network must have it
 * @param exact false: the plain weights will do, as they do where a repository lacks the variant
 * @param read reads one of the files
 * @returns names in words, such as 'unet: weights'; none where all is there
 */
export async function missingFiles(
  paths: ReadonlySet<string>,
  variant: string | undefined,
  exact: boolean,
  read: ReadText,
): Promise<string[]> {
  const missing: string[] = [];
  const need = (folder: string, ...ways: readonly (readonly string[])[]): void => {
    const at = folder === '' ? '' : `${folder}/`;
    if (ways.some(way => way.every(name => paths.has(at + name)))) return;
    missing.push(...(ways[0] ?? []).map(name => at + name).filter(path => !paths.has(path)));
  };
  const pipelineFolder = paths.has('model_index.json');
  const networks = pipelineFolder ? NETWORKS : [''];
  if (pipelineFolder) {
    need('scheduler', ['scheduler_config.json']);
    need('tokenizer', ['vocab.json', 'merges.txt'], ['tokenizer.json']);
  }
  for (const folder of networks) {
    need(folder, ['config.json']);
    const at = folder === '' ? '' : `${folder}/`;
    const names = new Set([...paths].filter(path => dirname(path) === (folder || '.')).map(p => p.slice(at.length)));
    const chosen = exact ? setOf(names, variant) : chooseWeights(names, variant);
    if (chosen.length === 0) missing.push(`${at}weights`);
    const [index] = chosen;
    if (index?.endsWith('.json')) {
      const shards = shardsOf((await read(at + index)) ?? '');
      if (shards === undefined) missing.push(at + index);
      else missing.push(...shards.filter(name => !names.has(name)).map(name => at + name));
    }
  }
  return missing;
}

function shardsOf(index: string): string[] | undefined {
  try {
    const { weight_map: map } = JSON.parse(index) as { weight_map?: Record<string, string> };
    return map === undefined ? undefined : [...new Set(Object.values(map).map(String))];
  } catch {
    return undefined;
  }
}
