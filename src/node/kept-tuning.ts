/**
 * Tuning tables in the user's cache directory, a file for each adapter and each state of the kernels. What is there is whole or not there:
 * files are written under another name and take their own when they are done. What cannot be used is named and left alone, and whoever
 * asked works without a table.
 */
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { InputError, PentimentoError } from '../core/errors.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { Caps } from '../gpu/caps.ts';
import { capsIn, type KeptTuning, readTable } from '../tuning/kept-in-page.ts';
import { parseTuningTable } from '../tuning/read-table.ts';
import { keyOfTable, type TuningTable, tuningFor, tuningKey } from '../tuning/table.ts';
import { reason } from './files.ts';
import { makeFolder } from './make-folder.ts';

/** Where tables are kept, and who is told of those that cannot be used. */
export interface KeptTuningOptions {
  /** Default `tuningFolder()`. */
  readonly folder?: string | undefined;
  /** Told of a file that is there and cannot be used; default console.warn. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** A table in the cache. */
export interface KeptTuningFile extends KeptTuning {
  /** The file. */
  readonly path: string;
  /** Its size. */
  readonly bytes: number;
}

const OPTIONS = namesOf<KeptTuningOptions>({ folder: 1, onWarning: 1 });
const ENDING = '.json';
/** Of tables, as `tuningKey` makes them: nothing that leads out of the folder. */
const NAME = /^[a-z0-9-]+$/;

/**
 * The folder of tuning tables: `tuning` in PENTIMENTO_CACHE, else `pentimento/tuning` in XDG_CACHE_HOME or the platform's place for caches
 * (~/.cache, ~/Library/Caches of macOS, LOCALAPPDATA of Windows).
 */
export function tuningFolder(): string {
  const own = process.env['PENTIMENTO_CACHE'];
  return own ? join(own, 'tuning') : join(cacheHome(), 'pentimento', 'tuning');
}

function cacheHome(): string {
  const { XDG_CACHE_HOME: home, LOCALAPPDATA: local } = process.env;
  if (home) return home;
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches');
  if (process.platform === 'win32') return local || join(homedir(), 'AppData', 'Local');
  return join(homedir(), '.cache');
}

/**
 * The table that was kept for a device, checked as `Gpu.request` checks it.
 * @param device a Gpu, or its capabilities
 * @returns undefined where none is kept, and where what is kept cannot be used, of which `onWarning` is told
 * @throws InputError for what is neither
 */
export async function keptTuning(
  device: Caps | { readonly caps: Caps },
  options: KeptTuningOptions = {},
): Promise<TuningTable | undefined> {
  checkNames('keptTuning', options, OPTIONS);
  const { folder = tuningFolder(), onWarning = (message: string) => console.warn(message) } = options;
  const caps = capsIn('keptTuning', device);
  const path = join(folder, `${tuningKey(caps)}${ENDING}`);
  try {
    const text = await textOf(path);
    if (text === undefined) return undefined;
    const table = parseTuningTable(text);
    tuningFor(table, caps);
    return table;
  } catch (error) {
    const said = error instanceof PentimentoError ? error.message : reason(error);
    onWarning(`A tuning table is not used: ${said} (${path})`);
    return undefined;
  }
}

/**
 * Keeps a table for its adapter, in the place of the one that was kept before.
 * @returns the path of its file
 * @throws InputError for what is no table, and where it cannot be written; what was kept before stays then
 */
export async function keepTuning(table: TuningTable, options: KeptTuningOptions = {}): Promise<string> {
  checkNames('keepTuning', options, OPTIONS);
  const { folder = tuningFolder() } = options;
  const checked = parseTuningTable(table);
  const path = join(folder, `${keyOfTable(checked)}${ENDING}`);
  const part = `${path}.${process.pid}-${Math.random().toString(36).slice(2)}.part`;
  try {
    await makeFolder(folder);
    await writeFile(part, `${JSON.stringify(checked, null, 1)}\n`);
    await rename(part, path);
  } catch (cause) {
    await rm(part, { force: true }).catch(() => undefined); // the first error tells more
    throw new InputError({
      op: 'keepTuning',
      problem: 'the table cannot be written',
      received: reason(cause),
      path,
      fix: 'Make the folder writable, or name another cache by PENTIMENTO_CACHE.',
      cause,
    });
  }
  return path;
}

/** All tables that are kept, damaged ones too, by their names. */
export async function listKeptTuning(options: KeptTuningOptions = {}): Promise<readonly KeptTuningFile[]> {
  checkNames('listKeptTuning', options, OPTIONS);
  const { folder = tuningFolder() } = options;
  const found: KeptTuningFile[] = [];
  for (const file of (await namesIn(folder)).sort()) {
    if (!file.endsWith(ENDING)) continue;
    const [name, path] = [file.slice(0, -ENDING.length), join(folder, file)];
    const text = await textOf(path).catch(() => '');
    const there = await stat(path).catch(() => undefined);
    if (text === undefined || !there) continue; // it went meanwhile
    found.push({ name, path, bytes: there.size, ...readTable(text) });
  }
  return found;
}

/**
 * Deletes a table that is kept.
 * @param name as `listKeptTuning` gives it
 * @returns whether it was there
 * @throws InputError where it cannot be deleted
 */
export async function removeKeptTuning(name: string, options: KeptTuningOptions = {}): Promise<boolean> {
  checkNames('removeKeptTuning', options, OPTIONS);
  const { folder = tuningFolder() } = options;
  if (!NAME.test(name)) return false;
  const path = join(folder, `${name}${ENDING}`);
  const there = (await textOf(path).catch(() => '')) !== undefined;
  try {
    await rm(path, { force: true });
  } catch (cause) {
    const problem = 'the table cannot be deleted';
    throw new InputError({ op: 'removeKeptTuning', problem, received: reason(cause), path, cause });
  }
  return there;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw new InputError({
      op: 'keptTuning',
      problem: 'the folder cannot be read',
      received: reason(error),
      path: folder,
    });
  }
}

/** Undefined for a file that is not there. */
async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && ['ENOENT', 'ENOTDIR'].includes(String(error.code));
}
