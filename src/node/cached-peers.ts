/** Packages of other engines in the user's cache directory: `pentimento bench --against` fetches them, a folder for each and each version. */
import { lstat, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { InputError } from '../core/errors.ts';
import { reason } from './files.ts';
import { tuningFolder } from './kept-tuning.ts';

/** An engine that was fetched, or half of one. */
export interface CachedPeer {
  /** By which it is removed: the folder's name, such as `tfjs-4.22.0`. */
  readonly name: string;
  /** The folder. */
  readonly path: string;
  /** Of all files in it. */
  readonly bytes: number;
  /** False for what a fetch that was killed has left. */
  readonly whole: boolean;
}

/** As `installPeer` names them; those that are being fetched, or never were to the end, begin with a dot. */
const NAME = /^\.?[a-z]+-[\w.-]+$/;

/** The folder of their folders: `peers` beside the tuning tables. */
export function peersFolder(): string {
  return join(dirname(tuningFolder()), 'peers');
}

/** All that were fetched, by their names. @param folder default `peersFolder()` */
export async function cachedPeers(folder: string = peersFolder()): Promise<readonly CachedPeer[]> {
  const found: CachedPeer[] = [];
  for (const name of (await namesIn(folder)).sort()) {
    const path = join(folder, name);
    if (!NAME.test(name) || !(await isPeer(path))) continue;
    found.push({ name, path, bytes: await bytesIn(path), whole: !name.startsWith('.') });
  }
  return found;
}

/**
 * Deletes one.
 * @param name as `cachedPeers` gives it
 * @param folder default `peersFolder()`
 * @returns whether it was there
 * @throws InputError where it cannot be deleted
 */
export async function removeCachedPeer(name: string, folder: string = peersFolder()): Promise<boolean> {
  const path = join(folder, name);
  if (!NAME.test(name) || !(await isPeer(path))) return false;
  try {
    await rm(path, { recursive: true, force: true });
  } catch (cause) {
    const problem = 'the folder cannot be deleted';
    throw new InputError({ op: 'cache', problem, received: reason(cause), path, cause });
  }
  return true;
}

/** No link, and with what npm is told to fetch: other folders are not ours to delete. */
async function isPeer(path: string): Promise<boolean> {
  const isFolder = await lstat(path).then(
    found => found.isDirectory(),
    () => false,
  );
  return isFolder && (await namesIn(path)).includes('package.json');
}

async function bytesIn(folder: string): Promise<number> {
  const files = await readdir(folder, { recursive: true }).catch(() => []);
  const sizes = files.map(file =>
    lstat(join(folder, file)).then(
      found => (found.isFile() ? found.size : 0),
      () => 0, // it went meanwhile
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}
