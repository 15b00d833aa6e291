/**
 * The bytes of a file that is kept, read from its pieces by range. A piece that was touched since it was written down is compared with its
 * digest before it is read: what is damaged or gone is fetched again, alone. At most one piece lies in memory.
 */
import { WeightsError } from '../../core/errors.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import type { ByteRange, ByteSource } from '../../core/tensor-source.ts';
import { checkBytes } from '../sources.ts';
import { brokeOff } from '../url-request.ts';
import { storageError } from './keep.ts';
import { lock, type Release } from './locks.ts';
import type { Origin } from './origin.ts';
import { type KeptFile, pieceSize, writeRecord } from './record.ts';
import { digestOf } from './sha256.ts';
import { type FileWriter, fileWriter, isFull, orAbsent, type StorageFolder } from './storage.ts';

/** A file that is whole, and what can mend it. */
export interface KeptHome {
  readonly folder: StorageFolder;
  readonly record: KeptFile;
  readonly origin: Origin;
  /** Of the locks. */
  readonly name: string;
  readonly warn: (message: string) => void;
  readonly signal: AbortSignalLike | undefined;
  /** Whether every piece is compared with its digest, touched or not. */
  readonly verify: boolean;
}

/** Reads a file that is kept. Nobody removes it before `close`. */
export class KeptSource implements ByteSource {
  readonly label: string;
  readonly byteLength: number;
  readonly #home: KeptHome;
  readonly #release: Release;
  /** Pieces that are as they were written down. */
  readonly #sound = new Set<number>();
  /** Of pieces whose digest was right: when they were written. */
  readonly #times = new Map<number, number>();
  /** The one whose digest was taken last. */
  #piece: { readonly n: number; readonly bytes: Uint8Array } | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  /** @param release of the lock that keeps others from removing it */
  constructor(home: KeptHome, release: Release) {
    [this.#home, this.#release] = [home, release];
    this.label = `${home.origin.label}${home.record.path}`;
    this.byteLength = home.record.size ?? 0;
  }

  read(offset: number, into: Uint8Array): Promise<void> {
    return this.readMany([{ offset, into }]);
  }

  /** One after the other: each piece is read once where ranges come in any order. */
  readMany(ranges: readonly ByteRange[], signal?: AbortSignalLike): Promise<void> {
    for (const { offset, into } of ranges) checkBytes(this, offset, into.byteLength);
    const work = this.#turn.then(() => this.#readAll(ranges, signal));
    this.#turn = work.catch(() => undefined);
    return work;
  }

  async close(): Promise<void> {
    await this.#turn;
    this.#piece = undefined;
    await this.#noteTimes();
    this.#release();
  }

  async #readAll(ranges: readonly ByteRange[], signal: AbortSignalLike | undefined): Promise<void> {
    const { pieceBytes } = this.#home.record;
    for (const { offset, into } of [...ranges].sort((a, b) => a.offset - b.offset)) {
      for (let done = 0; done < into.byteLength; ) {
        signal?.throwIfAborted();
        const n = Math.floor((offset + done) / pieceBytes);
        const within = offset + done - n * pieceBytes;
        const part = into.subarray(done, done + pieceBytes - within);
        await this.#readPiece(n, within, part, signal);
        done += part.byteLength;
      }
    }
  }

  async #readPiece(n: number, from: number, into: Uint8Array, signal: AbortSignalLike | undefined): Promise<void> {
    if (this.#piece?.n !== n && (this.#sound.has(n) || (await this.#isUntouched(n)))) {
      const file = await this.#file(n);
      const bytes = await file
        ?.slice(from, from + into.byteLength)
        .arrayBuffer()
        .catch(() => undefined);
      if (bytes?.byteLength === into.byteLength) return into.set(new Uint8Array(bytes));
      this.#sound.delete(n); // another tab has mended it meanwhile, or somebody removed it
    }
    if (this.#piece?.n !== n) this.#piece = { n, bytes: await this.#checked(n, signal) };
    into.set(this.#piece.bytes.subarray(from, from + into.byteLength));
  }

  async #file(n: number): Promise<File | undefined> {
    const handle = await orAbsent(this.#home.folder.getFileHandle(String(n)));
    return handle && (orAbsent(handle.getFile()) as Promise<File | undefined>);
  }

  /** Whether nobody has written the piece since its digest was taken. */
  async #isUntouched(n: number): Promise<boolean> {
    const { record, verify } = this.#home;
    const time = record.times?.[n];
    if (verify || !time) return false;
    const file = await this.#file(n);
    if (file?.lastModified !== time || file.size !== pieceSize(record, n)) return false;
    this.#sound.add(n);
    return true;
  }

