/** Finds the weights of one model in its folder: single file or shards, safetensors or .bin, plain or a variant. */

import { InputError, WeightsError } from '../core/errors.ts';
import { checkFolder } from '../core/kinds.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { loadPart } from '../core/load-part.ts';
import type { AbortSignalLike } from '../core/platform.ts';
import {
  type FolderSource,
  readTensors,
  type StoredTensor,
  type TensorRange,
  type TensorSource,
} from '../core/tensor-source.ts';
import { type CheckpointStem, candidates } from './checkpoint-names.ts';
import { parseJsonFile } from './json-file.ts';
import { isObject } from './json-object.ts';
import { openSafetensors } from './safetensors.ts';
import { openWeightFile } from './weight-file.ts';

export { type CheckpointStem, candidates };

/** How a checkpoint is looked for in its folder. */
export interface CheckpointOptions {
  /** Such as 'fp16': the part of the file name that tells a second set of weights apart. */
  readonly variant?: string;
  /** Takes the plain files where the folder lacks the variant, and says so; without it that is an error. */
  readonly onMissingVariant?: (message: string) => void;
  /** Told once of tensors that an index names and no shard holds, and of a variant that is taken because nothing else is there. */
  readonly onWarning?: (message: string) => void;
}

const OPTIONS = namesOf<CheckpointOptions>({ variant: 1, onMissingVariant: 1, onWarning: 1 });

/**
 * Opens a model's weights. Safetensors come before .bin, single files before shards.
 * @param folder the model's own folder (the one that holds config.json)
 * @param stem name of its weight files
 * @param options which variant
 * @returns one view over all shards; `close` closes every file
 * @throws WeightsError when no file is there (all names that were tried are listed), an index does not agree with its
 * shards about where a tensor is, or a file is damaged
 * @see diffusers ModelMixin.from_pretrained
 */
export async function openCheckpoint(
  folder: FolderSource,
  stem: CheckpointStem,
  options: CheckpointOptions = {},
): Promise<TensorSource> {
  checkNames('openCheckpoint', options, OPTIONS);
  checkFolder(folder, 'openCheckpoint');
  const { variant, onMissingVariant } = options;
  const tried = candidates(stem, variant);
  let found = await firstPresent(folder, tried);
  if (found === undefined && variant !== undefined && onMissingVariant) {
    const plain = candidates(stem, undefined);
    found = await firstPresent(folder, plain);
    tried.push(...plain);
    if (found !== undefined) onMissingVariant(`${folder.label}: no variant "${variant}", ${found} is used`);
  }
  found ??= await onlyVariant(folder, stem, options, tried);
  return found.endsWith('.json') ? openShards(folder, found, options) : openFile(folder, found);
}

/** The weights of the one variant that there is; where nobody asked for one it is taken, with a warning. */
async function onlyVariant(
  folder: FolderSource,
  stem: CheckpointStem,
  { variant, onWarning }: CheckpointOptions,
  tried: readonly string[],
): Promise<string> {
  const { otherWeights } = await loadPart('what looks for other weights', () => import('./other-weights.ts'));
  const other = await otherWeights(folder, stem);
  const [only, ...more] = other.variants;
  if (only !== undefined && more.length === 0 && variant === undefined) {
    const found = await firstPresent(folder, candidates(stem, only));
    if (found !== undefined) {
      onWarning?.(`${folder.label}: no plain weights, those of the variant "${only}" are used (${found})`);
      return found;
    }
  }
  const foreign = only === undefined ? other.found : undefined;
  const asked = variant === undefined ? 'no weights' : `no weights of the variant "${variant}"`;
  const choose = `Choose a variant that is there: ${other.variants.map(name => `variant: '${name}' (--variant ${name})`).join(', ')}.`;
  const fetch = variant === undefined ? 'Download the missing file.' : 'Download it, or leave the variant out.';
  throw new WeightsError({
    op: 'openCheckpoint',
    problem: foreign === undefined ? asked : `${asked} that can be read`,
    expected: `one of ${tried.join(', ')}`,
    received: foreign,
    path: folder.label,
    fix: only === undefined ? (other.fix ?? fetch) : choose,
  });
}

async function firstPresent(folder: FolderSource, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) if (await folder.has(name)) return name;
  return undefined;
}

