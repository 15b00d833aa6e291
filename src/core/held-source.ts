/** A checkpoint whose tensors stay on the host once they were read, in the precision of the file. */
import { checkRange, type StoredTensor, type TensorSource } from './tensor-source.ts';

/** Shows a checkpoint as it is; what was read of it once is not read again. */
export class HeldSource implements TensorSource {
  readonly label: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly #source: TensorSource;
  readonly #held = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly #coming = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();
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

  /** A whole tensor, read unless it is there. The memory behind it goes on to a multiple of 4 bytes. @throws as the source's `read` */
  async hold(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const held = this.#held.get(name);
    if (held) return held;
    const coming = this.#coming.get(name) ?? this.#read(name);
    this.#coming.set(name, coming);
    try {
      return await coming;
    } finally {
      this.#coming.delete(name);
    }
  }

  /** A tensor that is there. */
  held(name: string): Uint8Array<ArrayBuffer> | undefined {
    return this.#held.get(name);
  }

  async read(name: string, start: number, into: Uint8Array): Promise<void> {
    checkRange(this.label, name, this.tensors.get(name)?.byteLength, start, into.byteLength);
    into.set((await this.hold(name)).subarray(start, start + into.byteLength));
  }

  async #read(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const size = this.tensors.get(name)?.byteLength;
    checkRange(this.label, name, size, 0, 0);
    const memory = new ArrayBuffer(Math.ceil((size ?? 0) / 4) * 4);
    const bytes = new Uint8Array(memory, 0, size);
    await this.#source.read(name, 0, bytes);
    this.#held.set(name, bytes);
    this.#bytes += memory.byteLength;
    return bytes;
  }
}
