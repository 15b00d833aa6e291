/**
 * The Hub's cache on disk, as huggingface_hub lays it out, so that all tools share it: in `models--owner--name`, blobs/ holds
 * each file under its hash, snapshots/COMMIT/ links to them by name, refs/ holds the commit of each branch and tag.
 */
import { copyFile, link, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { missingFiles } from './hub-files.ts';
import { makeFolder } from './make-folder.ts';

/** A snapshot on disk. */
export interface CachedSnapshot {
  /** 40 hexadecimal digits. */
  readonly commit: string;
  /** Its folder. */
  readonly folder: string;
  /** What it lacks for a pipeline, counting plain weights where the variant is missing. */
  readonly missing: readonly string[];
  /** Whether it holds exactly what was asked for: each network in the variant. */
  readonly exact: boolean;
}

const COMMIT = /^[0-9a-f]{40}$/;

/** Whether a text is a whole commit hash, which names the same files for ever. */
export function isCommit(text: string): boolean {
  return COMMIT.test(text);
}

/** The folder of a repository in the cache. */
export function repoFolder(cacheDir: string, repoId: string): string {
  return join(cacheDir, `models--${repoId.replaceAll('/', '--')}`);
}

/**
 * Looks a revision up without asking anyone.
 * @param root the repository's folder
 * @param revision branch, tag, commit, or the beginning of a commit that only one snapshot has
 * @param variant of the weights
 * @returns undefined where there is no such snapshot
 */
export async function findSnapshot(
  root: string,
  revision: string,
  variant: string | undefined,
): Promise<CachedSnapshot | undefined> {
  const commit = await commitOf(root, revision);
  if (commit === undefined) return undefined;
  const folder = join(root, 'snapshots', commit);
  const paths = new Set((await filesBelow(folder)).keys());
  if (paths.size === 0) return undefined;
  const read = (path: string): Promise<string | undefined> =>
    readFile(join(folder, path), 'utf8').catch(() => undefined);
  const missing = await missingFiles(paths, variant, false, read);
  const exact = (await missingFiles(paths, variant, true, read)).length === 0;
  return { commit, folder, missing, exact };
}

async function commitOf(root: string, revision: string): Promise<string | undefined> {
  if (isCommit(revision)) return revision;
  const named = (await readFile(join(root, 'refs', revision), 'utf8').catch(() => '')).trim();
  if (isCommit(named)) return named;
  if (!/^[0-9a-f]{7,39}$/.test(revision)) return undefined;
  const [only, ...more] = (await entries(join(root, 'snapshots'))).filter(name => name.startsWith(revision));
  return more.length === 0 ? only : undefined;
}

/** Names in a folder; none where it cannot be read. */
export async function entries(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

/** The files below a folder by their paths with `/`, links that lead nowhere left out; values are their sizes. */
export async function filesBelow(folder: string, within = ''): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const name of await entries(join(folder, within))) {
    const path = within === '' ? name : `${within}/${name}`;
    const info = await stat(join(folder, path)).catch(() => undefined);
    if (info?.isDirectory()) for (const [below, size] of await filesBelow(folder, path)) found.set(below, size);
    else if (info?.isFile()) found.set(path, info.size);
  }
  return found;
}

/** The size of a file; undefined where there is none, or a link that leads nowhere. */
export async function sizeOf(path: string): Promise<number | undefined> {
  const info = await stat(path).catch(() => undefined);
  return info?.isFile() ? info.size : undefined;
}

/**
 * Shows a blob in a snapshot, in place of what may be there: by a link, or where the system gives none by a copy.
 * @param blob the file with the bytes
 * @param path of the snapshot's file
 */
export async function showBlob(blob: string, path: string): Promise<void> {
  await makeFolder(dirname(path));
  const part = `${path}.${process.pid}.part`;
  await rm(part, { force: true });
  const ways = [
    () => symlink(relative(dirname(path), blob), part),
    () => link(blob, part), // Windows gives symbolic links to administrators alone
    () => copyFile(blob, part),
  ];
  let failed: unknown;
  for (const way of ways) {
    try {
      await way();
      await rename(part, path);
      return;
    } catch (error) {
      failed = error;
      await rm(part, { force: true });
    }
  }
  throw failed;
}

/** Remembers which commit a branch or tag stands for. */
export async function writeRef(root: string, revision: string, commit: string): Promise<void> {
  const path = join(root, 'refs', revision);
  if ((await readFile(path, 'utf8').catch(() => '')) === commit) return;
  await makeFolder(dirname(path));
  const part = `${path}.${process.pid}.part`;
  await writeFile(part, commit);
  await rename(part, path);
}
