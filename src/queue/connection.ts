/** The way to Valkey or Redis. What its URL holds of user and password is in no message. */
import type { ConnectionOptions } from 'node:tls';
import type { Redis } from 'ioredis';
import { InputError, LoadError, type PentimentoError } from '../core/errors.ts';
import { TransferError } from './transfer-error.ts';

/** Where the queue's server is. */
export interface ServerOptions {
  /**
   * `redis://`, or `rediss://` for TLS, with user, password, host, port and database; by default the environment's
   * PENTIMENTO_REDIS_URL, else `redis://127.0.0.1:6379`.
   */
  readonly redis?: string | undefined;
}

const OP = 'queue';
/** Names the variable that holds the URL, which no list of processes shows. */
export const REDIS_VARIABLE = 'PENTIMENTO_REDIS_URL';
const DEFAULT_URL = 'redis://127.0.0.1:6379';
/** A server that is there answers sooner. */
const CONNECT_MS = 10_000;
/** From one try to the next, while a server is away. */
const RETRY_MS = { first: 100, most: 5000 };

type BullMq = typeof import('bullmq');

/** What a URL says of a server. */
interface Server {
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  readonly tls?: ConnectionOptions;
}

/**
 * The package bullmq.
 * @throws LoadError where it is not installed
 */
export async function loadBullMq(): Promise<BullMq> {
  return import('bullmq').catch((cause: unknown) => {
    throw missing('bullmq', cause);
  });
}

/** The error of an optional package that is not there. */
export function missing(name: string, cause: unknown): LoadError {
  const fix = `Install it: npm install ${name === 'prom-client' ? name : 'bullmq ioredis'}`;
  return new LoadError({ op: OP, problem: `the package ${name} is not installed`, fix, cause });
}

/**
 * A connection to a server that answers. One that goes away later is waited for.
 * @throws InputError for a URL that is none, and for a password that is refused; TransferError for a server that does not answer; LoadError
 * without the package ioredis
 */
export async function connect({ redis = fromEnvironment() }: ServerOptions = {}): Promise<Redis> {
  const options = optionsOf(redis);
  const { Redis } = await import('ioredis').catch((cause: unknown) => {
    throw missing('ioredis', cause);
  });
  // The first answer is not waited for for ever: whoever mistyped a port shall hear of it.
  const probe = new Redis({
    ...options,
    ...{ lazyConnect: true, connectTimeout: CONNECT_MS, retryStrategy: () => null, maxRetriesPerRequest: 0 },
  });
  let why: Error | undefined;
  probe.on('error', (error: Error) => {
    why ??= error;
  });
  try {
    await probe.connect();
    await probe.ping();
  } catch (cause) {
    throw refused(options, why ?? cause);
  } finally {
    probe.disconnect();
  }
  const client = new Redis({
    ...options,
    maxRetriesPerRequest: null, // a command waits until the server is there again
    retryStrategy: tries => Math.min(RETRY_MS.most, RETRY_MS.first * 2 ** Math.min(tries, 10)),
  });
  client.on('error', () => undefined); // it tries again by itself
  return client;
}

function fromEnvironment(): string {
  return process.env[REDIS_VARIABLE] ?? DEFAULT_URL;
}

/** @throws InputError for what is no URL of a server; its text is not shown, for it may hold a password */
function optionsOf(text: string): Server {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const database = /^\/?(\d*)\/?$/.exec(url?.pathname ?? '')?.[1];
  const [username, password] = [decoded(url?.username), decoded(url?.password)];
  const isServer = url && /^rediss?:$/.test(url.protocol) && url.hostname !== '' && database !== undefined;
  // Behind # or ? there may be the rest of a password.
  if (!isServer || username === undefined || password === undefined || /[?#]/.test(text)) {
    const expected = 'such as redis://127.0.0.1:6379 or rediss://user:password@host:6380/0';
    const fix = 'Write % / ? # and @ of a password as %25 %2F %3F %23 and %40.';
    throw new InputError({ op: OP, problem: 'no URL of a Redis or Valkey server', expected, path: 'redis', fix });
  }
  const tls: { tls?: ConnectionOptions } = url.protocol === 'rediss:' ? { tls: { servername: url.hostname } } : {};
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port || 6379),
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    db: Number(database || 0),
    ...tls,
  };
}

/** undefined for what is no encoded text. */
function decoded(text = ''): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function refused({ host, port }: Server, cause: unknown): PentimentoError {
  const server = `${host}:${port}`;
  const text = cause instanceof Error ? cause.message : String(cause);
  if (/WRONGPASS|NOAUTH|NOPERM|AUTH/.test(text)) {
    const fix = `Give user and password in ${REDIS_VARIABLE}.`;
    return new InputError({ op: OP, problem: 'the server refuses user or password', path: server, fix });
  }
  const fix = 'Start the server, or name another one.';
  const received = (cause as NodeJS.ErrnoException).code ?? text;
  return new TransferError({ op: OP, problem: 'the server does not answer', received, path: server, fix });
}
