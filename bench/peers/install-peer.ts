/** Fetches a peer's packages by npm into the user's cache directory, once. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { LoadError } from '../../src/core/errors.ts';
import { peersFolder } from '../../src/node/cached-peers.ts';
import { reason } from '../../src/node/files.ts';
import { makeFolder } from '../../src/node/make-folder.ts';
import type { PeerPackages } from './packages.ts';

/** How packages are fetched. */
export interface InstallOptions {
  /** Folder of folders, one for each peer and version; default `peersFolder()`. */
  readonly cache?: string | undefined;
  /** npm's command; default npm. */
  readonly npm?: readonly string[] | undefined;
  /** Ends it; nothing stays behind. */
  readonly signal?: AbortSignal | undefined;
  /** Is told what is fetched, before it is. */
  readonly onFetch?: ((words: string) => void) | undefined;
}

/**
 * The folder with a peer's packages; fetches them where they are not there yet. Their scripts are not run: onnxruntime-node's
 * would fetch CUDA, and none is needed.
 * @throws LoadError where npm is missing or fails; the signal's reason
 */
export async function installPeer(name: string, packages: PeerPackages, options: InstallOptions = {}): Promise<string> {
  const { cache = peersFolder(), npm = ['npm'], signal, onFetch } = options;
  const folder = join(cache, `${name}-${packages.version}`);
  signal?.throwIfAborted();
  if (existsSync(folder)) return folder;
  onFetch?.(`Fetching ${packages.package} ${packages.version}, ${Math.round(packages.bytes / 1e6)} MB on the disk.`);
  const draft = await draftIn(cache, name);
  try {
    await writeFile(join(draft, 'package.json'), JSON.stringify(packages.manifest));
    await writeFile(join(draft, 'package-lock.json'), JSON.stringify(packages.lock));
    await runNpm(npm, draft, `${packages.package} ${packages.version}`, signal);
    await moved(draft, folder);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return folder;
}

async function draftIn(cache: string, name: string): Promise<string> {
  try {
    await makeFolder(cache);
    return await mkdtemp(join(cache, `.${name}-`));
  } catch (cause) {
    throw new LoadError({
      op: 'bench',
      problem: "the folder of other engines' packages cannot be written",
      received: reason(cause),
      path: cache,
      fix: 'Set PENTIMENTO_CACHE to a folder of yours, or leave --against out.',
      cause,
    });
  }
}

/** Another process may have been faster: its folder is as good. */
async function moved(draft: string, folder: string): Promise<void> {
  try {
    await rename(draft, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  }
}

async function runNpm(npm: readonly string[], cwd: string, what: string, signal?: AbortSignal): Promise<void> {
  const [command = 'npm', ...first] = npm;
  const args = [...first, 'ci', '--ignore-scripts', '--omit=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const told: string[] = [];
  // A group of its own, so that what npm started ends with it; npm is a script of the shell on Windows.
  const windows = process.platform === 'win32';
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], detached: !windows, shell: windows });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => void told.push(text));
  }
  const end = (): void => void endGroup(child.pid, () => child.kill('SIGKILL'));
  signal?.addEventListener('abort', end, { once: true });
  const outcome = await new Promise<number | string | Error>(resolve => {
    child.on('error', resolve);
    child.on('close', (code, ended) => resolve(code ?? String(ended)));
  });
  signal?.removeEventListener('abort', end);
  signal?.throwIfAborted();
  if (outcome === 0) return;
  throw npmFailed(what, dirname(cwd), outcome, told.join(''));
}

function endGroup(pid: number | undefined, alone: () => void): void {
  try {
    if (pid === undefined || process.platform === 'win32') alone();
    else process.kill(-pid, 'SIGKILL');
  } catch {
    alone(); // it has ended
  }
}

function npmFailed(what: string, cache: string, outcome: number | string | Error, told: string): LoadError {
  if (outcome instanceof Error) {
    return new LoadError({
      op: 'bench',
      problem: `${what} cannot be fetched: npm cannot be started`,
      received: outcome.message,
      fix: 'Install npm, which comes with Node, or leave --against out.',
      cause: outcome,
    });
  }
  const lines = told.split('\n').map(line => line.replace(/^npm (error|ERR!)\s*/, ''));
  const said = lines.filter(line => line.trim() !== '' && !/complete log of this run/.test(line));
  const network = /ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ECONNRESET|network/i.test(told);
  const space = /ENOSPC/.test(told);
  return new LoadError({
    op: 'bench',
    problem: `${what} cannot be fetched`,
    received: said.slice(0, 3).join(' ') || `npm ended with ${outcome}`,
    path: cache,
    fix: space
      ? 'Make room, or set PENTIMENTO_CACHE to a folder on another disk.'
      : network
        ? 'The registry that npm is configured for is out of reach: check the network or `npm config get registry`, or leave --against out.'
        : 'Try `npm ping`; or leave --against out.',
  });
}
