/** What is kept in the browser's storage, and its removal. */
import { checkNames, namesOf } from '../../core/known-names.ts';
import { lockIfFree, type Release } from './locks.ts';
import { type KeptFile, type KeptModel, nameFor, readRecord } from './record.ts';
import { isOfAnotherTab, namesIn, orAbsent, type StorageFolder, storageEstimate, storageRoot } from './storage.ts';

/** A file that is kept. */
export interface CachedFile {
  /** In the model's folder; undefined where nothing tells, as after damage, or of another version of this library. */
  readonly path: string | undefined;
  /** Bytes that lie in the storage. */
  readonly bytes: number;
  /** Bytes of all of it; undefined where nobody knows. */
  readonly of: number | undefined;
  /** False for a download that was cut. */
  readonly whole: boolean;
}

/** A model that is kept. */
export interface CachedModel {
  /** The address or Hub id that it came from, or the name it was given; undefined where nothing tells. */
  readonly name: string | undefined;
  /** Of the Hub: the commit. */
  readonly commit: string | undefined;
  /** Of all its files in the storage. */
  readonly bytes: number;
  /** Those that have bytes there. */
  readonly files: readonly CachedFile[];
}

/** All that is kept, and the room that is left. */
export interface CacheListing {
  /** One an address. */
  readonly models: readonly CachedModel[];
  /** Of all models, in bytes. */
  readonly bytes: number;
  /** What the browser would still give this site, in bytes; undefined where it does not tell. */
  readonly availableBytes: number | undefined;
}

/** Where `listCache` and `purge` look. */
export interface CacheOptions {
  /** A folder in place of the origin's private one, as given to `cachedFolder`. */
  readonly root?: StorageFolder | undefined;
}

const OPTIONS = namesOf<CacheOptions>({ root: 1 });
const PURGE = namesOf<PurgeOptions>({ root: 1, name: 1 });

/**
 * Lists what `cachedFolder` keeps. Nothing is read but sizes.
 * @throws WeightsError where the page has no storage
 */
export async function listCache(options: CacheOptions = {}): Promise<CacheListing> {
  checkNames('listCache', options, OPTIONS);
  const root = await storageRoot('listCache', options.root);
  const models: CachedModel[] = [];
  for (const folder of await foldersOf(root)) {
    const model = await readRecord<KeptModel>(folder, 'model.json');
    const files: CachedFile[] = [];
    for (const home of await foldersOf(folder)) {
      const record = await readRecord<KeptFile>(home, 'file.json');
      const bytes = await bytesOf(home);
      if (record?.absent) continue;
      files.push({ path: record?.path, bytes, of: record?.size, whole: record?.whole ?? false });
    }
    files.sort((a, b) => String(a.path).localeCompare(String(b.path)));
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    models.push({ name: model?.label.replace(/\/$/, ''), commit: model?.commit, bytes, files });
  }
  models.sort((a, b) => String(a.name).localeCompare(String(b.name)));
  const { available } = await storageEstimate();
  return { models, bytes: models.reduce((sum, model) => sum + model.bytes, 0), availableBytes: available };
}

/** What `purge` removes. */
export interface PurgeOptions extends CacheOptions {
  /** The one model of this name, as `listCache` shows it. Default all of them. */
  readonly name?: string | undefined;
}

/** What `purge` did. */
export interface Purged {
  /** Removed, in bytes. */
  readonly bytes: number;
  /** Files that stay because a model reads them, in this tab or another one. */
  readonly inUse: number;
}

/**
 * Removes what is kept. What a model reads just now, in whatever tab, stays.
 * @throws WeightsError where the page has no storage
 */
export async function purge(options: PurgeOptions = {}): Promise<Purged> {
  checkNames('purge', options, PURGE);
  const root = await storageRoot('purge', options.root);
  const wanted = options.name === undefined ? undefined : await Promise.all([nameFor(`${options.name}/`)]);
  let [bytes, inUse] = [0, 0];
  for (const name of await namesIn(root)) {
    if (wanted && !wanted.includes(name)) continue;
    const folder = await orAbsent(root.getDirectoryHandle(name));
    if (!folder) continue;
    let left = 0;
    for (const home of await foldersOf(folder)) {
      const release = await lockIfFree(`pentimento ${name} ${home.name}`);
      const gone = release && (await removed(folder, home, release));
      if (gone === undefined) left++;
      else bytes += gone;
    }
    inUse += left;
    // Another tab may have begun to keep a file by now.
    if ((await foldersOf(folder)).length === 0) await unlessInUse(root.removeEntry(name, { recursive: true }));
  }
  return { bytes, inUse };
}

/** @returns bytes; undefined where another tab writes to it */
async function removed(folder: StorageFolder, home: StorageFolder, release: Release): Promise<number | undefined> {
  try {
    const bytes = await bytesOf(home);
    const done = await unlessInUse(folder.removeEntry(home.name, { recursive: true }));
    return done ? bytes : undefined;
  } finally {
    release();
  }
}

/** Whether the removal came to pass: not where another tab writes there, or has removed it. */
async function unlessInUse(removal: Promise<void>): Promise<boolean> {
  try {
    await removal;
    return true;
  } catch (error) {
    if (!isOfAnotherTab(error)) throw error;
    return false;
  }
}

async function foldersOf(folder: StorageFolder): Promise<StorageFolder[]> {
  const found: StorageFolder[] = [];
  for (const name of await namesIn(folder)) {
    const inner = await orAbsent(folder.getDirectoryHandle(name));
    if (inner) found.push(inner);
  }
  return found;
}

/** Of a file's pieces. */
async function bytesOf(home: StorageFolder): Promise<number> {
  let bytes = 0;
  for (const name of await namesIn(home)) {
    const handle = name === 'file.json' ? undefined : await orAbsent(home.getFileHandle(name));
    bytes += (handle && (await orAbsent(handle.getFile())))?.size ?? 0;
  }
  return bytes;
}
