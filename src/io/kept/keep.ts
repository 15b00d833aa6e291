/**
 * One file into the browser's storage: piece by piece, each written down once it lies there, so that a download that is cut goes on
 * behind the last whole piece. Bytes go from the answer's stream into the file; of a piece that is whole a digest is taken, by which
 * damage shows when it is read.
 */
import { PentimentoError, WeightsError } from '../../core/errors.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import { unlessAborted } from '../../core/unless-aborted.ts';
import { brokeOff, NoAnswer } from '../url-request.ts';
import type { Arrival, Listed, Origin } from './origin.ts';
import { type KeptFile, VERSION, writeRecord } from './record.ts';
import { digestOf, Sha256 } from './sha256.ts';
import {
  type FileWriter,
  fileWriter,
  isFull,
  namesIn,
  type StorageFolder,
  StorageFullError,
  storageEstimate,
} from './storage.ts';

/** So many connections in a row may break without bringing much. */
const MOST_BREAKS = 3;
/** What a connection must have brought to count as none that broke. */
const MUCH_BYTES = 2 ** 16;
const PAUSE_MS = 250;
/** Between two reports. */
const REPORT_BYTES = 2 ** 20;
/** Git hashes small files; a larger one is none of its. */
const MOST_GIT_BYTES = 2 ** 27;

/** What is to be kept. */
export interface Keeping {
  readonly folder: StorageFolder;
  readonly path: string;
  readonly origin: Origin;
  readonly listed: Listed | undefined;
  readonly pieceBytes: number;
  readonly signal: AbortSignalLike | undefined;
  readonly onBytes: (bytes: number, of: number | undefined) => void;
}

/**
 * Fetches what is missing of a file.
 * @param found what is written down of it; undefined for nothing
 * @param first an answer that has begun with the first byte, if there is one
 * @returns what is written down of it now
 * @throws WeightsError for an absent file, and one that arrives damaged; StorageFullError; the signal's reason
 */
export async function keepFile(
  what: Keeping,
  found: KeptFile | undefined,
  first: Arrival | undefined,
): Promise<KeptFile> {
  const file = new FileOnItsWay(what, found);
  try {
    return await file.fetch(first);
  } finally {
    await file.end();
  }
}

class FileOnItsWay {
  readonly #what: Keeping;
  #record: KeptFile;
  /** Bytes that lie in whole pieces, and in the one that is written now. */
  #at = 0;
  #writer: FileWriter | undefined;
  #sum: Sha256 | undefined;
  /** Whether bytes are there that an earlier call left. */
  #resumed = false;
  #reported = -REPORT_BYTES;
  /** What the listener has thrown, which is no connection that broke. */
  #thrown: { readonly error: unknown } | undefined;

  constructor(what: Keeping, found: KeptFile | undefined) {
    this.#what = what;
    this.#record = this.#blank();
    if (found) this.#takeUp(found);
  }

