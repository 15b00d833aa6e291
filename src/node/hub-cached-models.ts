/** What the Hub's cache holds of models that this library can open, whoever downloaded them, and how they are removed. */
import { readFile, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { InputError } from '../core/errors.ts';
import { reason } from './files.ts';
import { entries, filesBelow, findSnapshot, isCommit, repoFolder } from './hub-cache.ts';
import { isLive } from './hub-download.ts';

/** One commit of a model on disk. */
export interface CachedRevision {
  /** 40 hexadecimal digits. */
  readonly commit: string;
  /** Branches and tags that stand for it. */
  readonly refs: readonly string[];
  /** Of its files; those that other commits share are counted for each. */
  readonly bytes: number;
  /** How many there are. */
  readonly files: number;
  /** What it lacks to be opened; nothing where it is whole. */
  readonly missing: readonly string[];
  /** Its folder, which `directory()` takes. */
  readonly path: string;
}

/** A model on disk. */
export interface CachedModel {
  /** Such as 'owner/name'. */
  readonly id: string;
  /** What opens it. */
  readonly kind: 'stable-diffusion' | 't5' | 'blip';
  /** On disk, unfinished downloads included. */
  readonly bytes: number;
  /** When its weights were read last, as far as the file system keeps that; 1970 where there are none. */
  readonly lastUsed: Date;
  /** Those that are there. */
  readonly revisions: readonly CachedRevision[];
  /** Its folder in the cache. */
  readonly path: string;
}

/**
 * Lists the models, those that were used last first.
 * @param cacheDir the Hub's cache; a folder that is not there holds none
 */
export async function cachedModels(cacheDir: string): Promise<CachedModel[]> {
  const models: CachedModel[] = [];
  for (const name of await entries(cacheDir)) {
    const [, id] = /^models--(.+)$/.exec(name) ?? [];
    const model = id === undefined ? undefined : await cachedModel(join(cacheDir, name), id.replaceAll('--', '/'));
    if (model !== undefined) models.push(model);
  }
  return models.sort((a, b) => b.lastUsed.getTime() - a.lastUsed.getTime());
}

async function cachedModel(path: string, id: string): Promise<CachedModel | undefined> {
  const commits = (await entries(join(path, 'snapshots'))).filter(isCommit).sort();
  const kinds = await Promise.all(commits.map(commit => kindOf(join(path, 'snapshots', commit))));
  const kind = kinds.find(found => found !== undefined);
  if (kind === undefined) return undefined;
  const names = new Map<string, string[]>();
  for (const ref of (await filesBelow(join(path, 'refs'))).keys()) {
    const commit = (await readFile(join(path, 'refs', ref), 'utf8').catch(() => '')).trim();
    names.set(commit, [...(names.get(commit) ?? []), ref]);
  }
  const revisions = await Promise.all(commits.map(commit => revision(path, commit, names.get(commit) ?? [])));
  return { id, kind, ...(await onDisk(path)), revisions, path };
}

async function revision(root: string, commit: string, refs: readonly string[]): Promise<CachedRevision> {
  const path = join(root, 'snapshots', commit);
  const files = await filesBelow(path);
  const bytes = [...files.values()].reduce((sum, size) => sum + size, 0);
  const missing = (await findSnapshot(root, commit, undefined))?.missing ?? ['everything'];
  return { commit, refs, bytes, files: files.size, missing, path };
}

/** Each file once, under however many names it is there. Listing reads the configs itself: only weights tell of use. */
async function onDisk(root: string): Promise<{ bytes: number; lastUsed: Date }> {
  const sizes = new Map<string, number>();
  let used = 0;
  for (const folder of ['blobs', 'snapshots']) {
    for (const path of (await filesBelow(join(root, folder))).keys()) {
      const info = await stat(join(root, folder, path)).catch(() => undefined);
      if (info === undefined) continue;
      sizes.set(`${info.dev} ${info.ino}`, info.size);
      if (/\.(safetensors|bin)$/.test(path)) used = Math.max(used, info.atimeMs, info.mtimeMs);
    }
  }
  return { bytes: [...sizes.values()].reduce((sum, size) => sum + size, 0), lastUsed: new Date(used) };
}

/** By the config files that the loaders read first. */
async function kindOf(snapshot: string): Promise<CachedModel['kind'] | undefined> {
  const index = await readObject(join(snapshot, 'model_index.json'));
  if (index !== undefined) {
    const classOf = (name: string): unknown => (Array.isArray(index[name]) ? index[name][1] : undefined);
    const ours = classOf('unet') === 'UNet2DConditionModel' && classOf('text_encoder') === 'CLIPTextModel';
    return ours && classOf('vae') === 'AutoencoderKL' && index['text_encoder_2'] === undefined
      ? 'stable-diffusion'
      : undefined;
  }
  const type = (await readObject(join(snapshot, 'config.json')))?.['model_type'];
  return type === 't5' || type === 'blip' ? type : undefined;
}

async function readObject(path: string): Promise<Record<string, unknown> | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Removes a model with all of its revisions. What points to files goes before the files, so that a removal that is cut
 * short leaves no model that looks whole.
 * @param cacheDir the Hub's cache
 * @param id of a model that `cachedModels` lists
 * @throws InputError where it is being downloaded, or the system refuses
 */
export async function removeCachedModel(cacheDir: string, id: string): Promise<void> {
  const root = repoFolder(cacheDir, id);
  for (const name of await entries(join(root, 'blobs'))) {
    const path = join(root, 'blobs', name);
    const info = await stat(path).catch(() => undefined);
    if (info === undefined || !isLive(path, info.mtimeMs)) continue;
    const fix = 'Wait for that download, or end it.';
    throw new InputError({ op: 'cache', problem: 'the model is being downloaded', path: id, fix });
  }
  try {
    for (const part of ['refs', 'snapshots', 'blobs', '']) await rm(join(root, part), { recursive: true, force: true });
    await rm(join(cacheDir, '.locks', basename(root)), { recursive: true, force: true });
  } catch (cause) {
    const fix = 'Check who owns the folder.';
    const received = reason(cause);
    throw new InputError({ op: 'cache', problem: 'the model cannot be removed', received, path: root, fix, cause });
  }
}
