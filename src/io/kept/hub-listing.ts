/** What a repository of the Hub holds, asked from a page: public models, and others with a token. */
import { WeightsError } from '../../core/errors.ts';
import type { FetchLike } from '../../core/platform.ts';
import type { HubRecipe } from '../folder-recipe.ts';
import { leave, request, type UrlOptions } from '../url-request.ts';
import { type Listed, type Listing, type Origin, urlOrigin } from './origin.ts';

const COMMIT = /^[0-9a-f]{40}$/;
const HASH = /^([0-9a-f]{40}|[0-9a-f]{64})$/;
/** A listing of files is some hundred bytes a file. */
const MOST_PAGES = 1000;

/** How the Hub is asked: the token goes to its own address, and by the rules of `fetch` to no server that it redirects to. */
export function hubOptions({ token, options }: HubRecipe): UrlOptions {
  return { ...options, ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }) };
}

/** Where a file of a commit is read, without its path. */
export function hubBase({ hubUrl, repoId }: HubRecipe, commit: string): string {
  return `${hubUrl}/${repoId}/resolve/${commit}/`;
}

/** owner/name at main */
export function hubLabel({ repoId, revision }: HubRecipe): string {
  return `${repoId} at ${revision}`;
}

/** A repository whose files are to be kept. It is listed once. */
export function hubOrigin(hub: HubRecipe): Origin {
  let listed: Promise<Listing> | undefined;
  const list = (): Promise<Listing> => {
    listed ??= listHub(hub).catch((error: unknown) => {
      listed = undefined;
      throw error;
    });
    return listed;
  };
  const addressOf = async (path: string): Promise<string> =>
    hubBase(hub, (await list()).commit) + path.split('/').map(encodeURIComponent).join('/');
  const label = `${hub.hubUrl}/${hub.repoId}@${hub.revision}/`;
  return { ...urlOrigin(label, addressOf, hubOptions(hub), true), list };
}

/**
 * Asks the Hub what a revision is, and what lies there.
 * @throws WeightsError for a refusal, said in words, and for what is no listing
 */
export async function listHub(hub: HubRecipe): Promise<Listing> {
  const { hubUrl, repoId, revision } = hub;
  const model = `${hubUrl}/api/models/${repoId}`;
  const { sha } = Object((await askJson(hub, `${model}/revision/${encodeURIComponent(revision)}`)).value);
  if (typeof sha !== 'string' || !COMMIT.test(sha)) throw notTheHub(hub, 'a commit that is none');
  const files = new Map<string, Listed>();
  let page: string | undefined = `${model}/tree/${sha}?recursive=true`;
  for (let pages = 0; page !== undefined && pages < MOST_PAGES; pages++) {
    const answer: Answered = await askJson(hub, page);
    if (!Array.isArray(answer.value)) throw notTheHub(hub, 'text that is no listing');
    for (const entry of answer.value) {
      const { type, path, size, oid, lfs } = Object(entry) as Readonly<Record<string, unknown>>;
      if (type !== 'file') continue;
      if (typeof path !== 'string' || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
        throw notTheHub(hub, 'a file without a size');
      const hash: unknown = lfs ? Object(lfs).oid : oid;
      files.set(path, { size, hash: typeof hash === 'string' && HASH.test(hash) ? hash : undefined });
    }
    page = answer.next;
  }
  return { commit: sha, files };
}

interface Answered {
  readonly value: unknown;
  /** Address of the page behind it. */
  readonly next: string | undefined;
}

async function askJson(hub: HubRecipe, url: string): Promise<Answered> {
  const options = hubOptions(hub);
  const answer = await request(url, { ...options, fetch: refusing(hub, options.fetch ?? fetch) }, {});
  const next = /<([^>]+)>; *rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
  const value: unknown = await answer.json().catch((cause: unknown) => {
    options.signal?.throwIfAborted();
    throw notTheHub(hub, 'text that is no listing', cause);
  });
  // The token goes nowhere else.
  const same = next !== undefined && new URL(next, url).origin === new URL(url).origin;
  return { value, next: same ? new URL(next, url).href : undefined };
}

/** A `fetch` that says what the Hub's refusals mean. */
function refusing(hub: HubRecipe, ask: FetchLike): FetchLike {
  return async (input, init): Promise<Response> => {
    const answer = await ask(input, init);
    if (answer.ok) return answer;
    await leave(answer);
    const [problem, fix] = adviceOn(answer, hub);
    throw new WeightsError({
      op: 'hubUrlFolder',
      problem,
      received: `status ${answer.status}`,
      path: hubLabel(hub),
      fix,
    });
  };
}

function adviceOn({ status, headers }: Response, { hubUrl, repoId, token }: HubRecipe): [problem: string, fix: string] {
  const page = `${hubUrl}/${repoId}`;
  const code = headers.get('x-error-code');
  if (code === 'RevisionNotFound')
    return ['the model has no such revision', `Name a branch, tag or commit that is listed at ${page}/commits/main.`];
  if (code === 'GatedRepo')
    return ['the model is gated', `Accept its terms at ${page}, and pass a token of that account (option token).`];
  if (status === 401 || status === 403 || status === 404)
    return [
      'there is no such model, or not for everybody',
      token === undefined
        ? `Check the name at ${page}; a private or gated one wants the option token.`
        : `Check the name at ${page}, and that the token may read it.`,
    ];
  if (status === 429) return ['the Hub was asked too often', 'Try again later, or pass a token.'];
  return ['the model repository cannot be read', 'Try again later, or download the folder and choose it by hand.'];
}

function notTheHub(hub: HubRecipe, received: string, cause?: unknown): WeightsError {
  return new WeightsError({
    op: 'hubUrlFolder',
    problem: 'what answers in the place of the Hub is something else',
    received,
    path: hubLabel(hub),
    fix: `Open ${hub.hubUrl} in a browser: a proxy may ask you to sign in.`,
    cause,
  });
}
