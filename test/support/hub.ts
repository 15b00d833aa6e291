/**
 * A Hub of one's own on 127.0.0.1: it lists a repository, redirects large files to a second server (another port, so another
 * origin) as the real one does, and lets a test misbehave in its place.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, vi } from 'vitest';
import { type FetchModelOptions, fetchModel } from '../../src/node/hub.ts';

export const COMMIT = 'a'.repeat(40);

export const sha256 = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex');
export const gitSha1 = (text: string | Buffer): string =>
  createHash('sha1')
    .update(`blob ${Buffer.byteLength(text)}\0`)
    .update(text)
    .digest('hex');

/** The files of a small pipeline. */
export const PIPELINE: Readonly<Record<string, string>> = {
  'model_index.json': '{"_class_name": "StableDiffusionPipeline"}',
  'README.md': 'words',
  'pipeline.py': 'print(1)',
  'unet/my_unet.py': 'print(1)',
  'scheduler/scheduler_config.json': '{}',
  'inverse_scheduler/scheduler_config.json': '{}',
  'tokenizer/vocab.json': '{"a": 0}',
  'tokenizer/merges.txt': '#version: 0.2',
  'text_encoder/config.json': '{"b": 2}',
  'text_encoder/model.safetensors': 'weights of the text encoder',
  'unet/config.json': '{"a": 1}',
  'unet/diffusion_pytorch_model.bin': 'a pickle',
  'unet/diffusion_pytorch_model.safetensors':
    'weights of the unet, longer than the others so that they can break in the middle',
  'unet/diffusion_pytorch_model.fp16.safetensors': 'half weights',
  'vae/config.json': '{}',
  'vae/diffusion_pytorch_model.safetensors': 'weights of the vae',
  'safety_checker/model.safetensors': 'not wanted',
};
export const UNET = 'unet/diffusion_pytorch_model.safetensors';

/** The embedded model, as a repository's files. */
export function embeddedFiles(): Record<string, Buffer> {
  const folder = new URL('../../models/orchard/stable-diffusion', import.meta.url).pathname;
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const files = paths.filter(path => statSync(join(folder, path)).isFile());
  return Object.fromEntries(files.map(path => [path, readFileSync(join(folder, path))]));
}

export interface Seen {
  readonly server: 'hub' | 'files';
  readonly path: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
}

/** Answers in the server's place and returns true, or leaves the request to it. */
export type Mood = (request: IncomingMessage, response: ServerResponse, path: string) => boolean | undefined;

export interface FakeHub {
  /** Address of the Hub, and of the server that holds the large files. */
  readonly url: string;
  readonly filesUrl: string;
  /** By path. */
  files: Record<string, string | Buffer>;
  commit: string;
  /** Before each answer of the Hub, and of the file server. */
  mood: Mood;
  filesMood: Mood;
  /** All requests so far. */
  readonly seen: Seen[];
  reset(): void;
  close(): void;
}

export async function fakeHub(repoId = 'someone/small'): Promise<FakeHub> {
  const seen: Seen[] = [];
  const isLarge = (path: string): boolean => /\.(safetensors|bin)$/.test(path);
  const note = (server: Seen['server'], request: IncomingMessage): string => {
    const path = new URL(request.url ?? '', 'http://x').pathname;
    const { authorization, range } = request.headers;
    const ifRange = request.headers['if-range'];
    seen.push({ server, path, authorization, range, ifRange: ifRange === undefined ? undefined : String(ifRange) });
    return path;
  };
  const json = (response: ServerResponse, value: unknown): void => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(value));
  };
  const listing = (): unknown =>
    Object.entries(self.files).map(([path, text]) => {
      const size = Buffer.byteLength(text);
      const lfs = isLarge(path) ? { lfs: { oid: sha256(text), size, pointerSize: 1 } } : {};
      return { type: 'file', path, size, oid: gitSha1(text), ...lfs };
    });
  const hub = createServer((request, response) => {
    const path = note('hub', request);
    if (self.mood(request, response, path)) return;
    if (path.startsWith(`/api/models/${repoId}/revision/`)) {
      const siblings = Object.keys(self.files).map(rfilename => ({ rfilename }));
      return json(response, { id: repoId, sha: self.commit, siblings });
    }
    if (path.startsWith(`/api/models/${repoId}/tree/`)) return json(response, listing());
    const file = decodeURIComponent(path.replace(`/${repoId}/resolve/${self.commit}/`, ''));
    const text = self.files[file];
    response.setHeader('x-repo-commit', self.commit);
    if (text === undefined) {
      response.writeHead(404, { 'x-error-code': path.startsWith('/api') ? 'RepoNotFound' : 'EntryNotFound' }).end();
    } else if (isLarge(file)) {
      const linked = { 'x-linked-etag': `"${sha256(text)}"`, 'x-linked-size': Buffer.byteLength(text) };
      response.writeHead(302, { location: `${self.filesUrl}/${file}?signature=of-the-server`, ...linked }).end();
    } else sendRange(request, response, text, `"${gitSha1(text)}"`);
  });
  const files = createServer((request, response) => {
    const path = note('files', request);
    if (self.filesMood(request, response, path.slice(1))) return;
    const text = self.files[path.slice(1)] ?? '';
    sendRange(request, response, text, `"of ${path}"`);
  });
  const self: FakeHub = {
    url: await listen(hub),
    filesUrl: await listen(files),
    ...{ files: { ...PIPELINE }, commit: COMMIT, mood: () => false, filesMood: () => false, seen },
    reset(): void {
      seen.length = 0;
      [self.files, self.commit, self.mood, self.filesMood] = [{ ...PIPELINE }, COMMIT, () => false, () => false];
    },
    close(): void {
      for (const server of [hub, files]) {
        server.closeAllConnections();
        server.close();
      }
    },
  };
  return self;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An address where nothing listens any more. */
