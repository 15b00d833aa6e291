/** Folders that a person picks or drops on a page. Of both the one around the model will do. */
import { InputError } from '../core/errors.ts';
import { kindOf } from '../core/kinds.ts';
import type { BlobLike } from '../core/platform.ts';
import type { ByteSource, FolderSource } from '../core/tensor-source.ts';
import { madeBy } from './folder-recipe.ts';
import { modelRoot } from './model-root.ts';
import { blobSource, mapFolder, missingFile, readText, unreadable } from './sources.ts';

/** A folder of the user's: a `FileSystemDirectoryHandle`, as `showDirectoryPicker` gives it. */
export interface DirectoryHandleLike {
  /** As the system shows it. */
  readonly name: string;
  /** A folder in it; rejects with a NotFoundError. */
  getDirectoryHandle(name: string): Promise<DirectoryHandleLike>;
  /** A file in it; rejects with a NotFoundError. */
  getFileHandle(name: string): Promise<{
    /** What it holds. */
    getFile(): Promise<BlobLike>;
  }>;
  /** Names of what lies in it. TypeScript 5 knows it with the library DOM.AsyncIterable alone; every browser has it. */
  keys?(): AsyncIterable<string>;
}

/** Models lie no deeper below what was picked. */
const DEPTH = 3;
/** Whoever picks a whole disk shall not wait for it to be read. */
const MOST_FILES = 10_000;

/**
 * A folder that the user picked by `showDirectoryPicker`, or of the Origin Private File System. Files are read where they lie. A worker can be
 * given it.
 * @param handle of the model's folder, or the one around it
 * @throws InputError for no handle, and from its reads where several models or none lie there; a WeightsError from them where the folder may not be
 * read, or not any more
 */
export function directoryHandleFolder(handle: DirectoryHandleLike): FolderSource {
  const { getFileHandle, keys } = Object(handle) as Partial<DirectoryHandleLike>;
  if (typeof getFileHandle !== 'function' || typeof keys !== 'function') {
    const [problem, expected] = ['no folder', 'a FileSystemDirectoryHandle'];
    throw new InputError({ op: 'directoryHandleFolder', problem, expected, received: kindOf(handle) });
  }
  return madeBy({ kind: 'handle', handle }, new HandleFolder(handle));
}

class HandleFolder implements FolderSource {
  readonly label: string;
  readonly #handle: DirectoryHandleLike;
  #root: Promise<string> | undefined;

  constructor(handle: DirectoryHandleLike) {
    this.#handle = handle;
    this.label = handle.name;
  }

  async has(path: string): Promise<boolean> {
    return (await this.#file(path)) !== undefined;
  }

  async text(path: string): Promise<string> {
    return readText(await this.bytes(path));
  }

  async bytes(path: string): Promise<ByteSource> {
    const file = await this.#file(path);
    if (!file) throw missingFile(this.label, path);
    return blobSource(file, `${this.label}/${path}`);
  }

  list(path: string): Promise<readonly string[]> {
    return this.#reading(path, async () => {
      const folder = await this.#folder((await this.#rootPath()) + (path === '' ? '' : `${path}/`));
      const names: string[] = [];
      if (folder)
        for await (const name of folder.keys?.() ?? []) if (await orNone(folder.getFileHandle(name))) names.push(name);
      return names;
    });
  }

  #file(path: string): Promise<BlobLike | undefined> {
    return this.#reading(path, async () => {
      const whole = (await this.#rootPath()) + path;
      const cut = whole.lastIndexOf('/') + 1;
      const folder = await this.#folder(whole.slice(0, cut));
      const file = folder && (await orNone(folder.getFileHandle(whole.slice(cut))));
      return file && orNone(file.getFile());
    });
  }

  /** The person who gave the folder may take it back at any moment. */
  async #reading<T>(path: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw unreadable(path === '' ? this.label : `${this.label}/${path}`, error);
    }
  }

  /** @param path with a slash at its end, or '' */
  async #folder(path: string): Promise<DirectoryHandleLike | undefined> {
    let folder: DirectoryHandleLike | undefined = this.#handle;
    for (const name of path.split('/').slice(0, -1)) folder &&= await orNone(folder.getDirectoryHandle(name));
    return folder;
  }

  #rootPath(): Promise<string> {
    this.#root ??= filesOf(this.#handle, '', DEPTH, [])
      .then(paths => modelRoot('directoryHandleFolder', paths))
      .catch((error: unknown) => {
        this.#root = undefined; // it may be granted, or filled, by the next time
        throw error;
      });
    return this.#root;
  }
}

