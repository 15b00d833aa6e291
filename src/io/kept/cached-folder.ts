/**
 * A model folder whose files are kept in the browser's storage (the Origin Private File System): what was fetched once is read from
 * there, whatever the server says of caching. A file is fetched when more than its beginning is read, as one stream that goes straight
 * into the storage, and never lies in memory whole.
 */
import { InputError, WeightsError } from '../../core/errors.ts';
import { checkFolder } from '../../core/kinds.ts';
import { checkNames, namesOf } from '../../core/known-names.ts';
import { PaceMeter } from '../../core/pace.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { ByteSource, FolderSource } from '../../core/tensor-source.ts';
import { type FolderRecipe, madeBy, recipeOf } from '../folder-recipe.ts';
import { fullAddress, missingFile, readText } from '../sources.ts';
import { hubOrigin } from './hub-listing.ts';
import { keepFile, storageError } from './keep.ts';
import { KeptSource } from './kept-source.ts';
import { lock } from './locks.ts';
import { folderOrigin, type Listed, type Listing, type Origin, urlOrigin } from './origin.ts';
import { Pending, ReadWhenKept } from './pending.ts';
import { type KeptFile, type KeptModel, nameFor, readRecord, VERSION, writeRecord } from './record.ts';
import { isOfAnotherTab, orAbsent, type StorageFolder, storageRoot } from './storage.ts';

/** A piece of a file that has arrived. */
export interface CacheEvent {
  /** The file, by its path in the model's folder. */
  readonly file: string;
  /** Bytes of it that have arrived, with those of earlier calls. */
  readonly bytes: number;
  /** Bytes of all of it; undefined where the server does not tell. */
  readonly of: number | undefined;
  /** Bytes a second of late; undefined until some are measured. */
  readonly rate?: number | undefined;
  /** What the rest of the file takes at this rate, in seconds; undefined where rate or size are not known. */
  readonly secondsLeft?: number | undefined;
}

/** How `cachedFolder` keeps files. */
export interface CachedFolderOptions {
  /**
   * What the model is called among those that are kept; by default the folder's address or Hub id. Needed for folders that are
   * neither behind an address nor of the Hub.
   */
  readonly name?: string | undefined;
  /** Asks the server once for each file whether it is still the same. Repositories of the Hub are asked for their commit anyway. Default false. */
  readonly revalidate?: boolean | undefined;
  /** Bytes of the pieces in which a file lies there, a multiple of 64: what a cut download loses at most. Default 16 MiB. */
  readonly pieceBytes?: number | undefined;
  /** A folder in place of the origin's private one, such as one that the user chose. */
  readonly root?: StorageFolder | undefined;
  /**
   * Compares all that is read with its digest, at every visit. By default pieces that the storage says were written since, and those of which
   * it says nothing.
   */
  readonly verify?: boolean | undefined;
  /** Called as bytes arrive. */
  readonly onProgress?: ((event: CacheEvent) => void) | undefined;
  /** Told of damage that is mended, and of servers that do not answer; default console.warn. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Ends downloads with its reason; what has arrived stays and is taken up the next time. */
  readonly signal?: AbortSignalLike | undefined;
}

const OPTIONS = namesOf<CachedFolderOptions>({
  ...{ name: 1, revalidate: 1, pieceBytes: 1, root: 1, verify: 1, onProgress: 1, onWarning: 1, signal: 1 },
});
const PIECE_BYTES = 2 ** 24;
/** So often another tab may take what is about to be read. */
const MOST_PURGES = 5;
const PAUSE_MS = 20;
const TEXT = /\.(json|txt|model)$/;

/**
 * Keeps what is read of a folder, for `fromPretrained` of this visit and of all later ones: the second load moves no byte of weights.
 * Several tabs may share what is kept; `listCache` and `purge` show and remove it.
 * @param folder urlFolder(address), hubUrlFolder(id), or with a name any other
 * @returns a folder whose reads throw what its own do, also a StorageFullError, and a WeightsError for a file that arrives damaged
 * @throws InputError for what is no folder, one without a name, and a piece of no size
 */
