/** What is known of one file behind an address, learned by the first request and shared by all that ask afterwards. */
import { WeightsError } from '../core/errors.ts';
import type { ByteRange, ByteSource } from '../core/tensor-source.ts';
import { checkBytes, memorySource } from './sources.ts';
import { contentRange, RangeRequests } from './url-ranges.ts';
import { absentFile, brokeOff, leave, partsOf, request, type UrlOptions } from './url-request.ts';

const GIB = 2 ** 30;
/** Asked for at first: the header of a large file of weights, or all of a config. */
const FIRST_BYTES = 2 ** 17;
/** The same of a text, which is read whole: vocabularies are megabytes. */
const FIRST_TEXT_BYTES = 2 ** 21;
const TEXT = /\.(json|txt)$/;
/** First bytes up to this many stay for the next reader. */
const KEPT_BYTES = FIRST_BYTES;
/** So long an answer that came whole waits for the reader who mostly follows the question whether there is a file. */
const HELD_MS = 5000;

/** A file that is there. */
interface Found {
  /** Undefined while a body waits whose length nobody told. */
  readonly size: number | undefined;
  /** null where the server gives none. */
  readonly etag: string | null;
  /** A start page, with which development servers answer every unknown path. */
  readonly page: boolean;
  /** False where the server ignores Range. */
  readonly ranged: boolean;
  /** The first bytes, or all. */
  head: Uint8Array;
  /** The whole file on its way, of which nothing has been read. */
  held?: Response | undefined;
}

/** One file. What the first answer says of it holds until `forget`; failures are not kept. */
export class UrlFile {
  /** The address. */
  readonly url: string;
  readonly #options: UrlOptions;
  #found: Promise<Found | undefined> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, options: UrlOptions) {
    [this.url, this.#options] = [url, options];
  }

  /** Whether there is such a file. @throws WeightsError for other refusals than 404 */
  async exists(): Promise<boolean> {
    const found = await this.#find();
    return found !== undefined && !found.page;
  }

