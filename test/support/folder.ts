import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FolderSource } from '../../src/core/tensor-source.ts';

/** A directory of the disk as a FolderSource, whole files in memory. */
export function diskFolder(path: string): FolderSource {
  const at = (name: string) => join(path, name);
  return {
    label: path,
    has: async name => existsSync(at(name)),
    text: async name => readFileSync(at(name), 'utf8'),
    bytes: async name => bytesSource(at(name), new Uint8Array(readFileSync(at(name)))),
  };
}

/** Files held in memory, for damaged and partial folders; `label` stands in messages. */
export function memoryFolder(files: Record<string, string | Uint8Array>, label = 'memory'): FolderSource {
  const bytesOf = (name: string): Uint8Array => {
    const file = files[name];
    if (file === undefined) throw new Error(`memoryFolder: no file ${name}`);
    return typeof file === 'string' ? new TextEncoder().encode(file) : file;
  };
  return {
    label,
    has: async name => Object.hasOwn(files, name),
    text: async name => new TextDecoder().decode(bytesOf(name)),
    bytes: async name => bytesSource(`${label}/${name}`, bytesOf(name)),
  };
}

function bytesSource(label: string, bytes: Uint8Array) {
  return {
    label,
    byteLength: bytes.byteLength,
    read: async (offset: number, into: Uint8Array) => {
      if (offset + into.byteLength > bytes.byteLength)
        throw new RangeError(`${label} ends before ${offset + into.byteLength}`);
      into.set(bytes.subarray(offset, offset + into.byteLength));
    },
  };
}