export async function nowhere(): Promise<string> {
  const server = createServer();
  const url = await listen(server);
  await new Promise(done => server.close(done));
  return url;
}

/** The file, or the range of it that is asked for. */
export function sendRange(
  request: IncomingMessage,
  response: ServerResponse,
  text: string | Buffer,
  etag: string,
): void {
  const body = Buffer.from(text);
  const [, begin, end] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const ifRange = request.headers['if-range'];
  response.setHeader('etag', etag);
  if (begin === undefined || (ifRange !== undefined && ifRange !== etag))
    return void response.writeHead(200, { 'content-length': body.length }).end(body);
  const [from, to] = [Number(begin), Math.min(Number(end || Number.POSITIVE_INFINITY), body.length - 1)];
  if (from >= body.length) return void response.writeHead(416, { 'content-range': `bytes */${body.length}` }).end();
  const headers = { 'content-range': `bytes ${from}-${to}/${body.length}` };
  response.writeHead(206, headers).end(body.subarray(from, to + 1));
}

/** Every variable that the Hub's settings are read from. */
export const HUB_VARIABLES = [
  ...['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN', 'HF_TOKEN_PATH', 'HF_HUB_DISABLE_IMPLICIT_TOKEN', 'HF_HOME'],
  ...['HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE', 'XDG_CACHE_HOME', 'HF_ENDPOINT', 'HF_HUB_OFFLINE'],
  ...['TRANSFORMERS_OFFLINE', 'HF_HUB_ETAG_TIMEOUT', 'HF_HUB_DOWNLOAD_TIMEOUT'],
  ...['HTTPS_PROXY', 'https_proxy', 'NODE_USE_ENV_PROXY'],
];

/** A Hub, an empty cache and an environment that says nothing, anew for each test of a file. */
export interface HubScene {
  readonly hub: FakeHub;
  /** HF_HOME, a folder that holds the cache alone. */
  readonly home: string;
  /** Where the settings put the cache: `hub` in HF_HOME. */
  readonly cacheDir: string;
  /** What `fetchSmall` was told. */
  readonly warnings: readonly string[];
  readonly onWarning: (message: string) => void;
  /** The repository's folder in the cache. */
  root(): string;
  /** Its model from this Hub into this cache. */
  fetchSmall(options?: FetchModelOptions): Promise<string>;
}

/** Sets the scene for the file that calls it. */
export async function hubScene(): Promise<HubScene> {
  const hub = await fakeHub();
  const warnings: string[] = [];
  let home = '';
  afterAll(() => hub.close());
  beforeEach(async () => {
    hub.reset();
    warnings.length = 0;
    for (const name of HUB_VARIABLES) vi.stubEnv(name, undefined);
    home = await mkdtemp(join(tmpdir(), 'pentimento-hub-'));
    vi.stubEnv('HF_HOME', home);
    await mkdir(scene.cacheDir);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await rm(home, { recursive: true });
  });
  const scene: HubScene = {
    ...{ hub, warnings },
    get home() {
      return home;
    },
    get cacheDir() {
      return join(home, 'hub');
    },
    onWarning: message => void warnings.push(message),
    root: () => join(scene.cacheDir, 'models--someone--small'),
    fetchSmall: options => {
      const { cacheDir, onWarning } = scene;
      return fetchModel('someone/small', { hubUrl: hub.url, cacheDir, onWarning, ...options });
    },
  };
  return scene;
}