export function cachedFolder(folder: FolderSource, options: CachedFolderOptions = {}): FolderSource {
  checkNames('cachedFolder', options, OPTIONS);
  checkFolder(folder, 'cachedFolder');
  const { pieceBytes = PIECE_BYTES, name } = options;
  if (!Number.isSafeInteger(pieceBytes) || pieceBytes < 64 || pieceBytes % 64 !== 0)
    throw new InputError({ op: 'cachedFolder', problem: 'no size of a piece', value: pieceBytes, path: 'pieceBytes' });
  const recipe = recipeOf(folder);
  const known = originOf(recipe);
  if (!known && !name) {
    const fix = "Name it: cachedFolder(folder, { name: 'my-model' }).";
    throw new InputError({ op: 'cachedFolder', problem: 'the folder has no address to be kept under', fix });
  }
  const origin = known ?? folderOrigin(folder);
  const kept = new CachedFolder({ ...origin, label: name ? `${name}/` : origin.label }, { ...options, pieceBytes });
  return recipe ? madeBy({ kind: 'kept', folder: recipe, options }, kept) : kept;
}

/** Of folders whose files can be fetched as streams. */
function originOf(recipe: FolderRecipe | undefined): Origin | undefined {
  if (recipe?.kind === 'hub') return hubOrigin(recipe.hub);
  if (recipe?.kind !== 'url') return undefined;
  const base = fullAddress(recipe.base);
  const addressOf = async (path: string): Promise<string> => base + path.split('/').map(encodeURIComponent).join('/');
  // The Hub names files by their hashes.
  const origin = urlOrigin(base, addressOf, recipe.options, base.includes('/resolve/'));
  return withFiles(origin, recipe.options.files);
}

/** An origin that is asked for no file beside those that are there. */
function withFiles(origin: Origin, files: readonly string[] | undefined): Origin {
  if (!files) return origin;
  const paths = new Set(files);
  return { ...origin, open: async (path, ...more) => (paths.has(path) ? origin.open(path, ...more) : undefined) };
}

/** What is known of the model before its first file is read. */
interface Opened {
  /** Of all models. */
  readonly root: StorageFolder;
  readonly folder: StorageFolder;
  readonly name: string;
  readonly listing: Listing | undefined;
}

class CachedFolder implements FolderSource {
  readonly label: string;
  /** With a slash at its end. */
  readonly #base: string;
  readonly list?: (path: string) => Promise<readonly string[]>;
  readonly #origin: Origin;
  readonly #options: CachedFolderOptions & { readonly pieceBytes: number };
  readonly #pending = new Map<string, Pending>();
  readonly #asked = new Set<string>();
  #opened: Promise<Opened> | undefined;

  constructor(origin: Origin, options: CachedFolderOptions & { readonly pieceBytes: number }) {
    [this.#origin, this.#options] = [origin, options];
    this.#base = origin.label;
    this.label = origin.label.replace(/\/$/, '');
    if (origin.list) this.list = path => this.#names(path);
  }

  has(path: string): Promise<boolean> {
    return this.#besideOthers(path, async () => {
      const { listing } = await this.#open();
      if (listing) return listing.files.has(path);
      const found = await this.#found(path);
      return found ? !found.absent : (await this.#begin(path)) !== undefined;
    });
  }

  async text(path: string): Promise<string> {
    return readText(await this.bytes(path));
  }

  bytes(path: string): Promise<ByteSource> {
    return this.#besideOthers(path, () => this.#bytes(path));
  }

