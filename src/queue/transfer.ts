/**
 * Files by URI, as a job names them: within the rules, of addresses that were checked after a name was resolved, and again behind every
 * redirect.
 */
import { lookup as resolveName } from 'node:dns/promises';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { LookupFunction } from 'node:net';
import { sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InputError, PentimentoError } from '../core/errors.ts';
import { reason } from '../node/files.ts';
import { TransferError } from './transfer-error.ts';
import { shownUri, type UriRules } from './uri-rules.ts';

/** Where a name leads. */
export interface ResolvedAddress {
  /** IPv4 or IPv6. */
  readonly address: string;
  /** 4 or 6. */
  readonly family: number;
}

/** A name's addresses. */
export type Resolve = (host: string) => Promise<readonly ResolvedAddress[]>;

/** How a file is fetched or sent. */
export interface TransferOptions {
  /** Ends it with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Default the system's resolver. */
  readonly resolve?: Resolve | undefined;
}

/** What is asked of a server. */
interface Ask extends TransferOptions {
  readonly method: 'GET' | 'PUT' | 'HEAD';
  readonly body?: Uint8Array;
  readonly type?: string;
}

const OP = 'transfer';
/** Statuses that another time may not have. */
const LATER = [408, 425, 429, 500, 502, 503, 504];
const MOVED = [301, 302, 303, 307, 308];

/**
 * The bytes behind a URI.
 * @throws InputError for what is not allowed, not there, refused or too large; TransferError for what may come another time; the signal's
 * reason
 */
export async function fetchUri(uri: string, rules: UriRules, options: TransferOptions = {}): Promise<Uint8Array> {
  const url = rules.check(uri);
  options.signal?.throwIfAborted();
  if (url.protocol === 'file:') return readAllowed(url, uri, rules, options.signal);
  const { answer, end } = await ask(url, rules, { ...options, method: 'GET' });
  try {
    return await bodyOf(answer, uri, rules);
  } catch (cause) {
    options.signal?.throwIfAborted();
    throw cause instanceof PentimentoError ? cause : broken(uri, cause);
  } finally {
    end();
  }
}

/**
 * Sends bytes to an address by PUT.
 * @param type media type
 * @throws as fetchUri
 */
export async function putUri(
  uri: string,
  bytes: Uint8Array,
  type: string,
  rules: UriRules,
  options: TransferOptions = {},
): Promise<void> {
  const url = httpOnly(uri, rules);
  const { answer, end } = await ask(url, rules, { ...options, method: 'PUT', body: bytes, type });
  answer.resume();
  end();
}

/**
 * Whether there is something behind an address.
 * @throws as fetchUri, but for 404
 */
export async function existsUri(uri: string, rules: UriRules, options: TransferOptions = {}): Promise<boolean> {
  try {
    // Presigned addresses are of one method; the body is left.
    const { answer, end } = await ask(httpOnly(uri, rules), rules, { ...options, method: 'GET' });
    answer.destroy();
    end();
    return true;
  } catch (error) {
    if (error instanceof InputError && error.problem === ABSENT) return false;
    throw error;
  }
}

const ABSENT = 'there is no such file';

function httpOnly(uri: string, rules: UriRules): URL {
  const url = rules.check(uri);
  if (url.protocol !== 'file:') return url;
  throw new InputError({ op: OP, problem: 'not an address', expected: 'http or https', path: shownUri(uri) });
}

/** The answer of success, behind redirects that each are checked. */
async function ask(url: URL, rules: UriRules, what: Ask): Promise<{ answer: IncomingMessage; end: () => void }> {
  let at = url;
  for (let hops = 0; hops <= rules.maxRedirects; hops++) {
    what.signal?.throwIfAborted();
    const sent = await send(at, rules, what);
    const status = sent.answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return sent;
    sent.answer.destroy();
    sent.end();
    const { location } = sent.answer.headers;
    if (!MOVED.includes(status) || location === undefined || what.method === 'PUT') throw refusal(status, at.href);
    at = redirected(at, location, rules);
  }
  throw new InputError({
    op: OP,
    problem: 'too many redirects',
    expected: `at most ${rules.maxRedirects}`,
    path: shownUri(url.href),
  });
}

function redirected(from: URL, location: string, rules: UriRules): URL {
  const to = URL.canParse(location, from) ? new URL(location, from) : undefined;
  if (to && to.protocol !== 'file:' && !(from.protocol === 'https:' && to.protocol === 'http:'))
    return rules.check(to.href);
  const received = shownUri(to?.href ?? location);
  throw new InputError({ op: OP, problem: 'a redirect that is not followed', received, path: shownUri(from.href) });
}

function refusal(status: number, uri: string): PentimentoError {
  const path = shownUri(uri);
  if (LATER.includes(status))
    return new TransferError({ op: OP, problem: 'the server cannot now', received: status, path });
  if (status === 404 || status === 410) {
    return new InputError({ op: OP, problem: ABSENT, received: status, path, fix: 'Check the address.' });
  }
  const fix =
    status === 401 || status === 403 ? 'Check whether the address is still valid: signed ones end.' : undefined;
  return new InputError({ op: OP, problem: 'the server refuses', received: status, path, ...(fix ? { fix } : {}) });
}

