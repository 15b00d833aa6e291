/** A file whose download has begun, and one that is kept as soon as more than its beginning is read. */
import type { AbortSignalLike } from '../../core/platform.ts';
import { type ByteRange, type ByteSource, readRanges } from '../../core/tensor-source.ts';
import { unlessAborted } from '../../core/unless-aborted.ts';
import { checkBytes } from '../sources.ts';
import type { Arrival } from './origin.ts';

/** So long an answer waits for its reader. */
const HELD_MS = 5000;
/** So much of a file is read before all of it is fetched: the header of weights. */
const HEAD_BYTES = 2 ** 20;

/** An answer that has begun. Whoever asked whether there is a file mostly reads it next: both are one request. */
export class Pending {
  /** Of the whole file, as far as the server tells. */
  readonly size: number | undefined;
  readonly #arrival: Arrival;
  readonly #chunks: AsyncGenerator<Uint8Array, void>;
  readonly #head: Uint8Array[] = [];
  #bytes = 0;
  #waits = true;
  #turn: Promise<unknown> = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(arrival: Arrival) {
    [this.#arrival, this.size] = [arrival, arrival.size];
    this.#chunks = arrival.chunks(undefined);
    this.#wait();
  }

  /** Whether nobody has taken it, and it has not waited too long. */
  get waits(): boolean {
    return this.#waits;
  }

  /** The first bytes, fewer where the file ends. They stay for the download. */
  head(bytes: number, signal: AbortSignalLike | undefined): Promise<Uint8Array> {
    const work = this.#turn.then(async () => {
      clearTimeout(this.#timer);
      for (; this.#bytes < bytes; ) {
        signal?.throwIfAborted();
        const { done, value } = await unlessAborted(signal, this.#chunks.next());
        if (done) break;
        this.#head.push(value);
        this.#bytes += value.length;
      }
      this.#wait();
      return joined(this.#head, bytes);
    });
    this.#turn = work.catch(() => {
      this.#waits = false; // the connection broke
    });
    return work;
  }

  /** The answer, from its first byte; undefined where it waits no more. */
  take(): Arrival | undefined {
    clearTimeout(this.#timer);
    if (!this.#waits) return undefined;
    this.#waits = false;
    const [head, rest, turn] = [this.#head, this.#chunks, this.#turn];
    async function* chunks(signal: AbortSignalLike | undefined): AsyncGenerator<Uint8Array, void> {
      await turn;
      yield* head;
      for (;;) {
        const { done, value } = await unlessAborted(signal, rest.next());
        if (done) return;
        yield value;
      }
    }
    const { from, size, validator, hash } = this.#arrival;
    return { from, size, validator, hash, chunks, leave: () => this.#arrival.leave() };
  }

  #wait(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#waits = false;
      void this.#chunks.return();
      void this.#arrival.leave();
    }, HELD_MS);
  }
}

function joined(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const all = new Uint8Array(
    Math.min(
      bytes,
      parts.reduce((sum, part) => sum + part.length, 0),
    ),
  );
  let at = 0;
  for (const part of parts) {
    const taken = part.subarray(0, all.length - at);
    all.set(taken, at);
    at += taken.length;
  }
  return all;
}

/** How the file is had. */
export interface WhenKept {
  /** Its first bytes, from an answer that has begun; undefined or fewer where nobody has them. */
  head(bytes: number, signal: AbortSignalLike | undefined): Promise<Uint8Array | undefined>;
  /** All of it, into the storage. */
  keep(signal: AbortSignalLike | undefined): Promise<ByteSource>;
}

/** A file whose beginning comes from the answer, and all else from the storage, where it is brought then. */
export class ReadWhenKept implements ByteSource {
  readonly label: string;
  readonly byteLength: number;
  readonly #ways: WhenKept;
  #file: Promise<ByteSource> | undefined;

  constructor(label: string, byteLength: number, ways: WhenKept) {
    [this.label, this.byteLength, this.#ways] = [label, byteLength, ways];
  }

  read(offset: number, into: Uint8Array): Promise<void> {
    return this.readMany([{ offset, into }]);
  }

  async readMany(ranges: readonly ByteRange[], signal?: AbortSignalLike): Promise<void> {
    for (const { offset, into } of ranges) checkBytes(this, offset, into.byteLength);
    const end = Math.max(0, ...ranges.map(({ offset, into }) => offset + into.byteLength));
    if (this.#file === undefined && end <= HEAD_BYTES && this.byteLength > HEAD_BYTES) {
      const head = await this.#ways.head(end, signal).catch(() => undefined);
      if (head && head.length >= end) {
        for (const { offset, into } of ranges) into.set(head.subarray(offset, offset + into.byteLength));
        return;
      }
    }
    this.#file ??= this.#ways.keep(signal).catch((error: unknown) => {
      this.#file = undefined;
      throw error;
    });
    await readRanges(await this.#file, ranges, signal);
  }

  async close(): Promise<void> {
    const file = await this.#file?.catch(() => undefined);
    await file?.close?.();
  }
}
