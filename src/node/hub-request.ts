/**
 * One way to ask the Hub. The token goes to the Hub's own origin alone: redirects are followed by hand, and behind the first
 * one that leads to another scheme, host or port it is not sent any more. Whatever stays silent is given up.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AbortSignalLike } from '../core/platform.ts';
import { HubError, type HubPlace, named, noAnswer, refusal } from './hub-errors.ts';
import type { HubSettings } from './hub-settings.ts';

/** An answer with a status of success, or 416. */
export interface HubAnswer {
  /** Of the last server; its body is read by `chunks`. */
  readonly response: Response;
  /** The Hub's own ETag of the file, without quotes, wherever the file itself lies; undefined where there is none. */
  readonly etag: string | undefined;
  /** The body; ends the connection when it is left early. */
  chunks(): AsyncGenerator<Uint8Array, void>;
  /** Leaves the body. */
  close(): Promise<void>;
}

const MOST_REDIRECTS = 10;
const MOST_ATTEMPTS = 4;
/** Longer waits are the person's to decide on. */
const LONGEST_WAIT_MS = 60_000;
/** A listing of files is some hundred bytes a file. */
const MOST_LISTING_BYTES = 2 ** 26;

/** Asks for one model. */
export class HubClient {
  /** Where it asks, and as whom. */
  readonly settings: HubSettings;
  /** What it asks for. */
  readonly place: HubPlace;
  /** Whether waiting a minute is better than an error. */
  patient = true;
  /** Told of waiting. */
  readonly warn: (message: string) => void;
  readonly #signal: AbortSignalLike | undefined;

  constructor(
    settings: HubSettings,
    place: HubPlace,
    signal: AbortSignalLike | undefined,
    warn: (message: string) => void,
  ) {
    this.settings = settings;
    this.place = place;
    this.#signal = signal;
    this.warn = warn;
  }

