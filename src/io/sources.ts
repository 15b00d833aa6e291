/**
 * Bytes and folders from memory, Blobs and objects of the caller's own. URLs are in url-source.ts, files and
 * directories in src/node/files.ts.
 */

import { InputError, PentimentoError, WeightsError } from '../core/errors.ts';
import { checkByteSource, kindOf } from '../core/kinds.ts';
import { checkByName } from '../core/known-names.ts';
import type { BlobLike, FileLike } from '../core/platform.ts';
import type { ByteSource, FolderSource } from '../core/tensor-source.ts';
import { madeBy } from './folder-recipe.ts';
import { modelRoot } from './model-root.ts';

/** Anything that can hand out bytes at an offset. */
export interface RangeReader {
  /** Length of the whole file in bytes. */
  readonly byteLength: number;
  /** Bytes [offset, offset + length), exactly that many. */
  read(offset: number, length: number): Promise<ArrayBuffer | Uint8Array> | ArrayBuffer | Uint8Array;
  /** For messages; 'reader' where absent. */
  readonly label?: string;
  /** Gives the source back; no read may follow. */
  close?(): Promise<void>;
}

/**
 * Refuses a range beyond the end, with the error that every byte source throws.
 * @param source whose label and length the message names
 * @throws WeightsError
 */
export function checkBytes(source: { label: string; byteLength: number }, offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > source.byteLength) {
    throw new WeightsError({
      op: 'read',
      problem: 'bytes beyond the end',
      expected: `a range within ${source.byteLength} bytes`,
      received: `${offset} to ${offset + length}`,
      path: source.label,
      fix: 'The file is cut short: download or save it again.',
    });
  }
}

/**
 * Bytes in memory, not copied.
 * @param bytes a buffer or a view of one
 * @param label name for messages
 * @throws InputError for what is neither
 */
export function memorySource(bytes: ArrayBuffer | Uint8Array, label = 'memory'): ByteSource {
  if (!/ (Uint8Array|ArrayBuffer)\]$/.test(Object.prototype.toString.call(bytes))) {
    throw noBytes('memorySource', 'an ArrayBuffer or a Uint8Array', bytes);
  }
  const view = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  const self = { label, byteLength: view.byteLength };
  return {
    ...self,
    async read(offset, into): Promise<void> {
      checkBytes(self, offset, into.byteLength);
      into.set(view.subarray(offset, offset + into.byteLength));
    },
  };
}

/**
 * A Blob or File; only the slices that are asked for come into memory.
 * @param blob the data
 * @param label name for messages, by default the File's own
 * @returns what throws a WeightsError where the file behind the File has gone or changed
 * @throws InputError for what is no Blob
 */
export function blobSource(blob: BlobLike, label?: string): ByteSource {
  const { size, slice } = Object(blob) as Partial<BlobLike>;
  if (typeof size !== 'number' || typeof slice !== 'function') throw noBytes('blobSource', 'a Blob or File', blob);
  const self = { label: label ?? blobName(blob), byteLength: size };
  return {
    ...self,
    async read(offset, into): Promise<void> {
      checkBytes(self, offset, into.byteLength);
      const part = blob.slice(offset, offset + into.byteLength);
      const bytes = await part.arrayBuffer().catch((cause: unknown) => {
        throw unreadable(self.label, cause);
      });
      into.set(new Uint8Array(bytes));
    },
  };
}

function blobName(blob: BlobLike): string {
  return 'name' in blob && typeof blob.name === 'string' ? blob.name : 'Blob';
}

function noBytes(op: string, expected: string, value: unknown): InputError {
  return new InputError({ op, problem: 'these are no bytes', expected, received: kindOf(value) });
}

/**
 * The caller's own reader: an object with `byteLength` and `read(offset, length)`.
 * @throws WeightsError from `read` when the object returns another number of bytes than asked for; InputError for no reader
 */
export function readerSource(reader: RangeReader): ByteSource {
  checkByName('readerSource', reader);
  const self = { label: reader.label ?? 'reader', byteLength: reader.byteLength };
  if (!Number.isSafeInteger(self.byteLength) || self.byteLength < 0) {
    throw new InputError({ op: 'readerSource', problem: 'byteLength is no size', value: self.byteLength });
  }
  return {
    ...self,
    async read(offset, into): Promise<void> {
      checkBytes(self, offset, into.byteLength);
      const bytes = await reader.read(offset, into.byteLength);
      if (bytes.byteLength !== into.byteLength) {
        throw new WeightsError({
          op: 'read',
          problem: 'the reader returned another number of bytes than asked for',
          expected: into.byteLength,
          received: bytes.byteLength,
          path: self.label,
        });
      }
      into.set(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes));
    },
    close: async () => reader.close?.(),
  };
}

/** What a folder in memory may hold under one path; a string is a text file. */
export type FileContent = BlobLike | ArrayBuffer | Uint8Array | string | ByteSource;

/**
 * A folder held as a map from relative path ("unet/config.json") to content.
 * @param files Map or plain object
 * @param label name for messages
 * @throws InputError for what is neither
 */