async function filesOf(folder: DirectoryHandleLike, at: string, depth: number, found: string[]): Promise<string[]> {
  for await (const name of folder.keys?.() ?? []) {
    if (found.length >= MOST_FILES || name.startsWith('.')) continue;
    const inner = depth > 0 ? await orNone(folder.getDirectoryHandle(name)) : undefined;
    if (inner) await filesOf(inner, `${at}${name}/`, depth - 1, found);
    else found.push(at + name);
  }
  return found;
}

/** undefined for what is not there, or is something else. */
async function orNone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    const { name } = Object(error) as { readonly name?: unknown };
    if (name === 'NotFoundError' || name === 'TypeMismatchError' || name === 'TypeError') return undefined;
    throw error;
  }
}

/** What a page's `drop` event brings: a `DataTransfer`. */
export interface DroppedLike {
  /** One for each thing that was dropped. */
  readonly items: ArrayLike<DroppedItemLike>;
}

/** A `DataTransferItem`. */
export interface DroppedItemLike {
  /** 'file' for files and folders. */
  readonly kind: string;
  /** Its entry; null for what is none. */
  webkitGetAsEntry?(): unknown;
  /** The file itself. */
  getAsFile?(): unknown;
}

/** A `FileSystemEntry`. */
interface Entry {
  readonly name: string;
  readonly isDirectory: boolean;
  file?(done: (file: BlobLike) => void, failed: (error: unknown) => void): void;
  createReader?(): { readEntries(done: (entries: readonly Entry[]) => void, failed: (error: unknown) => void): void };
}

/**
 * A folder that the user dropped on the page, or the files of one. To be called within the event: a moment later the browser tells nothing of
 * it. A worker can be given the folder.
 * @param dropped `event.dataTransfer`
 * @throws InputError where nothing, or no model, was dropped, naming what was found; a WeightsError for files that cannot be read
 */
export async function droppedFolder(dropped: DroppedLike): Promise<FolderSource> {
  const op = 'droppedFolder';
  const { items } = Object(dropped) as Partial<DroppedLike>;
  if (typeof items?.length !== 'number')
    throw new InputError({ op, problem: 'nothing dropped', expected: 'a DataTransfer', received: kindOf(dropped) });
  // Before anything is awaited.
  const entries = Array.from(items, item => (item.kind === 'file' ? entryOf(item) : undefined)).filter(
    entry => entry !== undefined,
  );
  const files = new Map<string, BlobLike>();
  const [first, ...more] = entries;
  if (first?.isDirectory && more.length === 0) for (const entry of await inside(first)) await collect(entry, '', files);
  else for (const entry of entries) await collect(entry, '', files);
  if (files.size === 0)
    throw new InputError({ op, problem: 'no files were dropped', fix: 'Drop the folder of a model.' });
  const root = modelRoot(op, [...files.keys()]);
  const own = [...files].filter(([path]) => path.startsWith(root));
  return mapFolder(new Map(own.map(([path, file]) => [path.slice(root.length), file])), first?.name ?? 'dropped files');
}

function entryOf(item: DroppedItemLike): Entry | undefined {
  const entry = item.webkitGetAsEntry?.() as Entry | null | undefined;
  if (entry) return entry;
  const file = item.getAsFile?.() as (BlobLike & { readonly name?: string }) | null | undefined;
  return file ? { name: file.name ?? 'file', isDirectory: false, file: done => done(file) } : undefined;
}

async function collect(entry: Entry, at: string, files: Map<string, BlobLike>): Promise<void> {
  if (files.size >= MOST_FILES || entry.name.startsWith('.')) return;
  const path = at + entry.name;
  const deepest = at.split('/').length > DEPTH + 1;
  if (deepest && entry.name === 'model_index.json') return; // the model's own folders lie deeper still
  if (!entry.isDirectory) {
    const failed = (cause: unknown) => unreadable(path, cause);
    files.set(path, await new Promise<BlobLike>((done, fail) => entry.file?.(done, cause => fail(failed(cause)))));
  } else if (!deepest) {
    for (const inner of await inside(entry)) await collect(inner, `${path}/`, files);
  }
}

/** Browsers give a hundred at a time. */
async function inside(entry: Entry): Promise<readonly Entry[]> {
  const reader = entry.createReader?.();
  const all: Entry[] = [];
  while (reader) {
    const failed = (cause: unknown) => unreadable(entry.name, cause);
    const some = await new Promise<readonly Entry[]>((done, fail) =>
      reader.readEntries(done, cause => fail(failed(cause))),
    );
    if (some.length === 0) break;
    all.push(...some);
  }
  return all;
}
