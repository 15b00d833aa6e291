/** Where results go: a folder, or addresses that the job brings. The JSON comes last: where it is, the job is done. */
import { randomUUID } from 'node:crypto';
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { InputError } from '../core/errors.ts';
import { reason } from '../node/files.ts';
import { makeFolder } from '../node/make-folder.ts';
import { checkNameFree, safeRelativeName, sameName } from '../node/safe-name.ts';
import { writeSynced } from '../node/write-synced.ts';
import { existsUri, putUri, type TransferOptions } from './transfer.ts';
import { TransferError } from './transfer-error.ts';
import { shownUri, type UriRules } from './uri-rules.ts';

/** A file of a result. */
export interface ResultFile {
  /** Behind the job's id, such as `.mask.png`. */
  readonly suffix: string;
  readonly bytes: Uint8Array;
  /** Media type. */
  readonly type: string;
}

/** Addresses that take a job's results by PUT, such as presigned ones. */
export interface PresignedTarget {
  /** One for each picture. */
  readonly images: readonly string[];
  /** Where a mask that was found goes; by default it is not sent. */
  readonly mask?: string;
  /** Sent last. */
  readonly json: string;
  /** Asked by GET whether the JSON is there; by default it is not known. */
  readonly existing?: string;
}

/** Below the folder of results: files that are being written. */
const PARTS = '.parts';
/** Nobody writes one file for so long. */
const LEFT_MS = 3_600_000;

/** Where a job's results go. */
export interface ResultStore {
  /** Whether the job is done. */
  has(id: string, signal?: AbortSignal): Promise<boolean>;
  /**
   * Names of the files, before they are written.
   * @param suffixes in the order of the files
   */
  names(id: string, suffixes: readonly string[]): readonly string[];
  /**
   * Writes all files, the last one last.
   * @throws TransferError for what may succeed another time; InputError else
   */
  write(id: string, files: readonly ResultFile[], signal?: AbortSignal): Promise<void>;
}

/**
 * The name of a folder below the worker's, checked.
 * @param op the function that was called, for messages
 * @throws InputError for a name that leads out of it, or is that of what is being written
 */
export function folderName(op: string, name: string): string {
  const checked = safeRelativeName(op, name);
  if (!sameName(checked.split('/')[0] ?? '', PARTS)) return checked;
  throw new InputError({
    op,
    problem: 'a folder of files that are being written',
    value: name,
    fix: 'Name another one.',
  });
}

/**
 * A folder below one of the worker's.
 * @param root the worker's
 * @param folder relative, from a job; checked
 * @throws InputError for a name that leads out of the root, or differs from one that is there only by case
 */
export async function folderResults(root: string, folder?: string): Promise<ResultStore> {
  const below = folder === undefined ? '' : folderName('results', folder);
  if (below !== '') await checkNameFree(root, below);
  const at = join(root, below);
  const done = (id: string): string => join(at, `${id}.json`);
  return {
    has: id =>
      readFile(done(id), 'utf8').then(
        text => isWhole(text, id),
        () => false,
      ),
    names: (id, suffixes) => suffixes.map(suffix => pathToFileURL(join(at, `${id}${suffix}`)).href),
    async write(id, files, signal) {
      const attempt = randomUUID();
      const part = (suffix: string): string => join(root, PARTS, `${id}${suffix}.${attempt}`);
      try {
        for (const folder of [at, join(root, PARTS)]) await makeFolder(folder);
        for (const { suffix, bytes } of files) await writeSynced(part(suffix), bytes, signal);
        for (const { suffix } of files) await rename(part(suffix), join(at, `${id}${suffix}`));
      } catch (cause) {
        for (const { suffix } of files) await rm(part(suffix), { force: true }).catch(() => undefined);
        signal?.throwIfAborted();
        const details = {
          op: 'results',
          problem: 'the result cannot be written',
          received: reason(cause),
          path: at,
          cause,
        };
        // Also what is wrong with this worker's folder alone: another one may write.
        const later = [
          'EACCES',
          'EPERM',
          'EROFS',
          'ENOSPC',
          'EDQUOT',
          'EIO',
          'ESTALE',
          'EMFILE',
          'ENFILE',
          'ETIMEDOUT',
          'EBUSY',
        ];
        throw later.includes((cause as NodeJS.ErrnoException).code ?? '')
          ? new TransferError(details)
          : new InputError(details);
      }
    },
  };
}

/** Whether it is the JSON of a result: after a power cut a file may have its name and not its bytes. */
function isWhole(text: string, id: string): boolean {
  try {
    return (Object(JSON.parse(text)) as { readonly id?: unknown }).id === id;
  } catch {
    return false;
  }
}

/**
 * Removes what workers left that were killed while they wrote; what one writes now is younger than that.
 * @param root folder of results
 */
export async function removeParts(root: string): Promise<void> {
  const folder = join(root, PARTS);
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > LEFT_MS) await rm(path, { recursive: true, force: true });
  }
}

/**
 * Addresses that the job brings.
 * @throws InputError for one that the rules do not allow
 */
export function presignedResults(target: PresignedTarget, rules: UriRules, options: TransferOptions = {}): ResultStore {
  const { images, mask, json, existing } = target;
  for (const uri of [
    ...images,
    json,
    ...(mask === undefined ? [] : [mask]),
    ...(existing === undefined ? [] : [existing]),
  ])
    rules.check(uri);
  const addressOf = (suffix: string): string | undefined => {
    if (suffix === '.json') return json;
    if (suffix === '.mask.png') return mask;
    return images[suffix === '.png' ? 0 : Number(suffix.split('.')[1]) - 1];
  };
  return {
    has: async (_, signal) => existing !== undefined && existsUri(existing, rules, { ...options, signal }),
    names: (_, suffixes) =>
      suffixes.flatMap(suffix => {
        const uri = addressOf(suffix);
        return uri === undefined ? [] : [shownUri(uri)];
      }),
    async write(_, files, signal) {
      for (const { suffix, bytes, type } of files) {
        const uri = addressOf(suffix);
        if (uri !== undefined) await putUri(uri, bytes, type, rules, { ...options, signal });
      }
    },
  };
}
