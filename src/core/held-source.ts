/** A checkpoint whose tensors stay on the host once they were read, in the precision of the file. */
import type { AbortSignalLike } from './platform.ts';
import { checkRange, readTensors, type StoredTensor, type TensorSource } from './tensor-source.ts';

/** How tensors are read that are to stay. */
export interface HoldOptions {
  /** Ends it with its reason. */
  readonly signal?: AbortSignalLike | undefined;
  /** Told of the bytes that are there so far. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

/** Bytes that are read in one call, unless one tensor has more. */
const AT_ONCE = 64 * 2 ** 20;

/** Shows a checkpoint as it is; what was read of it once is not read again. */
export class HeldSource implements TensorSource {
  readonly label: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly #source: TensorSource;
  readonly #held = new Map<string, Uint8Array<ArrayBuffer>>();
  #bytes = 0;

  /** @param source whoever opened it closes it; what is held needs it no more */
  constructor(source: TensorSource) {
    this.label = source.label;
    this.tensors = source.tensors;
    this.#source = source;
  }

  /** Bytes of host memory that the tensors take, outside of the heap. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Reads tensors that are not there yet, whole, several in one call. @throws as the source's `read`; the signal's reason */
  async holdAll(names: readonly string[], { signal, onProgress }: HoldOptions = {}): Promise<void> {
    let done = 0;
    let batch: string[] = [];
    let size = 0;
    for (const [i, name] of names.entries()) {
      batch.push(name);
      size += this.#sizeOf(name);
      const next = names[i + 1];
      if (next !== undefined && size + this.#sizeOf(next) <= AT_ONCE) continue;
      await this.#hold(batch, signal);
      done += size;
      [batch, size] = [[], 0];
      onProgress?.(done);
    }
  }

  async read(name: string, start: number, into: Uint8Array): Promise<void> {
    checkRange(this.label, name, this.tensors.get(name)?.byteLength, start, into.byteLength);
    if (!this.#held.has(name)) await this.#hold([name], undefined);
    const bytes = this.#held.get(name);
    if (bytes) into.set(bytes.subarray(start, start + into.byteLength));
  }

  #sizeOf(name: string): number {
    const size = this.tensors.get(name)?.byteLength;
    checkRange(this.label, name, size, 0, 0);
    return size ?? 0;
  }

  async #hold(names: readonly string[], signal: AbortSignalLike | undefined): Promise<void> {
    const missing = [...new Set(names)].filter(name => !this.#held.has(name));
    const ranges = missing.map(name => ({ name, start: 0, into: new Uint8Array(this.#sizeOf(name)) }));
    await readTensors(this.#source, ranges, signal);
    for (const { name, into } of ranges) {
      if (this.#held.has(name)) continue; // two asked for it at once
      this.#held.set(name, into);
      this.#bytes += into.byteLength;
    }
  }
}
