/** What a job may name: an operator allows beginnings of URIs, and everything else is refused before anything is opened. */
import { isIP } from 'node:net';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InputError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { addressKind } from './addresses.ts';

/** What an operator allows. */
export interface UriRulesOptions {
  /**
   * Beginnings of URIs, by scheme, host, port and whole segments of the path: `file:///data/in/`, `https://bucket.example.com/in/`. A host
   * may begin with `*.` for all names below it. None by default.
   */
  readonly allow?: readonly string[] | undefined;
  /** Also addresses of this machine and its network, never those of a cloud's metadata; default false. */
  readonly privateAddresses?: boolean | undefined;
  /** Bytes that a file may have; default 64 MiB. */
  readonly maxBytes?: number | undefined;
  /** Milliseconds without an answer, or without more of it; default 30 s. */
  readonly timeoutMs?: number | undefined;
  /** Addresses that one leads to by redirects; default 5. */
  readonly maxRedirects?: number | undefined;
}

const OP = 'uri';
const OPTIONS = namesOf<UriRulesOptions>({ allow: 1, privateAddresses: 1, maxBytes: 1, timeoutMs: 1, maxRedirects: 1 });
const SCHEMES = ['file:', 'http:', 'https:'];

/** Rules for the URIs of jobs. */
export class UriRules {
  /** As UriRulesOptions says, and so the others. */
  readonly privateAddresses: boolean;
  /** Bytes. */
  readonly maxBytes: number;
  /** Milliseconds. */
  readonly timeoutMs: number;
  /** Addresses behind one. */
  readonly maxRedirects: number;
  readonly #allowed: readonly URL[];

  /** @throws InputError for what is no beginning of a URI */
  constructor(options: UriRulesOptions = {}) {
    checkNames('UriRules', options, OPTIONS);
    this.#allowed = (options.allow ?? []).map(allowedFrom);
    this.privateAddresses = options.privateAddresses ?? false;
    this.maxBytes = options.maxBytes ?? 2 ** 26;
    this.timeoutMs = options.timeoutMs ?? 30_000;
    this.maxRedirects = options.maxRedirects ?? 5;
  }

  /**
   * The URI as a URL. Nothing is opened and nothing is resolved.
   * @throws InputError for what is no URI, has another scheme, is not allowed, or is an address that may not be reached
   */
  check(uri: string): URL {
    const url = URL.canParse(uri) ? new URL(uri) : undefined;
    const shown = shownUri(uri);
    if (!url)
      throw new InputError({ op: OP, problem: 'this is no URI', received: shown, fix: 'Give scheme, host and path.' });
    if (!SCHEMES.includes(url.protocol)) {
      const expected = 'file, http or https';
      throw new InputError({
        op: OP,
        problem: 'a scheme that is not read',
        expected,
        received: url.protocol.slice(0, -1),
        path: shown,
      });
    }
    if (!this.#allowed.some(allowed => begins(url, allowed))) {
      const fix = 'Allow the beginning of such URIs where the worker is started.';
      throw new InputError({ op: OP, problem: 'the worker does not allow this URI', path: shown, fix });
    }
    const host = url.hostname.replace(/^\[|\]$/g, '');
    if (isIP(host) !== 0) this.checkAddress(host, uri);
    return url;
  }

  /** @throws InputError for an address that may not be reached */
  checkAddress(address: string, uri: string): void {
    const kind = addressKind(address);
    if (kind === 'public' || (kind === 'private' && this.privateAddresses)) return;
    throw new InputError({
      op: OP,
      problem: kind === 'private' ? 'an address of this machine or its network' : 'an address that no job may reach',
      received: address,
      path: shownUri(uri),
      ...(kind === 'private' ? { fix: 'Allow private addresses where the worker is started.' } : {}),
    });
  }

  /** The folders that are allowed, as paths. */
  get roots(): readonly string[] {
    return this.#allowed.filter(url => url.protocol === 'file:').map(url => fileURLToPath(url));
  }
}

/** A URI as it may be shown: without user, password and what stands behind the path, which may be a key. */
export function shownUri(uri: string): string {
  if (!URL.canParse(uri)) return uri.replace(/[?#].*$/s, '').slice(0, 200);
  const { protocol, host, pathname } = new URL(uri);
  return `${protocol}//${host}${pathname}`.slice(0, 500);
}

/** The picture of what may be a job, as it may be shown. */
export function pictureOf(data: unknown): string {
  const { uri } = Object((Object(data) as { readonly picture?: unknown }).picture) as { readonly uri?: unknown };
  return typeof uri === 'string' ? shownUri(uri) : '';
}

function allowedFrom(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url && SCHEMES.includes(url.protocol) && url.search === '' && url.hash === '' && url.username === '';
  if (plain && (url.protocol !== 'file:' || isPath(url))) return url;
  const slashes = url?.protocol === 'file:' && url.hostname !== '';
  throw new InputError({
    op: OP,
    problem: 'no beginning of URIs',
    expected: 'such as file:///data/pictures/ or https://bucket.example.com/',
    received: shownUri(text),
    path: 'allow',
    ...(slashes ? { fix: `Write file:///${url.hostname}${url.pathname} for a folder of this machine.` } : {}),
  });
}

/** Whether a file's URI is a path of this machine: what stands behind two slashes is the name of another one. */
function isPath(url: URL): boolean {
  try {
    return fileURLToPath(url) !== '';
  } catch {
    return false;
  }
}

function begins(url: URL, allowed: URL): boolean {
  if (url.protocol !== allowed.protocol || url.port !== allowed.port) return false;
  const wild = allowed.hostname.startsWith('*.');
  if (wild ? !url.hostname.endsWith(allowed.hostname.slice(1)) : url.hostname !== allowed.hostname) return false;
  const [path, folder] = [decoded(url), decoded(allowed)];
  return (
    path !== undefined && folder !== undefined && (path === folder || path.startsWith(folder.replace(/\/?$/, '/')))
  );
}

/** The path as a file system reads it: %2e%2e%2f is no way out. undefined for what is no text. */
function decoded({ pathname }: URL): string | undefined {
  try {
    const path = decodeURIComponent(pathname);
    return path.includes('\0') ? undefined : posix.normalize(path.replaceAll('\\', '/'));
  } catch {
    return undefined;
  }
}
