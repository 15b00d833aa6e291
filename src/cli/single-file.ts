/** A checkpoint in one file as the command line opens it: the file, its training config, and CLIP's vocabulary, which it lacks. */
import { existsSync, statSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { InputError } from '../core/errors.ts';
import type { FolderSource } from '../core/tensor-source.ts';
import { directory, fileSource } from '../node/files.ts';
import { fetchModel, isRepoId } from '../node/hub.ts';
import { openSingleFile } from '../pipeline/diffusion/single-file.ts';
import type { SingleFile, SingleFileOptions } from '../pipeline/diffusion/single-file-options.ts';
import type { HubOptions, SingleFileOptionsTyped } from './options.ts';
import type { Progress } from './progress.ts';

/** Where CLIP's vocabulary comes from unless a folder is named; Stable Diffusion 2.x has the same one. */
const VOCABULARY = 'openai/clip-vit-large-patch14';
/** A training config is a few kilobytes. */
const MAX_YAML_BYTES = 2 ** 20;

/**
 * Opens a checkpoint file as a model folder.
 * @param path of the file
 * @throws InputError for another kind of file or config; WeightsError for a damaged one, or where the vocabulary cannot be fetched
 */
export async function openSingleFileAt(
  path: string,
  o: HubOptions & SingleFileOptionsTyped,
  progress: Progress,
  signal: AbortSignal,
): Promise<SingleFile> {
  if (o.variant !== undefined) {
    const fix = 'Leave --variant out: it chooses among the files of a folder.';
    throw new InputError({ op: 'model', problem: 'a single file has no variants', received: o.variant, path, fix });
  }
  const configs = await findConfig(path, o, progress, signal);
  const tokenizer = await findTokenizer(o, configs.config, progress, signal);
  return openSingleFile(await fileSource(path), {
    ...configs,
    tokenizer,
    predictionType: o.predictionType,
    extractEma: o.ema,
    onWarning: progress.note,
  });
}

/** `--config`: a YAML of LDM, or a diffusers folder; by default the YAML of the checkpoint's own name beside it. */
async function findConfig(
  path: string,
  o: HubOptions & SingleFileOptionsTyped,
  progress: Progress,
  signal: AbortSignal,
): Promise<Pick<SingleFileOptions, 'config' | 'originalConfig'>> {
  const { config } = o;
  if (config === undefined) {
    const beside = ['.yaml', '.yml'].map(extension => path.slice(0, path.length - extname(path).length) + extension);
    const found = beside.find(name => isFile(name));
    if (found === undefined) return {};
    progress.note(`Using the training config ${found} beside the checkpoint.`);
    return { originalConfig: await readYaml(found) };
  }
  if (isFile(config)) return { originalConfig: await readYaml(config) };
  return { config: await findFolder('--config', config, o, progress, signal) };
}

async function findTokenizer(
  o: HubOptions & SingleFileOptionsTyped,
  config: FolderSource | undefined,
  progress: Progress,
  signal: AbortSignal,
): Promise<FolderSource | undefined> {
  if (o.tokenizer !== undefined) return findFolder('--tokenizer', o.tokenizer, o, progress, signal);
  if (
    config !== undefined &&
    ((await config.has('tokenizer/vocab.json')) || (await config.has('tokenizer/tokenizer.json')))
  )
    return undefined;
  // Fetched when the file has turned out to be one that needs it.
  return whenAsked(VOCABULARY, () => {
    progress.note(
      `Using the vocabulary of ${VOCABULARY}, because a checkpoint holds none; --tokenizer names another folder.`,
    );
    return findFolder('--tokenizer', VOCABULARY, o, progress, signal);
  });
}

/** A folder that is opened when something of it is asked for. */
function whenAsked(label: string, open: () => Promise<FolderSource>): FolderSource {
  let opened: Promise<FolderSource> | undefined;
  const folder = (): Promise<FolderSource> => {
    opened ??= open();
    return opened;
  };
  return {
    label,
    has: async path => (await folder()).has(path),
    text: async path => (await folder()).text(path),
    bytes: async path => (await folder()).bytes(path),
  };
}

/** A directory, or what a Hub repository holds beside its weights. */
async function findFolder(
  option: string,
  asked: string,
  { cacheDir }: HubOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<FolderSource> {
  if (existsSync(asked) && statSync(asked).isDirectory()) return directory(asked);
  if (existsSync(asked) || !isRepoId(asked) || /\.ya?ml$/i.test(asked)) {
    const problem = `${option}: ${existsSync(asked) ? 'not a folder' : 'there is no such file or folder'}`;
    const fix =
      option === '--config' ? 'Name a YAML file, a diffusers folder or a Hub id.' : 'Name a folder or a Hub id.';
    throw new InputError({ op: 'model', problem, path: asked, fix });
  }
  const onProgress = (e: { bytes: number; of: number }): void => progress.bytes('download', e.bytes, e.of);
  const path = await fetchModel(asked, {
    cacheDir,
    signal,
    onProgress,
    onWarning: progress.note,
    withoutWeights: true,
  });
  progress.stop();
  return directory(path);
}

async function readYaml(path: string): Promise<Readonly<Record<string, unknown>>> {
  const { size } = await stat(path);
  const refuse = (problem: string, received: unknown, cause?: unknown): never => {
    const fix = 'Name the training config of the checkpoint, such as v2-inference-v.yaml.';
    throw new InputError({ op: 'model', problem, received, path, fix, cause });
  };
  if (size > MAX_YAML_BYTES) refuse('the file is no training config', `${size} bytes`);
  const { parse } = await import('yaml');
  try {
    const value: unknown = parse(await readFile(path, 'utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
    const received = value === null ? 'an empty file' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
    return refuse('the file is no training config', received);
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    return refuse('the file is not YAML', cause instanceof Error ? cause.message.split('\n')[0] : cause, cause);
  }
}

/** Whether there is such a file; a folder is none. */
export function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}