  /**
   * Asks until there is an answer, waiting where the Hub says that it is busy.
   * @param address absolute
   * @param headers beside those that every request has
   * @throws HubError for a refusal or silence; the signal's reason
   */
  async ask(address: string, headers: Readonly<Record<string, string>> = {}): Promise<HubAnswer> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#askOnce(address, headers);
      } catch (error) {
        if (!(error instanceof HubError && error.passing && this.patient) || attempt === MOST_ATTEMPTS) throw error;
        const wait = error.retryAfterMs ?? 1000 * 2 ** (attempt - 1);
        if (wait > LONGEST_WAIT_MS) throw error;
        if (wait >= 1000) this.warn(`${error.problem} (status ${error.status}); asking again in ${wait / 1000} s.`);
        await this.wait(wait);
      }
    }
  }

  /** A `fetch` for listings: the whole answer, in memory, bounded. */
  readonly fetchListing: typeof fetch = async input => {
    const { response, chunks } = await this.ask(String(input), { accept: 'application/json' });
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of chunks()) {
      size += chunk.length;
      if (size > MOST_LISTING_BYTES) throw this.notTheHub('a listing beyond 64 MiB');
      parts.push(chunk);
    }
    if ((response.headers.get('content-type') ?? '').startsWith('text/html')) throw this.notTheHub('a web page');
    const link = response.headers.get('link');
    return new Response(Buffer.concat(parts), link === null ? {} : { headers: { link } });
  };

  /** The error of an answer that cannot be the Hub's. */
  notTheHub(received: string): HubError {
    const { endpoint } = this.settings;
    return new HubError({
      op: 'fetchModel',
      problem: 'what answers in the place of the Hub is something else',
      received,
      path: named(this.place),
      fix: `Open ${endpoint} in a browser: a proxy may ask you to sign in. Check HF_ENDPOINT if it is set.`,
    });
  }

  /** Passes some time. @throws the signal's reason */
  async wait(ms: number): Promise<void> {
    await sleep(ms, undefined, this.#signal ? { signal: this.#signal } : {}).catch(() => undefined);
    this.throwIfAborted();
  }

  /** @throws the signal's reason */
  throwIfAborted(): void {
    this.#signal?.throwIfAborted();
  }

  async #askOnce(address: string, headers: Readonly<Record<string, string>>): Promise<HubAnswer> {
    const { endpoint, token, answerMs } = this.settings;
    const deadline = new Deadline(this.#signal);
    const home = new URL(endpoint).origin;
    let url = new URL(address);
    let atHome = true;
    let etag: string | undefined;
    try {
      deadline.start(answerMs);
      for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
        atHome &&= url.origin === home; // never again once it was left
        const login = atHome && token !== undefined ? { authorization: `Bearer ${token.value}` } : {};
        const response = await this.#hop(url, { ...headers, ...login }, deadline);
        if (atHome) etag = etagOf(response) ?? etag;
        const next = redirection(response, url);
        if (next === undefined) return await this.#settled(response, etag, url, atHome, deadline);
        await response.body?.cancel();
        url = next;
      }
      throw this.notTheHub(`more than ${MOST_REDIRECTS} redirects`);
    } catch (error) {
      deadline.end();
      throw error;
    }
  }

  async #hop(url: URL, headers: Record<string, string>, deadline: Deadline): Promise<Response> {
    try {
      // Compressed bytes could be neither counted nor resumed.
      const all = { 'accept-encoding': 'identity', ...headers };
      return await fetch(url, { headers: all, redirect: 'manual', signal: deadline.signal });
    } catch (cause) {
      this.#signal?.throwIfAborted();
      throw noAnswer(url, this.place, deadline.expired ? this.settings.answerMs : cause);
    }
  }

  async #settled(
    response: Response,
    etag: string | undefined,
    url: URL,
    atHome: boolean,
    deadline: Deadline,
  ): Promise<HubAnswer> {
    if (!response.ok && response.status !== 416) {
      await response.body?.cancel();
      throw refusal(response, this.place, this.settings, atHome);
    }
    deadline.pause();
    const close = async (): Promise<void> => {
      deadline.end();
      await response.body?.cancel().catch(() => undefined);
    };
    return { response, etag, chunks: () => this.#chunks(response, url, deadline), close };
  }

  async *#chunks(response: Response, url: URL, deadline: Deadline): AsyncGenerator<Uint8Array, void> {
    const reader = response.body?.getReader();
    try {
      while (reader !== undefined) {
        deadline.start(this.settings.silenceMs);
        const { done, value } = await reader.read().catch((cause: unknown) => {
          this.#signal?.throwIfAborted();
          throw noAnswer(url, this.place, deadline.expired ? this.settings.silenceMs : cause);
        });
        deadline.pause(); // while the caller writes, nobody waits for the server
        if (done) return;
        yield value;
      }
    } finally {
      deadline.end();
      await reader?.cancel().catch(() => undefined);
    }
  }
}

/** Where a redirect leads; undefined for any other answer. */
function redirection(response: Response, from: URL): URL | undefined {
  const location = response.headers.get('location');
  if (location === null || ![301, 302, 303, 307, 308].includes(response.status)) return undefined;
  if (!URL.canParse(location, from.href)) return undefined;
  const to = new URL(location, from);
  [to.username, to.password] = ['', ''];
  return ['http:', 'https:'].includes(to.protocol) ? to : undefined;
}

/** Of the file behind a redirect where the Hub tells it; without quotes. */
function etagOf({ headers }: Response): string | undefined {
  return (headers.get('x-linked-etag') ?? headers.get('etag'))?.replace(/^(W\/)?"(.*)"$/, '$2');
}

/** Ends a request when the caller's signal fires or a limit passes. */
class Deadline {
  /** Whether the limit has passed. */
  expired = false;
  readonly #controller = new AbortController();
  readonly #outer: AbortSignalLike | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(outer: AbortSignalLike | undefined) {
    this.#outer = outer;
    if (outer?.aborted) this.#abort();
    else outer?.addEventListener('abort', this.#abort);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  start(ms: number): void {
    this.pause();
    this.#timer = setTimeout(() => {
      this.expired = true;
      this.#abort();
    }, ms);
  }

  pause(): void {
    clearTimeout(this.#timer);
  }

  end(): void {
    this.pause();
    this.#outer?.removeEventListener('abort', this.#abort);
  }

  readonly #abort = (): void => this.#controller.abort();
}
