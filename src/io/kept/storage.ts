/**
 * The few calls of the Origin Private File System that are needed, as types that compile without TypeScript's DOM library and
 * that tests can stand in for; and how a file is written in a page and in a worker.
 */
import { type ErrorJson, InputError, type MemoryShortage, WeightsError } from '../../core/errors.ts';
import { kindOf } from '../../core/kinds.ts';
import { inMB } from '../../core/megabytes.ts';
import type { BlobLike } from '../../core/platform.ts';

/** A folder of the browser's storage: a `FileSystemDirectoryHandle`. */
export interface StorageFolder {
  /** Without what lies around it. */
  readonly name: string;
  /** A folder in it; rejects with a NotFoundError. */
  getDirectoryHandle(name: string, options?: { readonly create?: boolean }): Promise<StorageFolder>;
  /** A file in it; rejects with a NotFoundError. */
  getFileHandle(name: string, options?: { readonly create?: boolean }): Promise<StorageFile>;
  /** Removes a file, or a folder with all that it holds. */
  removeEntry(name: string, options?: { readonly recursive?: boolean }): Promise<void>;
  /** Names of what lies in it. TypeScript 5 knows it with the library DOM.AsyncIterable alone; every browser has it. */
  keys?(): AsyncIterable<string>;
}

/** What such a file holds: a `File`. */
export interface StoredBlob extends BlobLike {
  /** When it was written, in milliseconds since 1970; it may be missing. */
  readonly lastModified?: number;
}

/** A file of the browser's storage: a `FileSystemFileHandle`. */
export interface StorageFile {
  /** What it holds now. */
  getFile(): Promise<StoredBlob>;
  /** Writes a copy that takes the file's place when it is closed. Old Safari lacks it. */
  createWritable?(): Promise<StorageWritable>;
  /** Writes in place; workers alone have it. */
  createSyncAccessHandle?(): Promise<StorageAccess>;
}

/** A `FileSystemWritableFileStream`. */
export interface StorageWritable {
  /** Appends. */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Puts what was written in the file's place. */
  close(): Promise<void>;
  /** Forgets what was written. */
  abort(): Promise<void>;
}

/** A `FileSystemSyncAccessHandle`. */
export interface StorageAccess {
  /** @returns how many bytes it wrote */
  write(bytes: Uint8Array, options?: { readonly at?: number }): number;
  /** Cuts the file, or makes it longer. */
  truncate(size: number): void;
  /** Makes what was written last. */
  flush(): void;
  /** Lets others have the file. */
  close(): void;
}

/** The browser's storage is full; nothing was half kept. */
export class StorageFullError extends WeightsError {
  /** As in stack traces; `code` is 'weights', as of every WeightsError. */
  override readonly name = 'StorageFullError';
  /** Bytes that the file still needs, that the origin's storage holds, and that the browser would still give. */
  readonly bytes: MemoryShortage;

  /** @param path the file */
  constructor(path: string, bytes: MemoryShortage, cause?: unknown) {
    const { asked, held, available } = bytes;
    super({
      op: 'cachedFolder',
      problem: "the browser's storage is full",
      ...(available === undefined ? {} : { expected: `at most ${available} bytes (${inMB(available)})` }),
      received: `${asked} bytes (${inMB(asked)}), beside ${held} (${inMB(held)}) that this site holds`,
      path,
      fix: 'Make room by purge(), on the disk, or in the settings of the site; or read the model without keeping it.',
      ...(cause === undefined ? {} : { cause }),
    });
    this.bytes = bytes;
  }

  /** With `bytes`. */
  override toJSON(): ErrorJson {
    const { asked, held, available } = this.bytes;
    return { ...super.toJSON(), bytes: { asked, held, ...(available === undefined ? {} : { available }) } };
  }
}

/** How full the storage is; nothing where nobody tells. */
export async function storageEstimate(): Promise<{ readonly held: number; readonly available: number | undefined }> {
  const { storage } = (globalThis.navigator ?? {}) as Partial<Navigator>;
  const { usage = 0, quota } = (await storage?.estimate?.().catch(() => undefined)) ?? {};
  return { held: usage, available: quota === undefined ? undefined : Math.max(0, quota - usage) };
}