  #blank(): KeptFile {
    const { path, listed, pieceBytes } = this.#what;
    return {
      ...{ version: VERSION, path, size: listed?.size, hash: listed?.hash, pieceBytes, pieces: [], whole: false },
    };
  }

  /** Goes on behind the pieces that are there, where something tells that they belong to the same file. */
  #takeUp(found: KeptFile): void {
    const { listed } = this.#what;
    const same = listed?.hash ? listed.hash === found.hash : found.validator !== undefined;
    if (found.pieces.length === 0 || !same || (listed && listed.size !== found.size)) return;
    const at = found.pieces.length * found.pieceBytes;
    if (found.size !== undefined && at > found.size) return;
    this.#sum = found.state === undefined ? undefined : Sha256.from(found.state, at);
    if (isSha256(found.hash) && this.#sum === undefined) return;
    [this.#record, this.#at, this.#resumed] = [found, at, true];
  }

  async #startOver(): Promise<void> {
    await this.end();
    [this.#record, this.#at, this.#resumed, this.#sum] = [this.#blank(), 0, false, undefined];
    const { folder } = this.#what;
    await this.#storing(async () => {
      await writeRecord(folder, this.#record);
      for (const name of await namesIn(folder)) if (/^\d+$/.test(name)) await folder.removeEntry(name);
    });
  }

  async fetch(first: Arrival | undefined): Promise<KeptFile> {
    const { signal, path, origin } = this.#what;
    let arrival = this.#at === 0 ? first : undefined;
    if (arrival === undefined) await first?.leave();
    for (let breaks = 0; this.#at === 0 || this.#at !== this.#record.size; arrival = undefined) {
      const before = this.#at;
      try {
        arrival ??= await this.#open();
        if (await this.#receive(arrival)) break;
      } catch (error) {
        signal?.throwIfAborted();
        if (this.#thrown || (error instanceof PentimentoError && !(error instanceof NoAnswer))) throw error;
        if (this.#at - before >= MUCH_BYTES) breaks = 0;
        if (++breaks === MOST_BREAKS) throw brokeOff(`${origin.label}${path}`, error);
        await unlessAborted(signal, new Promise(resume => setTimeout(resume, breaks > 1 ? PAUSE_MS : 0)));
      } finally {
        await arrival?.leave();
      }
    }
    return this.#finish();
  }

  async #open(): Promise<Arrival> {
    const { origin, path, signal } = this.#what;
    const ask = (): Promise<Arrival | undefined> => origin.open(path, this.#at, signal);
    const arrival = await ask().catch(async (error: unknown) => {
      signal?.throwIfAborted();
      if (this.#at === 0 || error instanceof NoAnswer || !(error instanceof PentimentoError)) throw error;
      await this.#startOver(); // what there is begins behind the end of what the server has now
      return ask();
    });
    if (arrival) return arrival;
    throw this.#error('the file is not there any more');
  }

  /** @returns whether that was all; false where the answer does not go on with what is there */
  async #receive(arrival: Arrival): Promise<boolean> {
    const { listed, signal } = this.#what;
    const { size, validator } = this.#record;
    const other = arrival.validator !== validator || (arrival.size ?? size) !== size;
    if (this.#at > 0 && (arrival.from !== this.#at || (listed?.hash === undefined && other))) {
      await this.#startOver();
      if (arrival.from !== 0) return false;
    }
    if (this.#at === 0) this.#begin(arrival);
    for await (const chunk of arrival.chunks(signal)) {
      await this.#take(chunk);
      if (this.#at - this.#reported < REPORT_BYTES) continue;
      this.#reported = this.#at;
      this.#tell(this.#record.size);
    }
    // A body without a length that ends is whole; one of a known length that ends early broke.
    return this.#record.size === undefined || this.#at === this.#record.size;
  }

  #begin({ size, validator, hash }: Arrival): void {
    const { listed } = this.#what;
    if (listed && size !== undefined && size !== listed.size)
      throw this.#error('the server has another file than the listing names', `${listed.size} bytes`, `${size} bytes`);
    this.#record = { ...this.#record, size: listed?.size ?? size, hash: listed?.hash ?? hash, validator };
    this.#sum = isSha256(this.#record.hash) ? new Sha256() : undefined;
  }

  async #take(chunk: Uint8Array): Promise<void> {
    const { size, pieceBytes } = this.#record;
    if (size !== undefined && this.#at + chunk.length > size)
      throw this.#error('the server sent more bytes than it told', size, 'more');
    for (let done = 0; done < chunk.length; ) {
      const part = chunk.subarray(done, done + pieceBytes - (this.#at % pieceBytes));
      await this.#storing(async () => {
        this.#writer ??= await fileWriter(
          await this.#what.folder.getFileHandle(String(this.#record.pieces.length), { create: true }),
        );
        await this.#writer.write(part);
      });
      this.#sum?.update(part);
      this.#at += part.length;
      done += part.length;
      if (this.#at % pieceBytes === 0) await this.#land();
    }
  }

  /** Closes the piece that is written, and writes it down. */
  async #land(): Promise<void> {
    const { folder } = this.#what;
    const { pieces: before, times: timesBefore = before.map(() => 0) } = this.#record;
    const [pieces, times] = [[...before], [...timesBefore]];
    await this.#storing(async () => {
      await this.#writer?.close();
      this.#writer = undefined;
      const piece = await (await folder.getFileHandle(String(pieces.length))).getFile();
      pieces.push(await digestOf('SHA-256', new Uint8Array(await piece.arrayBuffer())));
      times.push(piece.lastModified ?? 0);
      this.#record = { ...this.#record, pieces, times, state: this.#sum?.state };
      await writeRecord(folder, this.#record);
    });
  }

  async #finish(): Promise<KeptFile> {
    const { folder } = this.#what;
    if (this.#writer) await this.#land();
    const { hash } = this.#record;
    const found = this.#sum ? this.#sum.finish() : await this.#gitHash(hash);
    if (found !== hash) {
      const resumed = this.#resumed;
      await this.#startOver();
      // What an earlier call had left may be the damaged part.
      if (resumed) return this.fetch(undefined);
      throw this.#error('the file arrived damaged', hash, found);
    }
    const { state: _, ...record } = this.#record;
    this.#record = { ...record, size: this.#at, whole: true };
    await this.#storing(() => writeRecord(folder, this.#record));
    this.#tell(this.#at);
    return this.#record;
  }

  #tell(of: number | undefined): void {
    try {
      this.#what.onBytes(this.#at, of);
    } catch (error) {
      this.#thrown = { error };
      throw error;
    }
  }

  /** Git's SHA-1 of a small file; what was expected where that is none. */
  async #gitHash(hash: string | undefined): Promise<string | undefined> {
    if (hash?.length !== 40 || this.#at > MOST_GIT_BYTES) return hash;
    const head = new TextEncoder().encode(`blob ${this.#at}\0`);
    const all = new Uint8Array(head.length + this.#at);
    all.set(head);
    let at = head.length;
    for (let n = 0; n < this.#record.pieces.length; n++) {
      const piece = await (await this.#what.folder.getFileHandle(String(n))).getFile();
      all.set(new Uint8Array(await piece.arrayBuffer()), at);
      at += piece.size;
    }
    return digestOf('SHA-1', all);
  }

  /** Forgets the piece that is not whole. */
  async end(): Promise<void> {
    const writer = this.#writer;
    if (!writer) return;
    this.#writer = undefined;
    this.#at = this.#record.pieces.length * this.#record.pieceBytes;
    await writer.abort();
  }

  /** What the storage refuses is no connection that broke. */
  async #storing(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (error instanceof PentimentoError && !isFull(error)) throw error;
      throw await storageError(`${this.#what.origin.label}${this.#what.path}`, this.#left, error);
    }
  }

  /** Bytes that are still to come, as far as anybody knows. */
  get #left(): number {
    return Math.max(1, (this.#record.size ?? this.#at) - this.#record.pieces.length * this.#record.pieceBytes);
  }

  #error(problem: string, expected?: unknown, received?: unknown): WeightsError {
    const path = `${this.#what.origin.label}${this.#what.path}`;
    return new WeightsError({ op: 'cachedFolder', problem, expected, received, path, fix: 'Try again.' });
  }
}

function isSha256(hash: string | undefined): boolean {
  return hash?.length === 64;
}

/** The error for what the storage refused: full, with the numbers, or in its own words. */
export async function storageError(path: string, asked: number, cause: unknown): Promise<WeightsError> {
  if (isFull(cause)) return new StorageFullError(path, { asked, ...(await storageEstimate()) }, cause);
  const received = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  const fix = 'Close other tabs of this site, or purge() what is kept.';
  return new WeightsError({ op: 'cachedFolder', problem: "the browser's storage failed", received, path, fix, cause });
}
