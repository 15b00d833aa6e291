/** Many ranges of one file by few requests: neighbours are asked for together, several requests are on their way at once. */
import { WeightsError } from '../core/errors.ts';
import type { AbortSignalLike } from '../core/platform.ts';
import type { ByteRange } from '../core/tensor-source.ts';
import { brokeOff, JointSignal, leave, NoAnswer, partsOf, request, type UrlOptions } from './url-request.ts';

/** Bytes between two ranges that are read and dropped rather than asked around: an answer takes as long as they do. */
const GAP_BYTES = 2 ** 17;
/** Bytes of one request: several share what is asked for at once, between these bounds. */
const LEAST_BYTES = 2 ** 20;
const MOST_BYTES = 2 ** 23;
/** Into so many requests a large read is cut. */
const SHARES = 4;
/** Requests of one file that are on their way at once; browsers keep six connections to a server. */
const MOST_AT_ONCE = 6;
/** So many connections in a row may break without bringing much. */
const MOST_BREAKS = 2;
/** What a connection that breaks must have brought to count as none: a server that ends each after a few bytes would be asked for ever. */
const MUCH_BYTES = 2 ** 16;

/** A stretch of the file that is one request, and the views that it fills, in the order of their offsets. */
export interface Stretch {
  readonly begin: number;
  /** Behind its last byte. */
  readonly end: number;
  readonly parts: readonly ByteRange[];
}

/**
 * Puts ranges together to stretches: neighbours with less than 128 KiB between them become one, cut at 1 to 8 MiB.
 * @param ranges in any order; they may overlap
 */
export function stretchesOf(ranges: readonly ByteRange[]): Stretch[] {
  const wanted = ranges.filter(({ into }) => into.byteLength > 0).sort((a, b) => a.offset - b.offset);
  const total = wanted.reduce((sum, { into }) => sum + into.byteLength, 0);
  const limit = Math.min(MOST_BYTES, Math.max(LEAST_BYTES, Math.ceil(total / SHARES)));
  const stretches: { begin: number; end: number; parts: ByteRange[] }[] = [];
  for (const range of wanted) {
    let { offset, into } = range;
    while (into.byteLength > 0) {
      let last = stretches.at(-1);
      const near = last && offset >= last.begin && offset <= last.end + GAP_BYTES && offset < last.begin + limit;
      if (!last || !near) {
        last = { begin: offset, end: offset, parts: [] };
        stretches.push(last);
      }
      const part = into.subarray(0, last.begin + limit - offset);
      last.parts.push({ offset, into: part });
      last.end = Math.max(last.end, offset + part.byteLength);
      offset += part.byteLength;
      into = into.subarray(part.byteLength);
    }
  }
  return stretches;
}

/** A file whose server gives ranges. */
export interface RangedFile {
  /** Its address. */
  readonly url: string;
  /** Of the whole file. */
  readonly byteLength: number;
  /** null where the server gives none. */
  readonly etag: string | null;
}

