/** Files and folders behind HTTP: ranged requests where the server knows them, one whole read where it does not. */

import { WeightsError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { AbortSignalLike, FetchLike, UrlLike } from '../core/platform.ts';
import type { ByteSource, FolderSource } from '../core/tensor-source.ts';
import { checkBytes, memorySource, missingFile, readText } from './sources.ts';

/** How files are fetched. */
export interface UrlOptions {
  /** Request headers, such as an Authorization. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Ends requests with its reason. */
  readonly signal?: AbortSignalLike;
  /** In place of the global `fetch`. */
  readonly fetch?: FetchLike;
  /** Called when a server ignores Range and the file is read whole; throw here to refuse that. */
  readonly onWholeRead?: (message: string) => void;
  /** Largest file to read whole, in bytes; 1 GiB by default. */
  readonly maxWholeBytes?: number;
}

const GIB = 2 ** 30;
/** So many connections in a row may bring nothing. */
const MOST_BREAKS = 2;
const OPTIONS = namesOf<UrlOptions>({ headers: 1, signal: 1, fetch: 1, onWholeRead: 1, maxWholeBytes: 1 });

/**
 * A file behind a URL, read by HTTP ranges. A server that ignores Range is read once into memory.
 * @param url absolute, or relative to the page
 * @param options request settings
 * @throws WeightsError when the file is absent, its size stays hidden, or it is too large to be read whole
 */
export async function urlSource(url: string | UrlLike, options: UrlOptions = {}): Promise<ByteSource> {
  checkNames('urlSource', options, OPTIONS);
  const label = String(url);
  const response = await request(label, options, { range: [0, 0] });
  if (response.status === 200) return wholeFile(response, label, options);
  await response.body?.cancel();
  const size = response.status === 416 ? 0 : (totalSize(response) ?? (await sizeByHead(label, options)));
  const self = { label, byteLength: size };
  const etag = response.headers.get('etag');
  return {
    ...self,
    async read(offset, into): Promise<void> {
      checkBytes(self, offset, into.byteLength);
      if (into.byteLength === 0) return;
      const end = offset + into.byteLength;
      let done = 0;
      for (let breaks = 0; done < into.byteLength; breaks++) {
        const part = await request(label, options, { range: [offset + done, end - 1] });
        if (part.status !== 206 || part.headers.get('etag') !== etag) {
          await part.body?.cancel();
          const problem =
            part.status === 206 ? 'the file changed while it was read' : 'the server stopped giving ranges';
          throw new WeightsError({ op: 'fetch', problem, received: `status ${part.status}`, path: label });
        }
        const { bytes, broke } = await fill(part, into.subarray(done), label, options.signal);
        if (bytes > 0) breaks = 0;
        done += bytes;
        if (breaks === MOST_BREAKS) throw brokeOff(label, broke);
      }
    },
  };
}

function brokeOff(path: string, cause: unknown): WeightsError {
  return new WeightsError({ op: 'fetch', problem: 'the connection broke', path, fix: 'Try again.', cause });
}

/**
 * A folder behind a base URL.
 * @param base with or without the last slash; its query is not kept
 * @param options request settings
 */
export function urlFolder(base: string | UrlLike, options: UrlOptions = {}): FolderSource {
  checkNames('urlFolder', options, OPTIONS);
  const label = String(base)
    .replace(/[?#].*$/, '')
    .replace(/\/*$/, '/');
  const resolve = (path: string): string => label + path.split('/').map(encodeURIComponent).join('/');
  const open = async (path: string): Promise<ByteSource> => urlSource(resolve(path), options);
  return {
    label,
    async has(path): Promise<boolean> {
      const response = await request(resolve(path), options, { range: [0, 0], absentIsFine: true });
      await response.body?.cancel();
      // Development servers answer every unknown path with their start page.
      return response.status !== 404 && !(response.headers.get('content-type') ?? '').startsWith('text/html');
    },
    async text(path): Promise<string> {
      return readText(await open(path));
    },
    bytes: open,
  };
}

interface Ask {
  readonly range?: readonly [number, number];
  readonly method?: string;
  readonly absentIsFine?: boolean;
}

async function request(url: string, options: UrlOptions, ask: Ask): Promise<Response> {
  const headers: Record<string, string> = { ...options.headers };
  if (ask.range) headers['Range'] = `bytes=${ask.range[0]}-${ask.range[1]}`;
  const init: RequestInit = { headers, method: ask.method ?? 'GET' };
  if (options.signal) init.signal = options.signal;
  let response: Response;
  try {
    response = await (options.fetch ?? fetch)(url, init);
  } catch (cause) {
    options.signal?.throwIfAborted();
    const fix = 'Check the address, the connection and, in a page, that the server allows other origins (CORS).';
    throw new WeightsError({ op: 'fetch', problem: 'no answer', path: url, fix, cause });
  }
  const emptyFile = response.status === 416 && (response.headers.get('content-range') ?? '*/0') === 'bytes */0';
  if (response.ok || emptyFile || (ask.absentIsFine && response.status === 404)) return response;
  await response.body?.cancel();
  if (response.status === 404)
    throw missingFile(url.slice(0, url.lastIndexOf('/') + 1), url.slice(url.lastIndexOf('/') + 1));
  throw new WeightsError({
    op: 'fetch',
    problem: 'the server refuses',
    received: `status ${response.status} ${response.statusText}`.trim(),
    path: url,
  });
}

/** N of "bytes 0-0/N"; undefined where the header is absent or not shown to other origins. */
function totalSize(response: Response): number | undefined {
  const size = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
  return size === undefined ? undefined : Number(size);
}

async function sizeByHead(url: string, options: UrlOptions): Promise<number> {
  const response = await request(url, options, { method: 'HEAD' });
  const size = response.headers.get('content-length');
  if (size !== null && response.headers.get('content-encoding') === null) return Number(size);
  throw new WeightsError({
    op: 'fetch',
    problem: 'the size of the file is hidden',
    path: url,
    fix: 'Let the server send "Access-Control-Expose-Headers: Content-Range".',
  });
}

async function wholeFile(response: Response, label: string, options: UrlOptions): Promise<ByteSource> {
  const told = response.headers.get('content-length');
  const limit = options.maxWholeBytes ?? GIB;
  try {
    if (Number(told) > limit) throw tooLarge(label, limit, `${told}`);
    const size = told === null ? 'of unknown size' : `${told} bytes`;
    options.onWholeRead?.(`${label}: the server ignores Range; the whole file (${size}) is read into memory`);
  } catch (error) {
    await response.body?.cancel();
    throw error;
  }
  try {
    return memorySource(await (told === null ? upTo(response, limit, label) : response.arrayBuffer()), label);
  } catch (cause) {
    options.signal?.throwIfAborted();
    throw cause instanceof WeightsError ? cause : brokeOff(label, cause);
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

/** A body whose length nobody told, given up as soon as it exceeds the limit. */
async function upTo(response: Response, limit: number, label: string): Promise<ArrayBuffer> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    size += part.value.length;
    if (size > limit) {
      await reader?.cancel();
      throw tooLarge(label, limit, 'more');
    }
    parts.push(part.value);
  }
  return new Blob(parts).arrayBuffer();
}

/**
 * Streams a body into the view, so that a range never stands twice in memory.
 * @returns how much of it arrived, and what the connection broke of, if it did
 */
async function fill(
  response: Response,
  into: Uint8Array,
  label: string,
  signal: AbortSignalLike | undefined,
): Promise<{ bytes: number; broke?: unknown }> {
  let at = 0;
  const reader = response.body?.getReader();
  try {
    for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
      const chunk: Uint8Array = part.value;
      at += chunk.length;
      if (at > into.length) break;
      into.set(chunk, at - chunk.length);
    }
  } catch (broke) {
    signal?.throwIfAborted();
    return { bytes: at, broke };
  }
  if (at === into.length) return { bytes: at };
  await reader?.cancel();
  throw new WeightsError({
    op: 'fetch',
    problem: 'the server sent another number of bytes than asked for',
    expected: into.length,
    received: at,
    path: label,
  });
}