/** @param why in words, or what was thrown */
function broken(uri: string, why: unknown): TransferError {
  const received = typeof why === 'string' ? why : reason(why);
  const details = { op: OP, problem: 'the connection broke', received, path: shownUri(uri) };
  return new TransferError(typeof why === 'string' ? details : { ...details, cause: why });
}

/** One request, to an address that was checked. */
function send(url: URL, rules: UriRules, what: Ask): Promise<{ answer: IncomingMessage; end: () => void }> {
  const { method, body, type, signal, resolve = systemResolve } = what;
  return new Promise((done, failed) => {
    const options: RequestOptions = {
      method,
      agent: false, // no connection is kept that another check has opened
      timeout: rules.timeoutMs,
      lookup: checkedLookup(url, rules, resolve),
      headers: body ? { 'content-length': body.byteLength, 'content-type': type ?? 'application/octet-stream' } : {},
    };
    const outgoing = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options);
    const abort = (): void => {
      outgoing.destroy();
      failed(signal?.reason);
    };
    const end = (): void => signal?.removeEventListener('abort', abort);
    signal?.addEventListener('abort', abort, { once: true });
    outgoing.on('timeout', () => outgoing.destroy(broken(url.href, 'no answer in time')));
    outgoing.on('error', cause => {
      end();
      failed(cause instanceof PentimentoError ? cause : broken(url.href, cause));
    });
    outgoing.on('response', answer => done({ answer, end }));
    outgoing.end(body);
  });
}

const systemResolve: Resolve = host => resolveName(host, { all: true });

/** What node asks for a name's address: those that were checked are those that are connected to. */
function checkedLookup(url: URL, rules: UriRules, resolve: Resolve): LookupFunction {
  return (host, options, callback) => {
    resolve(host)
      .then(found => {
        for (const { address } of found) rules.checkAddress(address, url.href);
        const [first] = found;
        if (!first) throw broken(url.href, 'the name has no address');
        if (options.all) callback(null, [...found]);
        else callback(null, first.address, first.family);
      })
      .catch((error: Error) => callback(error, ''));
  };
}

async function bodyOf(answer: IncomingMessage, uri: string, rules: UriRules): Promise<Uint8Array> {
  const told = Number(answer.headers['content-length'] ?? Number.NaN);
  if (told > rules.maxBytes) throw tooLarge(uri, told, rules, answer);
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of answer as AsyncIterable<Uint8Array>) {
    length += part.byteLength;
    if (length > rules.maxBytes) throw tooLarge(uri, length, rules, answer);
    parts.push(part);
  }
  if (told > length) throw broken(uri, `${length} of ${told} bytes arrived`);
  return Buffer.concat(parts, length);
}

function tooLarge(uri: string, received: number, rules: UriRules, answer?: IncomingMessage): InputError {
  answer?.destroy();
  const expected = `at most ${rules.maxBytes} bytes`;
  return new InputError({ op: OP, problem: 'the file is too large', expected, received, path: shownUri(uri) });
}

/** A file below an allowed folder; links that lead out of it are refused before anything is opened. */
async function readAllowed(
  url: URL,
  uri: string,
  rules: UriRules,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const path = pathOf(url);
  let file: FileHandle | undefined;
  try {
    const real = await realpath(path);
    const roots = await Promise.all(rules.roots.map(root => realpath(root).catch(() => root)));
    if (!roots.some(root => real === root || real.startsWith(root.endsWith(sep) ? root : `${root}${sep}`))) {
      throw new InputError({ op: OP, problem: 'a link that leads out of what is allowed', path: shownUri(uri) });
    }
    const stats = await stat(real);
    checkFile(stats, uri, rules);
    file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW);
    checkFile(await file.stat(), uri, rules);
    return await file.readFile({ ...(signal ? { signal } : {}) });
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof PentimentoError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code ?? '';
    // What a network's file system says while its server is away.
    const later = ['EIO', 'ESTALE', 'ETIMEDOUT', 'EMFILE', 'ENFILE', 'EAGAIN', 'EHOSTDOWN'].includes(code);
    if (later) throw broken(uri, cause);
    throw new InputError({ op: OP, problem: 'no readable file', received: reason(cause), path: shownUri(uri), cause });
  } finally {
    await file?.close();
  }
}

function pathOf(url: URL): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    const received = reason(cause);
    throw new InputError({ op: OP, problem: 'no path of this machine', received, path: shownUri(url.href), cause });
  }
}

function checkFile(stats: Stats, uri: string, rules: UriRules): void {
  if (!stats.isFile()) throw new InputError({ op: OP, problem: 'not a file', path: shownUri(uri) });
  if (stats.size > rules.maxBytes) throw tooLarge(uri, stats.size, rules);
}
