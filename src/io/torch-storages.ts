/** Where the storages of a checkpoint of torch.save lie, and reads of many of them at once. */
import type { AbortSignalLike } from '../core/platform.ts';
import { type ByteSource, readRanges } from '../core/tensor-source.ts';
import type { PickledStorage } from './pickled.ts';

/** Where a storage begins in the file. */
export interface StoragePlace {
  readonly start: number;
  /** Where that is what writers do and not what the file says: behind a server the proof is read with the storage itself. */
  readonly proof?: StorageProof | undefined;
}

/** Bytes in front of a storage that say where it begins. */
export interface StorageProof {
  readonly offset: number;
  readonly length: number;
  /** Where the storage begins. @throws WeightsError for a damaged file */
  readonly check: (head: Uint8Array) => number;
}

/** Reads a proof at once, where that costs nothing: the file is refused when it is opened. @throws WeightsError */
export async function proved(bytes: ByteSource, { offset, length, check }: StorageProof): Promise<StoragePlace> {
  const head = new Uint8Array(length);
  await bytes.read(offset, head);
  return { start: check(head) };
}

/** Bytes of a storage. */
export interface StorageRange {
  readonly storage: PickledStorage;
  /** Counted from the storage's own beginning. */
  readonly offset: number;
  readonly into: Uint8Array;
}

/** The storages of one file. */
export class Storages {
  readonly #bytes: ByteSource;
  readonly #places = new Map<PickledStorage, StoragePlace>();

  constructor(bytes: ByteSource) {
    this.#bytes = bytes;
  }

  /** Whether the place of a storage is known. */
  has(storage: PickledStorage): boolean {
    return this.#places.has(storage);
  }

  /** Tells where a storage lies. */
  place(storage: PickledStorage, place: StoragePlace): void {
    this.#places.set(storage, place);
  }

  /**
   * Reads, with the proofs of the storages that are met for the first time; one that lies elsewhere is read again.
   * @throws WeightsError for a damaged file; the signal's reason
   */
  async read(ranges: readonly StorageRange[], signal?: AbortSignalLike): Promise<void> {
    const heads = new Map<PickledStorage, Uint8Array>();
    for (const { storage } of ranges) {
      const { proof } = this.#placeOf(storage);
      if (proof && !heads.has(storage)) heads.set(storage, new Uint8Array(proof.length));
    }
    const proofs = [...heads].map(([storage, into]) => ({ offset: this.#placeOf(storage).proof?.offset ?? 0, into }));
    await readRanges(this.#bytes, [...proofs, ...this.#inFile(ranges)], signal);
    const moved = new Set<PickledStorage>();
    for (const [storage, head] of heads) {
      const { start, proof } = this.#placeOf(storage);
      const real = proof?.check(head) ?? start;
      if (real !== start) moved.add(storage);
      this.#places.set(storage, { start: real });
    }
    const again = ranges.filter(({ storage }) => moved.has(storage));
    if (again.length > 0) await readRanges(this.#bytes, this.#inFile(again), signal);
  }

  #placeOf(storage: PickledStorage): StoragePlace {
    return this.#places.get(storage) ?? { start: 0 };
  }

  #inFile(ranges: readonly StorageRange[]): { offset: number; into: Uint8Array }[] {
    return ranges.map(({ storage, offset, into }) => ({ offset: this.#placeOf(storage).start + offset, into }));
  }
}