/** What a file is written by, from its beginning. */
export interface FileWriter {
  write(bytes: Uint8Array): Promise<void>;
  /** Keeps what was written. */
  close(): Promise<void>;
  /** Keeps nothing that counts: the file is as it was, or cut. */
  abort(): Promise<void>;
}

/**
 * Opens a file for writing: in place where this is a worker, else by a copy.
 * @throws WeightsError where the browser has neither
 */
export async function fileWriter(file: StorageFile): Promise<FileWriter> {
  if (file.createSyncAccessHandle) return accessWriter(await file.createSyncAccessHandle());
  if (!file.createWritable)
    throw new WeightsError({
      op: 'cachedFolder',
      problem: 'this browser writes files in workers alone',
      fix: "Load the model in a worker ('pentimento/worker'), or without keeping it.",
    });
  const stream = await file.createWritable();
  return {
    write: bytes => stream.write(bytes as Uint8Array<ArrayBuffer>),
    close: () => stream.close(),
    abort: () => stream.abort().catch(() => undefined),
  };
}

function accessWriter(access: StorageAccess): FileWriter {
  let at = 0;
  access.truncate(0);
  return {
    async write(bytes): Promise<void> {
      const written = access.write(bytes, { at });
      at += written;
      if (written < bytes.length) throw new QuotaReached();
    },
    async close(): Promise<void> {
      access.flush();
      access.close();
    },
    async abort(): Promise<void> {
      access.truncate(0);
      access.close();
    },
  };
}

/** Less was written than asked for. */
class QuotaReached extends WeightsError {
  constructor() {
    super({ op: 'cachedFolder', problem: 'the storage took fewer bytes than were written' });
  }
}

/** Whether the storage had no room. */
export function isFull(error: unknown): boolean {
  return error instanceof QuotaReached || nameOf(error) === 'QuotaExceededError';
}

/** Whether there is no such file, or it is no file. */
function isAbsent(error: unknown): boolean {
  return ['NotFoundError', 'TypeMismatchError'].includes(nameOf(error));
}

function nameOf(error: unknown): string {
  return String((Object(error) as { readonly name?: unknown }).name);
}

/**
 * Whether another tab has removed it, or is at it: these are the browser's own errors, or caused one of this library.
 * @param error of any work in the storage
 */
export function isOfAnotherTab(error: unknown): boolean {
  const { cause } = Object(error) as { readonly cause?: unknown };
  return [error, cause].some(one => OF_ANOTHER_TAB.includes(nameOf(one)));
}

const OF_ANOTHER_TAB = ['NotFoundError', 'InvalidModificationError', 'InvalidStateError', 'NoModificationAllowedError'];

/** Names of what lies in a folder now: it may change, or go, while they are gone through. */
export async function namesIn(folder: StorageFolder): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const name of folder.keys?.() ?? []) names.push(name);
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
  return names;
}

/** undefined for a file or folder that is not there. */
export async function orAbsent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/**
 * The folder that holds what is kept.
 * @param op who asks
 * @param root a folder in place of the origin's own
 * @throws WeightsError where the browser gives none; InputError for what is no folder
 */
export async function storageRoot(op: string, root: StorageFolder | undefined): Promise<StorageFolder> {
  if (root !== undefined && typeof Object(root).getDirectoryHandle !== 'function')
    throw new InputError({ op, problem: 'no folder', expected: 'a FileSystemDirectoryHandle', received: kindOf(root) });
  const { storage } = (globalThis.navigator ?? {}) as Partial<Navigator>;
  const why = (cause?: unknown): WeightsError =>
    new WeightsError({
      op,
      problem: 'this page has no storage of its own (navigator.storage.getDirectory)',
      fix: 'Serve it over https or from localhost, outside of private windows; or read the model without keeping it.',
      ...(cause === undefined ? {} : { cause }),
    });
  if (root === undefined && typeof storage?.getDirectory !== 'function') throw why();
  try {
    const home = root ?? ((await (storage as StorageManager).getDirectory()) as unknown as StorageFolder);
    return await home.getDirectoryHandle('pentimento', { create: true });
  } catch (cause) {
    throw why(cause);
  }
}
