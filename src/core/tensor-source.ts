/** Where checkpoint tensors come from: a safetensors file, several shards, a torch zip, anything with the same face. */
import { WeightsError } from './errors.ts';
import type { AbortSignalLike } from './platform.ts';

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

/** Bytes of one tensor that are wanted: as many as `into` is long, from byte `start` of the tensor on. */
export interface TensorRange {
  /** Full key. */
  readonly name: string;
  /** First byte, counted from the tensor's own beginning. */
  readonly start: number;
  /** Where they go; may be mapped GPU memory. */
  readonly into: Uint8Array;
}

/** Bytes of a file that are wanted: as many as `into` is long, from byte `offset` on. */
export interface ByteRange {
  /** First byte in the file. */
  readonly offset: number;
  /** Where they go. */
  readonly into: Uint8Array;
}

/** A checkpoint: what tensors it holds, and their bytes on demand. */
export interface TensorSource {
  /** For messages: file name or URL. */
  readonly label: string;
  /** All tensors by their full keys. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Reads bytes [start, start + into.byteLength) of one tensor into `into` (which may be mapped GPU memory). */
  read(name: string, start: number, into: Uint8Array): Promise<void>;
  /**
   * Reads many ranges at once, in any order, neighbours together; there where each read costs an answer of a server. After it has
   * settled, failed or not, nothing writes into the views. `readTensors` is the same for sources with and without it.
   * @param signal ends it with its reason
   */
  readMany?(ranges: readonly TensorRange[], signal?: AbortSignalLike): Promise<void>;
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
  /**
   * Reads many ranges at once, in any order, neighbours together; there where each read costs an answer of a server. After it has
   * settled, failed or not, nothing writes into the views. `readRanges` is the same for sources with and without it.
   * @param signal ends it with its reason
   */
  readMany?(ranges: readonly ByteRange[], signal?: AbortSignalLike): Promise<void>;
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
 * Reads ranges of tensors: in one call where the source takes many, else one after another.
 * @param signal ends it with its reason
 */
export async function readTensors(
  source: TensorSource,
  ranges: readonly TensorRange[],
  signal?: AbortSignalLike,
): Promise<void> {
  signal?.throwIfAborted();
  if (source.readMany) return source.readMany(ranges, signal);
  for (const { name, start, into } of ranges) {
    await source.read(name, start, into);
    signal?.throwIfAborted();
  }
}

/**
 * `readMany` of a view in which some tensors are others than the source's: all that pass unchanged are read in one call, the view's
 * own one after another.
 * @param isOwn whether the view makes a tensor itself
 * @param read of the view
 * @returns nothing where the source takes one range at a time
 */
export function readManyOfView(
  source: TensorSource,
  isOwn: (name: string) => boolean,
  read: TensorSource['read'],
): Pick<TensorSource, 'readMany'> {
  if (!source.readMany) return {};
  return {
    async readMany(ranges, signal): Promise<void> {
      const passed = ranges.filter(({ name }) => !isOwn(name));
      await readTensors(source, passed, signal);
      for (const { name, start, into } of ranges) {
        if (!isOwn(name)) continue;
        await read(name, start, into);
        signal?.throwIfAborted();
      }
    },
  };
}

/**
 * Reads ranges of a file: in one call where the source takes many, else one after another.
 * @param signal ends it with its reason
 */
export async function readRanges(
  source: ByteSource,
  ranges: readonly ByteRange[],
  signal?: AbortSignalLike,
): Promise<void> {
  signal?.throwIfAborted();
  if (source.readMany) return source.readMany(ranges, signal);
  for (const { offset, into } of ranges) {
    await source.read(offset, into);
    signal?.throwIfAborted();
  }
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
