/**
 * One file of the Hub into blobs/: what is there of it is resumed by range, every byte goes through its hash, and it appears
 * under its name whole and checked, or not at all. A file that is on its way is called NAME.pentimento-HOST-PID-N.incomplete
 * while a process writes it, and NAME.pentimento.incomplete while nobody does; taking one over is a rename, which only one
 * process can win.
 */
import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { WeightsError } from '../core/errors.ts';
import { entries, sizeOf } from './hub-cache.ts';
import { HubError } from './hub-errors.ts';
import type { HubAnswer, HubClient } from './hub-request.ts';

/** What the listing says of a file. */
export interface HubFile {
  /** In the repository, with `/`. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** SHA-256 of a large file, or git's SHA-1 of a small one, in hexadecimal digits; undefined where the listing lacks it. */
  readonly hash: string | undefined;
}

/** A file to fetch. */
export interface Download {
  readonly file: HubFile;
  /** Where it is. */
  readonly address: string;
  /** The folder of blobs, which exists. */
  readonly blobs: string;
  /** Called with the bytes that are there so far. */
  readonly onBytes: (bytes: number) => void;
}

/** So many connections in a row that bring nothing new, and the file is given up. */
const MOST_BREAKS = 4;
/** At most so long between two looks at the file that another process writes. */
const LOOK_MS = 500;
/** Between two signs of life. */
const BEAT_MS = 5000;
/** Whoever has not touched its file for so long is not working on it. */
const STALE_MS = 30_000;

/** This machine in names of files. Asked when one is fetched: some runtimes ask their user before they tell. */
function hostMark(): string {
  return createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
}

/** Those of this process. */
const writing = new Set<string>();
let count = 0;

/**
 * Fetches one file, or waits for another process that is fetching it.
 * @returns the path of the blob
 * @throws WeightsError when it arrives damaged; HubError when it does not arrive; the signal's reason
 */