export function mapFolder(
  files: ReadonlyMap<string, FileContent> | Readonly<Record<string, FileContent>>,
  label = 'folder in memory',
): FolderSource {
  checkByName('mapFolder', files);
  const entries: [string, FileContent][] = files instanceof Map ? [...files] : Object.entries(files);
  const content = new Map(entries.map(([path, value]) => [path.replace(/^(\.?\/)+/, ''), value]));
  const bytes = async (path: string): Promise<ByteSource> => {
    const value = content.get(path);
    if (value === undefined) throw missingFile(label, path);
    const name = `${label}/${path}`;
    if (typeof value === 'string') return memorySource(new TextEncoder().encode(value), name);
    if (value instanceof Blob) return blobSource(value, name);
    return value instanceof ArrayBuffer || value instanceof Uint8Array ? memorySource(value, name) : value;
  };
  return madeBy(
    { kind: 'files', files: content, label },
    {
      label,
      has: async path => content.has(path),
      bytes,
      text: async path => readText(await bytes(path)),
      async list(path): Promise<readonly string[]> {
        const inside = path === '' ? '' : `${path}/`;
        const names = [...content.keys()]
          .filter(name => name.startsWith(inside))
          .map(name => name.slice(inside.length));
        return names.filter(name => !name.includes('/'));
      },
    },
  );
}

/**
 * The files of a directory picker (`<input type="file" webkitdirectory>`) as a folder; their common first segment is
 * the folder's name, and where it was the folder around the model, the model's is taken. Files that were chosen one by one lie beside each
 * other.
 * @param files the input's FileList
 * @throws InputError when it is empty, or holds no model, or several, naming what was found
 */
export function fileListFolder(files: Iterable<FileLike>): FolderSource {
  const op = 'fileListFolder';
  if (
    typeof (Object(files) as Partial<Iterable<FileLike>>)[Symbol.iterator] !== 'function' ||
    typeof files === 'string'
  ) {
    throw new InputError({ op, problem: 'no list of files', received: kindOf(files) });
  }
  const all = [...files];
  const [first] = all;
  if (!first) throw new InputError({ op, problem: 'no files', fix: 'Choose a model folder.' });
  const named = new Map(all.map(f => [f.webkitRelativePath?.split('/').slice(1).join('/') || f.name, f]));
  if (named.size < all.length) {
    const twice = all.find(f => named.get(f.name) !== undefined && named.get(f.name) !== f);
    const fix = 'Choose the folder, not its files: <input type="file" webkitdirectory>.';
    throw new InputError({ op, problem: 'two files have one name', received: twice?.name, fix });
  }
  const root = modelRoot(op, [...named.keys()]);
  const own = [...named].filter(([path]) => path.startsWith(root));
  const label = first.webkitRelativePath?.split('/')[0] || 'files';
  return mapFolder(new Map(own.map(([path, f]) => [path.slice(root.length), f])), label);
}

/**
 * A folder of a folder.
 * @param folder the outer one
 * @param name of the inner one, whose paths need it no more
 */
export function subfolder(folder: FolderSource, name: string): FolderSource {
  const { list } = folder;
  return {
    label: `${folder.label}/${name}`,
    has: path => folder.has(`${name}/${path}`),
    text: path => folder.text(`${name}/${path}`),
    bytes: path => folder.bytes(`${name}/${path}`),
    ...(list && { list: path => list.call(folder, path === '' ? name : `${name}/${path}`) }),
  };
}

/**
 * Whether a text is an address that `fetch` takes, not a path. Schemes are written in any case.
 * @param text such as 'HTTPS://example.org/x.png'
 */
export function isAddress(text: string): boolean {
  return /^(https?|data|blob):/i.test(text);
}

/** An address as the page means it, in full: workers and caches know of no page. Where there is none, as it is. */
export function fullAddress(address: string): string {
  const { document, location } = globalThis as { document?: { baseURI: string }; location?: { href: string } };
  const base = document?.baseURI ?? location?.href;
  return base === undefined ? address : new URL(address, base).href;
}

/** The whole of a small file as UTF-8 text; closes the source. */
export async function readText(source: ByteSource): Promise<string> {
  checkByteSource('readText', source);
  try {
    const bytes = new Uint8Array(source.byteLength);
    await source.read(0, bytes);
    return new TextDecoder().decode(bytes);
  } finally {
    await source.close?.();
  }
}

/**
 * Closes files of adapters that nobody will read: those behind one that is refused, or of a model that is.
 * @param sources whatever was given as adapters; what cannot be closed is passed over
 */
export async function closeUnread(sources: Iterable<unknown>): Promise<void> {
  for (const source of sources) {
    const { read, close } = Object(source) as Partial<ByteSource>;
    if (typeof read === 'function' && typeof close === 'function') await close.call(source);
  }
}

/**
 * The error of a user's own file that cannot be read any more. What the platform says of it names neither the file nor a remedy.
 * @returns the cause itself where it is this library's
 */
export function unreadable(path: string, cause: unknown): PentimentoError {
  if (cause instanceof PentimentoError) return cause;
  return new WeightsError({
    op: 'read',
    problem: 'a file that was chosen cannot be read any more',
    received: String(cause),
    path,
    fix: 'It was changed or moved, its disk is gone, or the permission to read it ended: choose it again.',
    cause,
  });
}

/** The error of a folder that lacks a file. */
export function missingFile(folder: string, path: string, cause?: unknown): WeightsError {
  return new WeightsError({ op: 'folder', problem: `no file "${path}"`, path: folder, cause });
}
