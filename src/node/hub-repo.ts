/**
 * A repository of the Hub before anything of it is read: its name checked, what the cache holds of it, and what the Hub says
 * that it holds. What names become paths is checked here.
 */
import { join } from 'node:path';
import { InputError, PentimentoError, WeightsError } from '../core/errors.ts';
import type { AbortSignalLike } from '../core/platform.ts';
import { reason } from './files.ts';
import { type CachedSnapshot, findSnapshot, isCommit, repoFolder } from './hub-cache.ts';
import type { HubFile } from './hub-download.ts';
import { HubError, type HubPlace, named } from './hub-errors.ts';
import { HubClient } from './hub-request.ts';
import { type HubSettings, hubSettings } from './hub-settings.ts';

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

/** A repository that the Hub must be asked about. */
export interface HubRepo {
  /** Asks it. */
  readonly client: HubClient;
  /** Its folder in the cache, which may not be there. */
  readonly root: string;
  /** What the cache holds of all that was asked for: it stands in where the Hub does not answer. */
  readonly whole: CachedSnapshot | undefined;
}

/** Where a snapshot is, or who can be asked for it. */
export type FoundRepo = { readonly folder: string } | HubRepo;

/**
 * Looks into the cache first.
 * @param repoId such as 'owner/name'
 * @returns a folder where nobody has to be asked, or may be
 * @throws InputError for a malformed name; WeightsError where nobody may be asked and the cache is not complete; the signal's reason
 */
export async function findRepo(repoId: string, options: FetchModelOptions): Promise<FoundRepo> {
  const { revision = 'main', variant, signal, onWarning = message => console.warn(message) } = options;
  checkPlace(repoId, revision);
  signal?.throwIfAborted();
  const place = { repoId, revision };
  const settings = await hubSettings(options, onWarning);
  const root = repoFolder(settings.cacheDir, repoId);
  const found = await findSnapshot(root, revision, variant);
  // Of small files other tools fetch some; what the caller needs and does not find is for him to say.
  const cached = found && options.withoutWeights ? { ...found, missing: [], exact: false } : found;
  if (settings.offline !== undefined) return { folder: offline(cached, place, settings) };
  if (cached?.exact && isCommit(revision)) return { folder: cached.folder };
  const whole = cached?.missing.length === 0 ? cached : undefined;
  const client = new HubClient(settings, place, signal, onWarning);
  client.patient = whole === undefined;
  return { client, root, whole };
}

/**
 * Asks the Hub; where it does not answer, or refuses, a cache that holds all stands in, with a warning.
 * @param work what is asked
 * @param instead what is made of the cache's folder
 */
export async function orCached<T>(
  { client, root, whole }: HubRepo,
  signal: AbortSignalLike | undefined,
  work: () => Promise<T>,
  instead: (folder: string) => T | Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof HubError)) throw error instanceof PentimentoError ? error : cannotKeep(error, root);
    if (whole === undefined || error.reason === 'RevisionNotFound') throw error;
    client.warn(`${error.message} What the cache holds of ${named(client.place)} is used (${whole.folder}).`);
    return instead(whole.folder);
  }
}

/** What the Hub says of a revision. */
export interface HubListing {
  /** 40 hexadecimal digits. */
  readonly commit: string;
  /** All files of the repository. */
  readonly files: readonly HubFile[];
}

/** Where a file of a commit is read. */
export function addressOf({ settings, place }: HubClient, commit: string, path: string): string {
  const name = path.split('/').map(encodeURIComponent).join('/');
  return `${settings.endpoint}/${place.repoId}/resolve/${commit}/${name}`;
}

/** Where a file of a commit lies in the cache, if it does. */
export function snapshotPath(root: string, commit: string, path: string): string {
  return join(root, 'snapshots', commit, path);
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
  settings: Pick<HubSettings, 'offline' | 'cacheDir'>,
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

/** What the Hub says of the revision. What it names becomes paths, so it is checked first. */
export async function listRepo(client: HubClient): Promise<HubListing> {
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
