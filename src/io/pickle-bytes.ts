/** The bytes of a pickle, read opcode by opcode, and what may be built of them. */
import { WeightsError } from '../core/errors.ts';

/** Python's own writer makes integers of at most 255 bytes; longer ones are damage, and slow. */
const MAX_INTEGER_BYTES = 255;
/** What a pickle may build: each byte of one could make a Map. */
const FREE_BYTES = 48 * 2 ** 20;
const BUILT_BYTES_PER_BYTE = 10;

/** A cursor over a pickle. */
export class PickleBytes {
  readonly view: DataView;
  /** Of the next byte. */
  at = 0;
  /** Whether the bytes ended before the pickle did. */
  exhausted = false;
  readonly #bytes: Uint8Array;
  readonly #path: string;
  readonly #decoder = new TextDecoder();
  /** Bytes of memory that may still be filled, about. */
  #left: number;

  constructor(bytes: Uint8Array, path: string) {
    this.#bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#path = path;
    this.#left = FREE_BYTES + BUILT_BYTES_PER_BYTE * bytes.length;
  }

  /** @throws WeightsError */
  fail(
    problem: string,
    received?: unknown,
    fix = 'Download the file again, or save the weights as safetensors.',
  ): never {
    throw new WeightsError({ op: 'unpickle', problem, received, path: this.#path, fix });
  }

  /** Counts what is about to be built, so that a small file cannot fill the memory. */
  spend(bytes: number): void {
    this.#left -= bytes;
    if (this.#left < 0) this.fail('the pickle builds far more than it holds');
  }

  cutShort(): never {
    this.exhausted = true;
    return this.fail('the pickle is cut short');
  }

  /** Moves on by `length` bytes and returns where they start. */
  take(length: number): number {
    const start = this.at;
    if (start + length > this.#bytes.length) this.cutShort();
    this.at += length;
    return start;
  }

  uint(length: 1 | 2 | 4): number {
    const start = this.take(length);
    if (length === 1) return this.view.getUint8(start);
    return length === 2 ? this.view.getUint16(start, true) : this.view.getUint32(start, true);
  }

  /** A length of 8 bytes. */
  size(): number {
    return Number(this.view.getBigUint64(this.take(8), true));
  }

  /** A little-endian integer of any length in two's complement; a long one to the precision of a number. */
  long(length: number): number {
    if (length > MAX_INTEGER_BYTES) this.fail('an integer is too long', `${length} bytes`);
    const start = this.take(length);
    const low = Math.max(0, length - 8);
    let value = 0n;
    for (let i = length - 1; i >= low; i--) value = (value << 8n) | BigInt(this.#bytes[start + i] ?? 0);
    return Number(BigInt.asIntN((length - low) * 8, value)) * 2 ** (8 * low);
  }

  text(length: number): string {
    const start = this.take(length);
    this.spend(24 + 2 * length);
    return this.#decoder.decode(this.#bytes.subarray(start, this.at));
  }

  raw(length: number): Uint8Array {
    const start = this.take(length);
    this.spend(320 + length);
    return this.#bytes.slice(start, this.at);
  }

  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.at);
    if (end < 0) this.cutShort();
    const text = this.text(end - this.at);
    this.at++;
    return text;
  }
}
