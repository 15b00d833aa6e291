/** Requests for files by range: headers, refusals in words, and an end at once where the caller's signal says so. */
import { WeightsError } from '../core/errors.ts';
import type { AbortSignalLike } from '../core/platform.ts';
import { unlessAborted } from '../core/unless-aborted.ts';
import { missingFile } from './sources.ts';
import type { UrlOptions } from './url-options.ts';

export type { UrlOptions };

/** What is asked of an address. */
export interface Ask {
  /** First and last byte; undefined for all that follow. */
  readonly range?: readonly [number, number | undefined];
  /** GET by default. */
  readonly method?: string;
  /** 404 is an answer, not an error. */
  readonly absentIsFine?: boolean;
  /** Of one read, beside that of the options. */
  readonly signal?: AbortSignalLike | undefined;
}

/** The connection broke before there was an answer, or there was none at all. */
export class NoAnswer extends WeightsError {}

/**
 * Asks once.
 * @returns an answer of success; that of an empty file (416); where it is fine, 404
 * @throws WeightsError for every other answer, or none; the reason of a signal
 */
export async function request(url: string, options: UrlOptions, ask: Ask): Promise<Response> {
  const headers: Record<string, string> = { ...options.headers };
  if (ask.range) headers['Range'] = `bytes=${ask.range[0]}-${ask.range[1] ?? ''}`;
  const init: RequestInit = { headers, method: ask.method ?? 'GET' };
  const signal = ask.signal ?? options.signal;
  if (signal) init.signal = signal;
  signal?.throwIfAborted();
  let response: Response;
  try {
    response = await unlessAborted(signal, (options.fetch ?? fetch)(url, init));
  } catch (cause) {
    signal?.throwIfAborted();
    const fix = 'Check the address, the connection and, in a page, that the server allows other origins (CORS).';
    throw cause instanceof WeightsError
      ? cause
      : new NoAnswer({ op: 'fetch', problem: 'no answer', path: url, fix, cause });
  }
  const emptyFile = response.status === 416 && (response.headers.get('content-range') ?? '*/0') === 'bytes */0';
  if (response.ok || emptyFile || (ask.absentIsFine && response.status === 404)) return response;
  await leave(response);
  if (response.status === 404) throw absentFile(url);
  throw new WeightsError({
    op: 'fetch',
    problem: 'the server refuses',
    received: `status ${response.status} ${response.statusText}`.trim(),
    path: url,
  });
}

/** The error of an address without a file. */
export function absentFile(url: string): WeightsError {
  return missingFile(url.slice(0, url.lastIndexOf('/') + 1), url.slice(url.lastIndexOf('/') + 1));
}

/** The error of a connection that ends too early, too often; one that says more itself stays. */
export function brokeOff(path: string, cause: unknown): WeightsError {
  if (cause instanceof WeightsError) return cause;
  return new WeightsError({ op: 'fetch', problem: 'the connection broke', path, fix: 'Try again.', cause });
}

/** Leaves the body of an answer. */
export async function leave(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => undefined);
}

/**
 * The parts of a body as they arrive.
 * @param signal ends it at once with its reason, also where the stream does not know of it
 * @throws what the stream throws where the connection breaks; the signal's reason
 */
export async function* partsOf(
  response: Response,
  signal: AbortSignalLike | undefined,
): AsyncGenerator<Uint8Array, void> {
  const reader = response.body?.getReader();
  let whole = reader === undefined;
  try {
    while (reader !== undefined) {
      const { done, value } = await unlessAborted(signal, reader.read());
      whole = done;
      if (done) return;
      yield value;
    }
  } finally {
    // Not awaited: a stream that hangs would hold up the error.
    if (!whole) void reader?.cancel().catch(() => undefined);
  }
}

/**
 * One signal out of several, for work that ends as a whole.
 * @param signals each ends it with its own reason
 */
export class JointSignal {
  readonly #controller = new AbortController();
  readonly #heard: (readonly [AbortSignalLike, () => void])[] = [];

  constructor(...signals: readonly (AbortSignalLike | undefined)[]) {
    for (const signal of signals) {
      if (!signal) continue;
      const end = (): void => this.end(signal.reason);
      if (signal.aborted) end();
      else signal.addEventListener('abort', end);
      this.#heard.push([signal, end]);
    }
  }

  /** Fires where one of them does, or `end` is called. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Fires it. */
  end(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** Hears the others no more. */
  close(): void {
    for (const [signal, end] of this.#heard) signal.removeEventListener('abort', end);
  }
}