export async function downloadBlob(client: HubClient, d: Download): Promise<string> {
  const { file, blobs, address } = d;
  const blob = join(blobs, file.hash ?? createHash('sha256').update(address).digest('hex'));
  while ((await sizeOf(blob)) !== file.size) {
    const part = await claim(client, blob, d);
    if (part === undefined) continue;
    const beat = setInterval(() => void utimes(part, new Date(), new Date()).catch(() => undefined), BEAT_MS);
    beat.unref();
    try {
      await fetchInto(part, client, d);
      await rename(part, blob);
    } catch (error) {
      // Without its file this process was taken for dead: the other one goes on with it.
      if (!isAbsent(error)) throw error;
    } finally {
      clearInterval(beat);
      await release(part, blob);
    }
  }
  return blob;
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/**
 * A file to write to that nobody else writes to, with what has arrived of it before.
 * @returns undefined where another process has landed the blob meanwhile
 */
async function claim(client: HubClient, blob: string, { file }: Download): Promise<string | undefined> {
  const own = `${blob}.pentimento-${hostMark()}-${process.pid}-${count++}.incomplete`;
  for (let told = false; ; ) {
    const { live, resting } = await partsOf(blob);
    if (live.length === 0) {
      const [best] = resting;
      writing.add(own);
      const failed = await (best === undefined ? create(own) : takeOver(best, own)).catch((error: unknown) => error);
      if (failed === undefined) {
        if ((await sizeOf(blob)) !== file.size && (await partsOf(blob)).live.length === 1) return own;
        await release(own, blob); // another process began at the same moment: one of the two will be first the next time
      }
      writing.delete(own);
      if (failed !== undefined && (best === undefined || !isAbsent(failed))) throw failed;
    } else if (!told) {
      client.warn(`Another process is downloading ${file.path}; waiting for it.`);
      told = true;
    }
    await client.wait(LOOK_MS * Math.random());
    if ((await sizeOf(blob)) === file.size) return undefined;
  }
}

async function create(path: string): Promise<void> {
  await (await open(path, 'wx')).close();
}

/** Touched first: under its new name it is alive from the beginning. */
async function takeOver(path: string, own: string): Promise<void> {
  await utimes(path, new Date(), new Date());
  await rename(path, own);
}

/** The unfinished files of a blob: those that someone writes, and the others, the largest first. */
async function partsOf(blob: string): Promise<{ live: string[]; resting: string[] }> {
  const [folder, start] = [dirname(blob), `${basename(blob)}.pentimento`];
  const live: string[] = [];
  const resting: [path: string, size: number][] = [];
  for (const name of await entries(folder)) {
    if (!name.startsWith(start) || !name.endsWith('.incomplete')) continue;
    const path = join(folder, name);
    const info = await stat(path).catch(() => undefined);
    if (info === undefined) continue;
    if (isLive(path, info.mtimeMs)) live.push(path);
    else resting.push([path, info.size]);
  }
  return { live, resting: resting.sort((a, b) => b[1] - a[1]).map(([path]) => path) };
}

/** Whether a process is still writing an unfinished file. */
export function isLive(path: string, touchedMs: number): boolean {
  if (writing.has(path)) return true;
  const [, host, pid] = /\.pentimento-(\w+)-(\d+)-\d+\.incomplete$/.exec(path) ?? [];
  if (pid === undefined || Math.abs(Date.now() - touchedMs) > STALE_MS) return false;
  if (host !== hostMark()) return true;
  if (Number(pid) === process.pid) return false; // of a process before this one, or it would be known
  try {
    process.kill(Number(pid), 0); // asks whether it exists
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Leaves what has arrived to whoever comes next; of several only the longest. */
async function release(part: string, blob: string): Promise<void> {
  writing.delete(part);
  const size = await sizeOf(part);
  const rest = `${blob}.pentimento.incomplete`;
  if (size !== undefined && size > ((await sizeOf(rest)) ?? 0)) await rename(part, rest).catch(() => undefined);
  else await rm(part, { force: true });
  if ((await sizeOf(blob)) === undefined) return;
  for (const old of (await partsOf(blob)).resting) await rm(old, { force: true });
}

/** Ends when the file is whole and checked. */
async function fetchInto(part: string, client: HubClient, d: Download): Promise<void> {
  const handle = await open(part, 'r+');
  const arrival = new Arrival(handle, client, d);
  try {
    await arrival.takeUp();
    await arrival.finish();
  } finally {
    await arrival.cut().catch(() => undefined);
    await handle.close();
  }
}

/** The state of one file on its way. */
class Arrival {
  readonly #handle: FileHandle;
  readonly #client: HubClient;
  readonly #d: Download;
  #hash: Hash;
  /** Bytes that are on disk and in the hash. */
  #at = 0;
  /** Bytes that an earlier call left, which nobody has checked since. */
  #found = 0;
  #expected: string | undefined;
  /** ETag of the server that holds the bytes: a range of another file is not wanted. */
  #validator: string | undefined;

  constructor(handle: FileHandle, client: HubClient, d: Download) {
    [this.#handle, this.#client, this.#d] = [handle, client, d];
    this.#expected = d.file.hash;
    this.#hash = this.#newHash();
  }

  /** Git hashes a header with the content. */
  #newHash(): Hash {
    if (this.#expected?.length !== 40) return createHash('sha256');
    return createHash('sha1').update(`blob ${this.#d.file.size}\0`);
  }

  /** Reads what is there of the file through the hash. */
  async takeUp(): Promise<void> {
    const { size } = this.#d.file;
    const there = (await this.#handle.stat()).size;
    if (there > size || this.#expected === undefined) return; // nothing could tell whether it belongs together
    const buffer = new Uint8Array(2 ** 20);
    while (this.#at < there) {
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, this.#at);
      if (bytesRead === 0) break;
      this.#client.throwIfAborted();
      this.#take(buffer.subarray(0, bytesRead));
    }
    this.#found = this.#at;
    if (this.#at > 0) this.#d.onBytes(this.#at);
  }

  #take(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#at += chunk.length;
  }

  #startOver(): void {
    [this.#at, this.#found, this.#validator] = [0, 0, undefined];
    this.#hash = this.#newHash();
  }

  /** Fetches the rest, over as many connections as it takes. */
  async finish(): Promise<void> {
    const { size } = this.#d.file;
    let most = this.#at;
    for (let breaks = 0; this.#at < size; ) {
      const failed = await this.#receive().then(
        () => undefined,
        (error: unknown) => error,
      );
      const answered = failed !== undefined && !(failed instanceof HubError && failed.status === undefined);
      if (this.#at === size && !answered) break;
      if (this.#at > most) [most, breaks] = [this.#at, 0];
      const silent = failed instanceof HubError && failed.silent && most === 0;
      if (answered || silent || ++breaks === MOST_BREAKS) throw failed ?? this.#damaged(`${this.#at} of ${size} bytes`);
      // At once, after one second, after two: a wireless connection needs that long to come back.
      const pause = breaks === 1 ? 0 : 1000 * 2 ** (breaks - 2);
      await this.#client.wait(Math.min(pause, this.#client.settings.silenceMs));
    }
    await this.#check();
  }

  async #receive(): Promise<void> {
    const { address, file, onBytes } = this.#d;
    const headers: Record<string, string> = this.#at === 0 ? {} : { range: `bytes=${this.#at}-` };
    if (this.#at > 0 && this.#validator !== undefined) headers['if-range'] = this.#validator;
    const answer = await this.#client.ask(address, headers);
    try {
      if (!this.#begins(answer)) return;
      for await (const chunk of answer.chunks()) {
        if (this.#at + chunk.length > file.size) throw this.#damaged(`more than ${file.size} bytes`);
        for (let done = 0; done < chunk.length; ) {
          const { bytesWritten } = await this.#handle.write(chunk, done, chunk.length - done, this.#at + done);
          done += bytesWritten;
        }
        this.#take(chunk);
        onBytes(this.#at);
      }
    } finally {
      await answer.close();
    }
  }

  /** Whether the answer holds the bytes from here on. @throws WeightsError for another file in its place */
  #begins({ response, etag }: HubAnswer): boolean {
    const { headers, status } = response;
    const { size, hash } = this.#d.file;
    if ((headers.get('content-type') ?? '').startsWith('text/html'))
      throw this.#damaged('a web page in its place, maybe of a proxy that asks to sign in');
    const told = etag !== undefined && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag) ? etag : undefined;
    if (hash === undefined && this.#at === 0 && told !== undefined && told !== this.#expected) {
      this.#expected = told;
      this.#hash = this.#newHash();
    }
    if (hash !== undefined && told?.length === hash.length && told !== hash)
      throw this.#damaged('another checksum', hash);
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '');
    const from = status === 206 && range ? Number(range[1]) : 0;
    // Of a body that arrives compressed all the same, the header counts other bytes.
    const whole = headers.has('content-encoding') ? undefined : headers.get('content-length');
    const length = status === 206 ? range?.[2] : whole;
    const fits = length === undefined || length === null || length === '*' || Number(length) === size;
    if (status === 416 || (status === 206 && (from !== this.#at || !fits))) {
      if (this.#at === 0) throw this.#damaged(`status ${status} with another range`);
      this.#startOver();
      return false;
    }
    if (!fits) throw this.#damaged(`${length} of ${size} bytes`);
    if (status !== 206 && this.#at > 0) this.#startOver(); // the server sends it whole
    const strong = headers.get('etag');
    this.#validator = strong?.startsWith('"') ? strong : undefined;
    return true;
  }

  async #check(): Promise<void> {
    const got = this.#hash.digest('hex');
    if (this.#expected === undefined || got === this.#expected) return this.#handle.sync();
    const mixed = this.#found > 0;
    this.#startOver();
    // What an earlier call had left may be the damaged part.
    if (mixed) return this.finish();
    throw this.#damaged('another checksum', this.#expected);
  }

  /** Drops what lies behind the bytes that count: another file, or bytes that were to be written over. */
  async cut(): Promise<void> {
    if ((await this.#handle.stat()).size > this.#at) await this.#handle.truncate(this.#at);
  }

  #damaged(received: string, expected?: string): WeightsError {
    return new WeightsError({
      op: 'fetchModel',
      problem: 'a file did not arrive whole',
      expected,
      received,
      path: `${this.#client.place.repoId}/${this.#d.file.path}`,
      fix: 'Try again; what has arrived is kept.',
    });
  }
}