async function openFile(folder: FolderSource, name: string): Promise<TensorSource> {
  const bytes = await folder.bytes(name);
  return name.endsWith('.bin') ? openWeightFile(bytes) : openSafetensors(bytes);
}

async function openShards(folder: FolderSource, index: string, options: CheckpointOptions): Promise<TensorSource> {
  const label = `${folder.label}/${index}`;
  const weightMap = await parseIndex(await folder.text(index), label);
  const shards = new Map<string, TensorSource>();
  const close = async (): Promise<void> => {
    await Promise.all([...shards.values()].map(shard => shard.close?.()));
  };
  try {
    for (const file of new Set(weightMap.values())) {
      if (!(await folder.has(file))) {
        const fix = 'Download the missing file.';
        throw new WeightsError({
          op: 'openCheckpoint',
          problem: 'a shard is missing',
          expected: file,
          path: label,
          fix,
        });
      }
      shards.set(file, await openFile(folder, file));
    }
    const { tensors, homes, absent } = merge(weightMap, shards, label);
    if (absent.length > 0) options.onWarning?.(`${label} names tensors that no shard holds: ${absent.join(', ')}`);
    const homeOf = (name: string): TensorSource => {
      const home = homes.get(name);
      if (!home) throw new WeightsError({ op: 'read', problem: `no tensor "${name}"`, path: label });
      return home;
    };
    return {
      label,
      tensors,
      read: async (name, start, into) => homeOf(name).read(name, start, into),
      ...([...shards.values()].some(shard => shard.readMany) && {
        readMany: async (ranges: readonly TensorRange[], signal?: AbortSignalLike) => {
          const homesOf = ranges.map(range => homeOf(range.name));
          for (const home of new Set(homesOf)) {
            const own = ranges.filter((_, i) => homesOf[i] === home);
            await readTensors(home, own, signal);
          }
        },
      }),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function parseIndex(text: string, path: string): Promise<Map<string, string>> {
  const fail = (problem: string, received?: unknown): WeightsError =>
    new WeightsError({ op: 'openCheckpoint', problem, received, path, fix: 'Download the index again.' });
  let index: unknown;
  try {
    index = await parseJsonFile(text, 'openCheckpoint', path);
  } catch (cause) {
    if (cause instanceof InputError) throw fail(cause.problem);
    throw fail('the index is not JSON', cause instanceof Error ? cause.message : cause);
  }
  const weightMap = isObject(index) ? index['weight_map'] : undefined;
  if (!isObject(weightMap)) throw fail('the index has no weight_map');
  const map = new Map<string, string>();
  for (const [tensor, file] of Object.entries(weightMap)) {
    // Shards lie beside their index: a name that leads elsewhere is damage or an attack.
    if (typeof file !== 'string' || !/^[^/\\]+\.(safetensors|bin)$/.test(file)) {
      throw fail(`the index gives no valid file for "${tensor}"`, file);
    }
    map.set(tensor, file);
  }
  return map;
}

interface Merged {
  readonly tensors: Map<string, StoredTensor>;
  readonly homes: Map<string, TensorSource>;
  /** In the index alone: second names of shared tensors, which their writer left out. */
  readonly absent: string[];
}

/** Index and shards must name the same places for all tensors that there are; all differences are reported at once. */
function merge(weightMap: Map<string, string>, shards: Map<string, TensorSource>, path: string): Merged {
  const merged: Merged = { tensors: new Map(), homes: new Map(), absent: [] };
  const present = new Set([...shards.values()].flatMap(shard => [...shard.tensors.keys()]));
  const wrong: string[] = [];
  for (const [name, file] of weightMap) {
    const shard = shards.get(file);
    const tensor = shard?.tensors.get(name);
    if (shard && tensor) {
      merged.tensors.set(name, tensor);
      merged.homes.set(name, shard);
    } else if (present.has(name)) wrong.push(`"${name}" is not in ${file}`);
    else merged.absent.push(name);
  }
  for (const [file, shard] of shards) {
    for (const name of shard.tensors.keys()) {
      if (weightMap.get(name) !== file) wrong.push(`"${name}" in ${file} is not in the index`);
    }
  }
  if (wrong.length === 0) return merged;
  const problem = `index and shards disagree about ${wrong.length} tensors: ${wrong.slice(0, 10).join('; ')}`;
  throw new WeightsError({ op: 'openCheckpoint', problem, path, fix: 'Download index and shards of one revision.' });
}