/** Reads ranges of one file, at most six requests at a time. */
export class RangeRequests {
  readonly #file: RangedFile;
  readonly #options: UrlOptions;
  readonly #onChange: () => void;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param onChange called when the file turns out to be another than it was */
  constructor(file: RangedFile, options: UrlOptions, onChange: () => void = () => undefined) {
    [this.#file, this.#options, this.#onChange] = [file, options, onChange];
  }

  /**
   * Fills the views as the bytes arrive. The first failure ends all requests of the call.
   * @throws WeightsError for a connection that breaks again and again, an answer of another length, a file that changed; the
   * reason of the signal, or of that of the options
   */
  async read(ranges: readonly ByteRange[], signal: AbortSignalLike | undefined): Promise<void> {
    const joint = new JointSignal(this.#options.signal, signal);
    let failed: { readonly error: unknown } | undefined;
    const one = async (stretch: Stretch): Promise<void> => {
      try {
        await this.#inTurn(() => this.#readStretch(stretch, joint.signal), joint.signal);
      } catch (error) {
        failed ??= { error };
        joint.end(error);
      }
    };
    try {
      joint.signal.throwIfAborted();
      await Promise.all(stretchesOf(ranges).map(one));
    } finally {
      joint.close();
    }
    if (failed) throw failed.error;
  }

  async #inTurn(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#running < MOST_AT_ONCE) this.#running++;
    else await this.#turn(signal);
    try {
      await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }

  /** Until another request ends, whose place is taken over. @throws the signal's reason */
  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = (): void => {
        signal.removeEventListener('abort', stop);
        resolve();
      };
      const stop = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(go), 1);
        reject(signal.reason);
      };
      this.#waiting.push(go);
      signal.addEventListener('abort', stop, { once: true });
    });
  }

  async #readStretch({ begin, end, parts }: Stretch, signal: AbortSignal): Promise<void> {
    const { url, byteLength, etag } = this.#file;
    let at = begin;
    for (let breaks = 0; at < end; breaks++) {
      const answer = await this.#answer([at, end - 1], breaks, signal);
      if (!answer) continue;
      const told = contentRange(answer);
      const changed = answer.headers.get('etag') !== etag || (told?.size ?? byteLength) !== byteLength;
      if (answer.status !== 206 || changed) {
        await leave(answer);
        this.#onChange();
        const problem =
          answer.status === 206 ? 'the file changed while it was read' : 'the server stopped giving ranges';
        throw new WeightsError({ op: 'fetch', problem, received: `status ${answer.status}`, path: url });
      }
      if (told && told.first !== at) {
        await leave(answer);
        throw otherBytes(url, `from byte ${at} on`, `from byte ${told.first} on`);
      }
      const { bytes, broke } = await this.#fill(answer, at, end, parts, signal);
      at += bytes;
      if (at === end) return;
      if (broke === undefined) throw otherBytes(url, end - at + bytes, bytes);
      if (bytes >= MUCH_BYTES) breaks = 0;
      if (breaks === MOST_BREAKS) throw brokeOff(url, broke);
    }
  }

  /** The answer to one request; undefined where the connection broke before it came and may be tried again. */
  async #answer(range: readonly [number, number], breaks: number, signal: AbortSignal): Promise<Response | undefined> {
    try {
      return await request(this.#file.url, this.#options, { range, signal });
    } catch (error) {
      if (error instanceof NoAnswer && breaks < MOST_BREAKS) return undefined;
      throw error;
    }
  }

  /** Streams a body into the views. @returns how much of it arrived, and what the connection broke of, if it did */
  async #fill(
    answer: Response,
    from: number,
    end: number,
    parts: readonly ByteRange[],
    signal: AbortSignal,
  ): Promise<{ bytes: number; broke?: unknown }> {
    let at = from;
    let first = 0;
    let tooMany: number | undefined;
    try {
      for await (const chunk of partsOf(answer, signal)) {
        const next = at + chunk.length;
        if (next > end) {
          tooMany = next - from;
          break;
        }
        for (let i = first; i < parts.length; i++) {
          const { offset, into } = parts[i] as ByteRange;
          if (offset >= next) break;
          const stop = offset + into.byteLength;
          if (stop <= at) first += i === first ? 1 : 0;
          else put(chunk, at, into, offset);
        }
        at = next;
      }
    } catch (broke) {
      signal.throwIfAborted();
      return { bytes: at - from, broke };
    }
    if (tooMany !== undefined) throw otherBytes(this.#file.url, end - from, tooMany);
    return { bytes: at - from };
  }
}

/** Copies what a chunk at `at` and a view at `offset` of the file have in common. */
function put(chunk: Uint8Array, at: number, into: Uint8Array, offset: number): void {
  const begin = Math.max(at, offset);
  const end = Math.min(at + chunk.length, offset + into.byteLength);
  into.set(chunk.subarray(begin - at, end - at), begin - offset);
}

function otherBytes(path: string, expected: unknown, received: unknown): WeightsError {
  const problem = 'the server sent another number of bytes than asked for';
  return new WeightsError({ op: 'fetch', problem, expected, received, path });
}

/**
 * First byte and size of "bytes 3-9/N"; undefined where the header is absent or not shown to other origins.
 * `size` is undefined for "*".
 */
export function contentRange(response: Response): { first: number; size: number | undefined } | undefined {
  const found = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
  return found ? { first: Number(found[1]), size: found[2] === '*' ? undefined : Number(found[2]) } : undefined;
}
