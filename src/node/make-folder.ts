/** Folders that appear with all that lead to them. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * As mkdir with `recursive`, which never returns in file systems that say of a folder to be made that it is not there: /proc.
 * @param path of the folder; may be there
 * @returns the first of the folders that was made; undefined where all were there
 * @throws what mkdir throws, with its code
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  const missing: string[] = [];
  for (let folder = resolve(path); !(await isThere(folder)); folder = dirname(folder)) missing.unshift(folder);
  let first: string | undefined;
  for (const folder of missing) {
    try {
      await mkdir(folder);
      first ??= folder;
    } catch (error) {
      if (!(await isFolder(folder))) throw error; // another process may have been faster
    }
  }
  if (missing.length === 0) await mkdir(path, { recursive: true }); // says so where it is a file
  return first;
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => dirname(path) === path,
  );
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    found => found.isDirectory(),
    () => false,
  );
}