  /** Another tab may purge, or write the same, between any two steps: what it took is kept anew. */
  async #besideOthers<T>(path: string, work: () => Promise<T>): Promise<T> {
    for (let left = MOST_PURGES; ; left--) {
      try {
        return await work();
      } catch (error) {
        if (!isOfAnotherTab(error)) throw error;
        if (left === 0)
          throw error instanceof WeightsError ? error : await storageError(`${this.#base}${path}`, 1, error);
        await new Promise(resume => setTimeout(resume, PAUSE_MS));
      }
    }
  }

  async #bytes(path: string): Promise<ByteSource> {
    const listed = await this.#listed(path);
    const found = await this.#found(path, listed);
    if (found?.absent) throw missingFile(this.label, path);
    if (found?.whole) return this.#kept(path, found);
    // Texts are small, and what compresses them hides their size.
    if (TEXT.test(path)) return this.#keep(path, this.#options.signal);
    const begun = found !== undefined && found.pieces.length > 0;
    const told = listed?.size ?? (begun ? found.size : undefined);
    const pending = told === undefined ? await this.#begin(path) : undefined;
    if (told === undefined && !pending) throw missingFile(this.label, path);
    const size = told ?? pending?.size;
    if (size === undefined) return this.#keep(path, this.#options.signal);
    return new ReadWhenKept(`${this.#base}${path}`, size, {
      // What was begun goes on: its beginning lies there.
      head: async (bytes, signal) => (begun ? undefined : (await this.#begin(path))?.head(bytes, signal)),
      keep: signal => this.#besideOthers(path, () => this.#keep(path, signal ?? this.#options.signal)),
    });
  }

  async #open(): Promise<Opened> {
    this.#opened ??= this.#openNow().catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    });
    const opening = this.#opened;
    const opened = await opening;
    if (await orAbsent(opened.root.getDirectoryHandle(opened.name))) return opened;
    if (this.#opened === opening) this.#opened = undefined; // purged meanwhile
    return this.#open();
  }

  async #openNow(): Promise<Opened> {
    const root = await storageRoot('cachedFolder', this.#options.root);
    const name = await nameFor(this.#base);
    const folder = await root.getDirectoryHandle(name, { create: true });
    const written = await readRecord<KeptModel>(folder, 'model.json');
    const listing = await this.#list(written);
    const files = listing && [...listing.files].map(([path, { size, hash }]) => [path, size, hash ?? null] as const);
    const model: KeptModel = { version: VERSION, label: this.#base, commit: listing?.commit, files };
    if (!written || written.commit !== listing?.commit) await writeRecord(folder, model);
    return { root, folder, name, listing };
  }

  /** Of a repository; where the Hub does not answer, what it said before. */
  async #list(written: KeptModel | undefined): Promise<Listing | undefined> {
    if (!this.#origin.list) return undefined;
    try {
      return await this.#origin.list();
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      const { commit, files } = written ?? {};
      if (!(error instanceof WeightsError) || commit === undefined || !files) throw error;
      this.#warn(`${error.message} What is kept of ${this.label} is used.`);
      return { commit, files: new Map(files.map(([path, size, hash]) => [path, { size, hash: hash ?? undefined }])) };
    }
  }

  async #listed(path: string): Promise<Listed | undefined> {
    const { listing } = await this.#open();
    const listed = listing?.files.get(path);
    if (listing && !listed) throw missingFile(this.label, path);
    return listed;
  }

  async #names(path: string): Promise<readonly string[]> {
    const inside = path === '' ? '' : `${path}/`;
    const { listing } = await this.#open();
    const names = [...(listing?.files.keys() ?? [])].filter(name => name.startsWith(inside));
    return names.map(name => name.slice(inside.length)).filter(name => !name.includes('/'));
  }

  /** What is written down of a file, if it is still the server's. */
  async #found(path: string, listed?: Listed): Promise<KeptFile | undefined> {
    const { folder } = await this.#open();
    const found = await readRecord<KeptFile>(
      await orAbsent(folder.getDirectoryHandle(await nameFor(path))),
      'file.json',
    );
    if (!found || found.path !== path || (listed && !isListed(found, listed))) return undefined;
    // No file of a model has no bytes: the server may have been ill.
    if (found.size === 0 && !listed) return undefined;
    return (await this.#isCurrent(found)) ? found : undefined;
  }

  async #isCurrent({ path, whole, absent, validator }: KeptFile): Promise<boolean> {
    const { validator: ask } = this.#origin;
    if (!this.#options.revalidate || !ask || this.#asked.has(path) || !(whole || absent)) return true;
    try {
      const now = await ask(path, this.#options.signal);
      this.#asked.add(path);
      return absent ? now === undefined : now === validator;
    } catch (error) {
      if (!(error instanceof WeightsError)) throw error;
      this.#warn(`${error.message} What is kept of it is used.`);
      return true;
    }
  }

  /** An answer that has begun, for whoever asked first and for who reads then; undefined where there is no such file. */
  async #begin(path: string): Promise<Pending | undefined> {
    const waiting = this.#pending.get(path);
    if (waiting?.waits) return waiting;
    const arrival = await this.#origin.open(path, 0, this.#options.signal);
    if (!arrival) {
      await this.#writeAbsent(path);
      return undefined;
    }
    const pending = new Pending(arrival);
    this.#pending.set(path, pending);
    return pending;
  }

  async #writeAbsent(path: string): Promise<void> {
    const { folder } = await this.#open();
    const home = await folder.getDirectoryHandle(await nameFor(path), { create: true });
    const { pieceBytes } = this.#options;
    await writeRecord(home, { version: VERSION, path, pieceBytes, pieces: [], whole: false, absent: true });
  }

  async #keep(path: string, signal: AbortSignalLike | undefined): Promise<ByteSource> {
    const { folder, name } = await this.#open();
    const listed = await this.#listed(path);
    const release = await lock(`pentimento ${name} ${await nameFor(path)}`, false, signal);
    const pending = this.#pending.get(path);
    this.#pending.delete(path);
    const first = pending?.take();
    try {
      let found = await this.#found(path, listed);
      if (found?.whole) await first?.leave();
      else {
        const home = await folder.getDirectoryHandle(await nameFor(path), { create: true });
        const [pace, start] = [new PaceMeter(), performance.now()];
        const onBytes = (bytes: number, of: number | undefined): void => {
          const { rate, secondsLeft } = pace.at(performance.now() - start, bytes, of ?? Number.POSITIVE_INFINITY);
          const speed = {
            ...(rate !== undefined && { rate }),
            ...(of !== undefined && secondsLeft !== undefined && { secondsLeft }),
          };
          this.#options.onProgress?.({ file: path, bytes, of, ...speed });
        };
        const { pieceBytes } = this.#options;
        const what = { folder: home, path, origin: this.#origin, listed, pieceBytes, signal, onBytes };
        found = await keepFile(what, found, first);
      }
      return await this.#kept(path, found, release);
    } finally {
      release();
    }
  }

  /** @param release of the lock that kept others from the file until now */
  async #kept(path: string, record: KeptFile, release?: () => void): Promise<ByteSource> {
    const { folder, name } = await this.#open();
    const own = await nameFor(path);
    release?.();
    const { signal, verify = false } = this.#options;
    const lockName = `pentimento ${name} ${own}`;
    const free = await lock(lockName, true, signal);
    try {
      const home = await folder.getDirectoryHandle(own); // unless it was purged before this lock was had
      const warn = (message: string): void => this.#warn(message);
      return new KeptSource({ folder: home, record, origin: this.#origin, name: lockName, warn, signal, verify }, free);
    } catch (error) {
      free();
      throw error;
    }
  }

  #warn(message: string): void {
    (this.#options.onWarning ?? console.warn)(message);
  }
}

/** Whether what is kept is what a listing names. */
function isListed(found: KeptFile, { size, hash }: Listed): boolean {
  return found.absent !== true && found.size === size && (hash === undefined || found.hash === hash);
}