  /** So that the next visit need not compare what this one has. */
  async #noteTimes(): Promise<void> {
    if (this.#times.size === 0) return;
    const { folder, record } = this.#home;
    const times = record.pieces.map((_, n) => this.#times.get(n) ?? record.times?.[n] ?? 0);
    this.#times.clear();
    // Another tab may be writing down the same; it costs a comparison alone.
    await writeRecord(folder, { ...record, times }).catch(() => undefined);
  }

  /** A piece whose digest is right, mended where it was not. */
  async #checked(n: number, signal: AbortSignalLike | undefined): Promise<Uint8Array> {
    this.#piece = undefined; // before another one comes
    const bytes = (await this.#sum(n)) ?? (await this.#mend(n, signal ?? this.#home.signal));
    this.#sound.add(n);
    return bytes;
  }

  /** The piece; undefined where it is another than was written. */
  async #sum(n: number): Promise<Uint8Array | undefined> {
    const { record } = this.#home;
    const file = await this.#file(n);
    if (file?.size !== pieceSize(record, n)) return undefined;
    const buffer = await file.arrayBuffer().catch(() => undefined);
    if (!buffer) return undefined;
    const bytes = new Uint8Array(buffer);
    if ((await digestOf('SHA-256', bytes)) !== record.pieces[n]) return undefined;
    if (file.lastModified && file.lastModified !== record.times?.[n]) this.#times.set(n, file.lastModified);
    return bytes;
  }

  async #mend(n: number, signal: AbortSignalLike | undefined): Promise<Uint8Array> {
    const { name, warn } = this.#home;
    const release = await lock(`${name} mending`, false, signal);
    try {
      const mended = await this.#sum(n); // by another tab
      if (mended) return mended;
      warn(
        `${this.label}: what is kept is damaged; piece ${n + 1} of ${this.#home.record.pieces.length} is fetched again.`,
      );
      await this.#fetch(n, signal);
      const bytes = await this.#sum(n);
      if (bytes) return bytes;
      await writeRecord(this.#home.folder, { ...this.#home.record, pieces: [], whole: false });
      throw this.#damaged('what is kept is damaged, and the server has another file by now', 'Load the model again.');
    } finally {
      release();
    }
  }

  /** Writes the piece anew, from the server. */
  async #fetch(n: number, signal: AbortSignalLike | undefined): Promise<void> {
    const { folder, origin, record } = this.#home;
    const [begin, size] = [n * record.pieceBytes, pieceSize(record, n)];
    const arrival = await origin.open(record.path, begin, signal);
    if (!arrival) throw this.#damaged('what is kept is damaged, and the server has the file no more', 'purge() it.');
    let writer: FileWriter | undefined;
    try {
      writer = await fileWriter(await folder.getFileHandle(String(n), { create: true }));
      let at = arrival.from;
      for await (const chunk of arrival.chunks(signal)) {
        const part = chunk.subarray(Math.max(0, begin - at), Math.max(0, begin + size - at));
        if (part.length > 0) await writer.write(part);
        at += chunk.length;
        if (at >= begin + size) break;
      }
      await writer.close();
    } catch (error) {
      await writer?.abort();
      signal?.throwIfAborted();
      if (error instanceof WeightsError && !isFull(error)) throw error;
      // Of the storage these are DOMExceptions, of a stream TypeErrors.
      throw isFull(error) || error instanceof DOMException
        ? await storageError(this.label, size, error)
        : brokeOff(this.label, error);
    } finally {
      await arrival.leave();
    }
  }

  #damaged(problem: string, fix: string): WeightsError {
    return new WeightsError({ op: 'cachedFolder', problem, path: this.label, fix });
  }
}
