/**
 * What the environment says about the Hub, read as huggingface_hub reads it: where it is, who asks, where its files are
 * kept, whether it may be asked at all, and how long an answer may take. Nothing here opens a connection.
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../core/errors.ts';
import { reason } from './files.ts';

/** A secret, and the name of the place that it comes from, which is all that messages may show of it. */
export interface HubToken {
  /** Goes into the header of requests to the Hub, and nowhere else. */
  readonly value: string;
  /** Such as 'HF_TOKEN', or the path of a file. */
  readonly from: string;
}

/** How the Hub is reached. */
export interface HubSettings {
  /** Address without a slash at its end. */
  readonly endpoint: string;
  /** Folder that holds the repositories. */
  readonly cacheDir: string;
  /** Who asks; undefined where nobody is logged in. */
  readonly token: HubToken | undefined;
  /** The variable that forbids to ask; undefined where the Hub may be asked. */
  readonly offline: string | undefined;
  /** The Hub must begin to answer within so many milliseconds. */
  readonly answerMs: number;
  /** A body may pause for so many milliseconds. */
  readonly silenceMs: number;
}

/** What a caller says in place of the environment. */
export interface HubOverrides {
  /** Address of a server that speaks the Hub's protocol. */
  readonly hubUrl?: string | undefined;
  /** The cache. */
  readonly cacheDir?: string | undefined;
  /** A token in place of the environment's; false sends none. */
  readonly token?: string | false | undefined;
}

const SECONDS = 10;

/**
 * Puts the environment and the caller's wishes together.
 * @param overrides go before the environment
 * @param warn told of a token file that cannot be read
 * @throws InputError for an address that is none, or a token with characters that no header holds
 * @see huggingface_hub.constants, huggingface_hub.get_token
 */
export async function hubSettings(overrides: HubOverrides, warn: (message: string) => void): Promise<HubSettings> {
  return {
    endpoint: endpoint(overrides.hubUrl),
    cacheDir: overrides.cacheDir ?? hubCache(),
    token: await token(overrides.token, warn),
    offline: offline(),
    answerMs: milliseconds('HF_HUB_ETAG_TIMEOUT'),
    silenceMs: milliseconds('HF_HUB_DOWNLOAD_TIMEOUT'),
  };
}

/** The folder that all tools keep files of the Hub in: HF_HUB_CACHE, else `hub` in the Hub's home. */
export function hubCache(): string {
  return expanded(variable('HF_HUB_CACHE') ?? variable('HUGGINGFACE_HUB_CACHE') ?? join(hubHome(), 'hub'));
}

/** HF_HOME, else `huggingface` in XDG_CACHE_HOME or ~/.cache. */
function hubHome(): string {
  return expanded(variable('HF_HOME') ?? join(variable('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface'));
}

/** Of an environment variable; an empty one says nothing. */
function variable(name: string): string | undefined {
  return process.env[name] || undefined;
}

/** The words that huggingface_hub takes for yes. */
function isTrue(value: string | undefined): boolean {
  return value !== undefined && ['1', 'ON', 'YES', 'TRUE'].includes(value.toUpperCase());
}

/** HF_HUB_OFFLINE goes before TRANSFORMERS_OFFLINE, also where it says no. */
function offline(): string | undefined {
  const name = ['HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE'].find(key => variable(key) !== undefined);
  return name !== undefined && isTrue(variable(name)) ? `${name}=${variable(name)}` : undefined;
}

function milliseconds(name: string): number {
  const seconds = Number(variable(name));
  return 1000 * (seconds > 0 && seconds < 2 ** 20 ? seconds : SECONDS);
}

/** `~` at the start, and `$NAME` and `${NAME}` anywhere, as shells and Python understand them. */
function expanded(path: string): string {
  const home = path.replace(/^~(?=$|[/\\])/, homedir());
  return home.replaceAll(/\$(?:(\w+)|\{(\w+)\})/g, (text, bare, braced) => process.env[bare ?? braced] ?? text);
}

function endpoint(asked: string | undefined): string {
  const given = asked ?? variable('HF_ENDPOINT');
  if (given === undefined) return 'https://huggingface.co';
  const from = asked === undefined ? 'HF_ENDPOINT' : 'hubUrl';
  let url: URL | undefined;
  try {
    url = new URL(given);
  } catch {
    // said below
  }
  const fix = 'Write it like https://huggingface.co, or leave it out.';
  if (url === undefined || !['http:', 'https:'].includes(url.protocol))
    throw new InputError({
      op: 'fetchModel',
      problem: `${from} is no address`,
      received: url?.protocol ?? 'text',
      fix,
    });
  // The text itself is not shown: it holds a secret.
  if (url.username !== '' || url.password !== '')
    throw new InputError({
      op: 'fetchModel',
      problem: `${from} holds a name or a password`,
      fix: `Take it out. ${fix}`,
    });
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

/** The caller's, else that of the environment, else that of the file which `hf auth login` writes. */
async function token(asked: string | false | undefined, warn: (m: string) => void): Promise<HubToken | undefined> {
  if (asked === false) return undefined;
  if (asked !== undefined) return sendable({ value: asked, from: 'token' });
  if (isTrue(variable('HF_HUB_DISABLE_IMPLICIT_TOKEN'))) return undefined;
  const from = ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN'].find(key => variable(key) !== undefined);
  const named = from === undefined ? undefined : sendable({ value: variable(from) ?? '', from });
  return named ?? (await storedToken(warn));
}

async function storedToken(warn: (message: string) => void): Promise<HubToken | undefined> {
  const from = expanded(variable('HF_TOKEN_PATH') ?? join(hubHome(), 'token'));
  try {
    return sendable({ value: await readFile(from, 'utf8'), from });
  } catch (error) {
    if (error instanceof InputError) throw error;
    const absent = error instanceof Error && 'code' in error && ['ENOENT', 'ENOTDIR'].includes(String(error.code));
    if (!absent) warn(`The Hub's token is not sent: ${reason(error)} (${from}).`);
    return undefined;
  }
}

/** Without line ends and the blanks around it; undefined where nothing is left. */
function sendable({ value, from }: HubToken): HubToken | undefined {
  const text = value.replaceAll(/[\r\n]/g, '').trim();
  if (text === '') return undefined;
  if (/^[\x21-\x7e]+$/.test(text)) return { value: text, from };
  // fetch would refuse the header, and show it.
  throw new InputError({
    op: 'fetchModel',
    problem: 'the token of the Hub holds characters that no token has',
    path: from,
    fix: 'Copy it once more from the settings of your account, or run `hf auth login`.',
  });
}