  /**
   * The file's bytes, by ranges, or from memory where the server gives none or the first answer held all.
   * @throws WeightsError when the file is absent, its size stays hidden, or it is too large to be read whole
   */
  async open(): Promise<ByteSource> {
    let found = await this.#find();
    if (found && !found.ranged && found.held === undefined && found.head.length !== found.size) {
      this.forget(); // what waited has gone
      found = await this.#find();
    }
    if (found === undefined) throw absentFile(this.url);
    if (!found.ranged) return memorySource(await this.#whole(found), this.url);
    const { head, size = head.length } = found;
    // Long texts are read once.
    if (head.length > KEPT_BYTES) found.head = head.slice(0, 0);
    return head.length === size ? memorySource(head, this.url) : this.#ranged(head, size, found.etag);
  }

  /** Asks anew the next time. */
  forget(): void {
    clearTimeout(this.#timer);
    this.#found = undefined;
  }

  #ranged(head: Uint8Array, byteLength: number, etag: string | null): ByteSource {
    const { url } = this;
    const self = { label: url, byteLength };
    const requests = new RangeRequests({ url, byteLength, etag }, this.#options, () => this.forget());
    const rest = ({ offset, into }: ByteRange): ByteRange => {
      checkBytes(self, offset, into.byteLength);
      const known = head.subarray(offset, offset + into.byteLength);
      into.set(known);
      return { offset: offset + known.length, into: into.subarray(known.length) };
    };
    return {
      ...self,
      read: async (offset, into) => requests.read([rest({ offset, into })], undefined),
      readMany: async (ranges, signal) => requests.read(ranges.map(rest), signal),
    };
  }

  #find(): Promise<Found | undefined> {
    this.#found ??= this.#ask().catch((error: unknown) => {
      this.#found = undefined;
      throw error;
    });
    return this.#found;
  }

  async #ask(): Promise<Found | undefined> {
    const { url } = this;
    const most = TEXT.test(url.replace(/[?#].*$/, '')) ? FIRST_TEXT_BYTES : FIRST_BYTES;
    const answer = await request(url, this.#options, { range: [0, most - 1], absentIsFine: true });
    const { status, headers } = answer;
    const etag = headers.get('etag');
    const page = (headers.get('content-type') ?? '').startsWith('text/html');
    if (status === 200) return this.#asWhole(answer, { etag, page, ranged: false });
    if (status !== 206) {
      await leave(answer);
      return status === 404 ? undefined : { size: 0, etag, page, ranged: true, head: new Uint8Array() };
    }
    const { head, broke } = await this.#head(answer, most);
    const told = contentRange(answer)?.size;
    const whole = head.length < most && !broke;
    const size = told ?? (whole ? head.length : await this.#sizeByHead());
    return { size, etag, page, ranged: true, head: head.length > size ? head.slice(0, size) : head };
  }

  /** The first bytes; where the connection breaks, those that came. */
  async #head(answer: Response, most: number): Promise<{ head: Uint8Array; broke: boolean }> {
    const parts: Uint8Array[] = [];
    let [size, broke] = [0, false];
    try {
      for await (const part of partsOf(answer, this.#options.signal)) {
        parts.push(part);
        size += part.length;
        if (size >= most) break;
      }
    } catch {
      this.#options.signal?.throwIfAborted();
      broke = true;
    }
    return { head: joined(parts, Math.min(size, most)), broke };
  }

  async #sizeByHead(): Promise<number> {
    const { url } = this;
    const response = await request(url, this.#options, { method: 'HEAD' });
    await leave(response);
    const size = response.headers.get('content-length');
    if (size !== null && response.headers.get('content-encoding') === null) return Number(size);
    throw new WeightsError({
      op: 'fetch',
      problem: 'the size of the file is hidden',
      path: url,
      fix: 'Let the server send "Access-Control-Expose-Headers: Content-Range".',
    });
  }

  /** What is small is read at once; a long answer that ignores the range waits for its reader, but not for ever. */
  async #asWhole(answer: Response, what: Pick<Found, 'etag' | 'page' | 'ranged'>): Promise<Found> {
    const told = answer.headers.get('content-length');
    const encoded = answer.headers.has('content-encoding');
    const size = told === null || encoded ? undefined : Number(told);
    if (what.page || (size !== undefined && size <= KEPT_BYTES)) {
      const { head, broke } = await this.#head(answer, KEPT_BYTES); // of a page the beginning will do
      if (broke) throw brokeOff(this.url, undefined);
      return { ...what, size: head.length, head };
    }
    const found: Found = { ...what, size, head: new Uint8Array(), held: answer };
    this.#timer = setTimeout(() => {
      if (found.held) void leave(found.held);
      found.held = undefined;
    }, HELD_MS);
    return found;
  }

  /** All bytes of a file whose server ignores Range. */
  async #whole(found: Found): Promise<Uint8Array> {
    const { url } = this;
    const { size, held } = found;
    const limit = this.#options.maxWholeBytes ?? GIB;
    clearTimeout(this.#timer);
    try {
      if ((size ?? 0) > limit) throw tooLarge(url, limit, `${size}`);
      const told = size === undefined ? 'of unknown size' : `${size} bytes`;
      this.#options.onWholeRead?.(`${url}: the server ignores Range; the whole file (${told}) is read into memory`);
    } catch (error) {
      if (held) await leave(held);
      found.held = undefined;
      throw error;
    }
    if (!held) return found.head;
    found.held = undefined;
    try {
      const bytes = await upTo(held, limit, this.#options, url, size);
      if (bytes.length <= KEPT_BYTES) this.#found = Promise.resolve({ ...found, size: bytes.length, head: bytes });
      return bytes;
    } catch (cause) {
      this.forget();
      this.#options.signal?.throwIfAborted();
      throw cause instanceof WeightsError ? cause : brokeOff(url, cause);
    }
  }
}

function tooLarge(label: string, limit: number, received: string): WeightsError {
  return new WeightsError({
    op: 'fetch',
    problem: 'the server ignores Range and the file is too large to read whole',
    expected: `at most ${limit} bytes`,
    received,
    path: label,
    fix: 'Serve it with range support, or pass a Blob.',
  });
}

/** A body, given up as soon as it exceeds the limit; where its length was told, it never stands twice in memory. */
async function upTo(
  response: Response,
  limit: number,
  { signal }: UrlOptions,
  label: string,
  told: number | undefined,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const whole = told === undefined ? undefined : new Uint8Array(told);
  let size = 0;
  for await (const part of partsOf(response, signal)) {
    if (size + part.length > Math.min(limit, told ?? limit)) throw tooLarge(label, limit, 'more');
    if (whole) whole.set(part, size);
    else parts.push(part);
    size += part.length;
  }
  return whole ? whole.subarray(0, size) : joined(parts, size);
}

function joined(parts: readonly Uint8Array[], size: number): Uint8Array {
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part.subarray(0, size - at), at);
    at += part.length;
  }
  return all;
}
