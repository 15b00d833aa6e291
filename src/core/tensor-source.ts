/** Where checkpoint tensors come from: a safetensors file, several shards, a torch zip, anything with the same face. */
import { WeightsError } from './errors.ts';

/** Element types as safetensors names them; a source may list others (I64, U8, ...), which no layer can load. */
export type StoredDType = 'F32' | 'F16' | 'BF16' | (string & {});

/** One tensor of a checkpoint: its full name, element type, shape as stored, and length in bytes. */
export interface StoredTensor {
  /** Full key, such as `down_blocks.0.resnets.0.conv1.weight`. */
  readonly name: string;
  /** Type of the elements in the file. */
  readonly dtype: StoredDType;
  /** Sizes as the file has them, outermost first; empty for a scalar. */
  readonly shape: readonly number[];
  /** Bytes of all elements in the file. */
  readonly byteLength: number;
}

/** A checkpoint: what tensors it holds, and their bytes on demand. */
export interface TensorSource {
  /** For messages: file name or URL. */
  readonly label: string;
  /** All tensors by their full keys. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Reads bytes [start, start + into.byteLength) of one tensor into `into` (which may be mapped GPU memory). */
  read(name: string, start: number, into: Uint8Array): Promise<void>;
  /** Gives the file back; no read may follow. */
  close?(): Promise<void>;
}

/** Bytes at random offsets: a file, a Blob, a ranged URL, an ArrayBuffer. */
export interface ByteSource {
  /** For messages: file name or URL. */
  readonly label: string;
  /** Length of the whole file in bytes. */
  readonly byteLength: number;
  /** Fills `into` with the bytes from `offset` on; throws a WeightsError when the source is shorter. */
  read(offset: number, into: Uint8Array): Promise<void>;
  /** Gives the file back; no read may follow. */
  close?(): Promise<void>;
}

/** A model folder: a directory, a map of Blobs, a base URL. Paths are relative with forward slashes. */
export interface FolderSource {
  /** For messages: path or URL of the folder. */
  readonly label: string;
  /** Whether there is such a file. */
  has(path: string): Promise<boolean>;
  /** A small file as UTF-8 text. */
  text(path: string): Promise<string>;
  /** A large file, to be read in parts and closed by the caller. */
  bytes(path: string): Promise<ByteSource>;
  /** Names of the files that lie directly in a folder of it, '' for itself; absent where nobody can tell, as behind URLs. */
  list?(path: string): Promise<readonly string[]>;
}

/**
 * Refuses a read of an unknown tensor or beyond its end; shared by all tensor sources.
 * @param size the tensor's bytes, undefined when there is no such tensor
 * @throws WeightsError
 */
export function checkRange(path: string, name: string, size: number | undefined, offset: number, length: number): void {
  if (size === undefined) throw new WeightsError({ op: 'read', problem: `no tensor "${name}"`, path });
  if (!Number.isInteger(offset) || offset < 0 || offset + length > size) {
    throw new WeightsError({
      op: 'read',
      problem: `bytes beyond the end of tensor "${name}"`,
      expected: `a range within ${size} bytes`,
      received: `${offset} to ${offset + length}`,
      path,
    });
  }
}
