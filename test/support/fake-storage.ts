/** A browser's private file system in memory, with a quota, as pages have it and as workers do. */
import type { StorageFile, StorageFolder } from '../../src/io/kept/storage.ts';

export interface FakeStorage extends StorageFolder {
  /** All files by their paths, as they lie there. */
  readonly files: Map<string, Uint8Array<ArrayBuffer>>;
  /** Bytes that it takes in all. */
  quota: number;
  /** Whether files are written in place, as workers do, or by copies that replace them when closed. */
  inPlace: boolean;
  /** The longest stretch of a file that was read at once, in bytes. */
  longestRead: number;
  /** Bytes written since the beginning. */
  written: number;
  /** When each file was written, if the storage tells: it counts writes. */
  times: Map<string, number> | undefined;
}

function failure(name: string): Error {
  return new DOMException(`a ${name} of the storage`, name);
}

export function fakeStorage(): FakeStorage {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const folders = new Set<string>(['']);
  const used = (): number => [...files.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  const grow = (path: string, bytes: Uint8Array, at: number, before: Uint8Array): Uint8Array<ArrayBuffer> => {
    if (used() - (files.get(path)?.length ?? 0) + at + bytes.length > root.quota) throw failure('QuotaExceededError');
    root.written += bytes.length;
    const all = new Uint8Array(Math.max(before.length, at + bytes.length));
    all.set(before);
    all.set(bytes, at);
    return all;
  };
  const touch = (path: string): void =>
    void root.times?.set(path, 1000 + root.times.size + (root.times.get(path) ?? 0));
  const blobOf = (bytes: Uint8Array<ArrayBuffer>): Blob => {
    const blob = new Blob([bytes]);
    const read = (from: number, to: number) => {
      root.longestRead = Math.max(root.longestRead, to - from);
      return blob.slice(from, to).arrayBuffer();
    };
    const part = (from = 0, to = bytes.length) => ({ size: to - from, arrayBuffer: () => read(from, to) });
    return { ...part(), slice: part } as unknown as Blob;
  };
  const file = (path: string): StorageFile => ({
    async getFile() {
      const bytes = files.get(path);
      if (!bytes) throw failure('NotFoundError');
      return Object.assign(blobOf(bytes), root.times && { lastModified: root.times.get(path) ?? 1 });
    },
    ...(!root.inPlace && {
      async createWritable() {
        let draft: Uint8Array<ArrayBuffer> = new Uint8Array();
        return {
          async write(bytes: Uint8Array) {
            draft = grow(path, bytes, draft.length, draft);
          },
          async close() {
            files.set(path, draft);
            touch(path);
          },
          async abort() {},
        };
      },
    }),
    ...(root.inPlace && {
      async createSyncAccessHandle() {
        return {
          write(bytes: Uint8Array, { at = 0 } = {}) {
            files.set(path, grow(path, bytes, at, files.get(path) ?? new Uint8Array()));
            touch(path);
            return bytes.length;
          },
          truncate: (size: number) => void files.set(path, (files.get(path) ?? new Uint8Array()).slice(0, size)),
          flush() {},
          close() {},
        };
      },
    }),
  });
  const folder = (at: string): StorageFolder => {
    const inside = at === '' ? '' : `${at}/`;
    return {
      name: at.split('/').at(-1) ?? '',
      async getDirectoryHandle(name, { create = false } = {}) {
        if (files.has(inside + name)) throw failure('TypeMismatchError');
        if (!folders.has(inside + name) && !create) throw failure('NotFoundError');
        folders.add(inside + name);
        return folder(inside + name);
      },
      async getFileHandle(name, { create = false } = {}) {
        if (folders.has(inside + name)) throw failure('TypeMismatchError');
        if (!files.has(inside + name) && !create) throw failure('NotFoundError');
        if (!files.has(inside + name)) files.set(inside + name, new Uint8Array());
        return file(inside + name);
      },
      async removeEntry(name, { recursive = false } = {}) {
        const below = [...files.keys(), ...folders].filter(path => path.startsWith(`${inside}${name}/`));
        if (below.length > 0 && !recursive) throw failure('InvalidModificationError');
        for (const path of [inside + name, ...below]) if (!files.delete(path)) folders.delete(path);
      },
      async *keys() {
        const names = [...files.keys(), ...folders].filter(path => path.startsWith(inside) && path !== at);
        yield* new Set(names.map(path => path.slice(inside.length).split('/')[0] as string));
      },
    };
  };
  const root: FakeStorage = Object.assign(folder(''), {
    ...{ files, quota: Number.POSITIVE_INFINITY, inPlace: false, longestRead: 0, written: 0, times: undefined },
  });
  return root;
}
