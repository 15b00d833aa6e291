/** What the Hub's refusals mean to the person who asked: one error for each, with the next thing to do. No secret is shown. */
import { type ErrorDetails, WeightsError } from '../core/errors.ts';
import type { HubSettings } from './hub-settings.ts';

/** A repository, as messages name it. */
export interface HubPlace {
  /** Such as 'owner/name'. */
  readonly repoId: string;
  /** Branch, tag or commit. */
  readonly revision: string;
}

/** Why a request failed: what was answered, or that nothing was. A cache that is complete may stand in for it. */
export class HubError extends WeightsError {
  /** HTTP status; undefined where there was no answer. */
  readonly status: number | undefined;
  /** The Hub's own word for it, such as 'GatedRepo'. */
  readonly reason: string | undefined;
  /** Milliseconds that the server asks to wait. */
  readonly retryAfterMs: number | undefined;
  /** Whether a limit passed while nothing was said. */
  readonly silent: boolean;

  constructor(details: ErrorDetails, response?: Response, silent = false) {
    super(details);
    this.silent = silent;
    this.status = response?.status;
    this.reason = response?.headers.get('x-error-code') ?? undefined;
    this.retryAfterMs = response === undefined ? undefined : retryAfter(response.headers);
  }

  /** Whether the same request may succeed a little later. */
  get passing(): boolean {
    return this.status !== undefined && [429, 500, 502, 503, 504].includes(this.status);
  }
}

/** Milliseconds of Retry-After (seconds or a date), or of the Hub's own RateLimit header. */
function retryAfter(headers: Headers): number | undefined {
  const given = headers.get('retry-after') ?? /\bt=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1];
  if (given === undefined || given.trim() === '') return undefined;
  const seconds = Number(given);
  const ms = Number.isNaN(seconds) ? Date.parse(given) - Date.now() : 1000 * seconds;
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/** What is wrong, and what to do. */
type Advice = readonly [problem: string, fix: string];

/**
 * The error for a status that is no success.
 * @param response whose status and headers count; its body is not read
 * @param place what was asked for
 * @param settings whose token was sent
 * @param atHub false where another server answered, to which the Hub had redirected
 */
export function refusal(response: Response, place: HubPlace, settings: HubSettings, atHub: boolean): HubError {
  const [problem, fix] = atHub
    ? adviceOn(response, place, settings)
    : (['the server that holds the file refuses it', 'Try again; what has arrived is kept.'] as const);
  const { status } = response;
  const op = 'fetchModel';
  return new HubError({ op, problem, received: `status ${status}`, path: named(place), fix }, response);
}

function adviceOn(response: Response, place: HubPlace, { endpoint, token }: HubSettings): Advice {
  const page = `${endpoint}/${place.repoId}`;
  const login = 'set HF_TOKEN to a token of your account, or run `hf auth login`';
  const code = response.headers.get('x-error-code') ?? '';
  const { status } = response;
  if (code === 'RevisionNotFound')
    return ['the model has no such revision', `Name a branch, tag or commit that is listed at ${page}/commits/main.`];
  if (code === 'EntryNotFound') return ['the model has no such file', `Look at its files at ${page}/tree/main.`];
  if (code === 'GatedRepo') {
    return token === undefined
      ? ['the model is gated', `Accept its terms at ${page}, then ${login}.`]
      : [
          `the model is gated, and the account of the token (${token.from}) has no access`,
          `Accept its terms at ${page} with that account and wait where its owner decides by hand; a fine-grained token needs the right to read gated models too.`,
        ];
  }
  if (status === 404 || (status === 401 && code === 'RepoNotFound' && token !== undefined))
    return [
      'there is no such model',
      token === undefined
        ? `Check the name at ${page}. A private one is shown only to those who may read it: ${login}.`
        : `Check the name at ${page}. A private one is shown only to those who may read it, which the account of the token (${token.from}) may not.`,
    ];
  if (status === 401) {
    return token === undefined
      ? [
          'the Hub asks for a login',
          `The model is private or gated, or there is none of this name: check it at ${page}, accept its terms if it has some, and ${login}.`,
        ]
      : [
          `the Hub does not accept the token (${token.from})`,
          `Make a new one at ${endpoint}/settings/tokens; public models need none.`,
        ];
  }
  return adviceByStatus(response, place, { endpoint, token });
}

function adviceByStatus(
  response: Response,
  place: HubPlace,
  { endpoint, token }: Pick<HubSettings, 'endpoint' | 'token'>,
): Advice {
  const { status } = response;
  const wait = retryAfter(response.headers);
  const later = wait === undefined ? 'Try again later' : `Try again in ${Math.max(1, Math.ceil(wait / 1000))} s`;
  if (status === 403 && token !== undefined)
    return [
      `the token (${token.from}) may not read the model`,
      `Give it the right to read ${place.repoId} at ${endpoint}/settings/tokens.`,
    ];
  if (status === 403)
    return [
      'the Hub refuses access to the model',
      `See ${endpoint}/${place.repoId}: accept its terms if it has some, and set HF_TOKEN; or a proxy refuses in the Hub's place.`,
    ];
  if (status === 407) return ['a proxy asks for a login', 'Use a connection without it, or copy the folder yourself.'];
  if (status === 429)
    return [
      'the Hub was asked too often',
      token === undefined ? `${later}; users with a token (HF_TOKEN) may ask more often.` : `${later}.`,
    ];
  if (status >= 500) return ['the Hub is out of order', `${later}.`];
  return ['the model repository cannot be read', 'Check the name, or download the folder yourself and name it.'];
}

/**
 * The error for a server that says nothing.
 * @param where an address; its query, which may hold a signature, is not shown
 * @param place what was asked for
 * @param why milliseconds that passed, or what fetch threw
 */
export function noAnswer(where: URL, place: HubPlace, why: unknown): HubError {
  const fix = `${adviceOnConnection(why)}, or download the folder yourself and name it.`;
  const path = named(place);
  const host = `${where.protocol}//${where.host}`;
  const op = 'fetchModel';
  if (typeof why === 'number') {
    const received = `nothing for ${why / 1000} s`;
    return new HubError({ op, problem: `${host} is silent`, received, path, fix }, undefined, true);
  }
  return new HubError({ op, problem: `${host} cannot be reached`, received: messageOf(why), path, fix, cause: why });
}

function adviceOnConnection(why: unknown): string {
  const cause = why instanceof Error ? why.cause : undefined;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (/CERT|SELF_SIGNED|VERIFY/.test(code)) return 'Set NODE_EXTRA_CA_CERTS to the certificate of the proxy between';
  const { HTTPS_PROXY, https_proxy, NODE_USE_ENV_PROXY } = process.env;
  return (HTTPS_PROXY || https_proxy) && !NODE_USE_ENV_PROXY
    ? 'HTTPS_PROXY is set, which Node heeds from version 24 on with NODE_USE_ENV_PROXY=1: set that too'
    : 'Check the connection';
}

/** fetch says "fetch failed"; the reason lies one error deeper. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== '' ? error.cause.message : error.message;
}

/** owner/name at main */
export function named({ repoId, revision }: HubPlace): string {
  return `${repoId} at ${revision}`;
}
