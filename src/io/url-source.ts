/** Files and folders behind HTTP: ranged requests where the server knows them, one whole read where it does not. */

import { InputError } from '../core/errors.ts';
import { kindOf } from '../core/kinds.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import type { UrlLike } from '../core/platform.ts';
import type { ByteSource, FolderSource } from '../core/tensor-source.ts';
import { madeBy } from './folder-recipe.ts';
import { missingFile, readText } from './sources.ts';
import { UrlFile } from './url-file.ts';
import type { UrlFolderOptions, UrlOptions } from './url-options.ts';

export type { UrlFolderOptions, UrlOptions };

const OPTIONS = namesOf<UrlOptions>({ headers: 1, signal: 1, fetch: 1, onWholeRead: 1, maxWholeBytes: 1 });
const FOLDER_OPTIONS = [...OPTIONS, ...namesOf<Pick<UrlFolderOptions, 'files'>>({ files: 1 })];

/**
 * A file behind a URL, read by HTTP ranges: neighbouring ones together, several requests at once. A server that ignores Range
 * is read once into memory.
 * @param url absolute, or relative to the page
 * @param options request settings
 * @throws WeightsError when the file is absent, its size stays hidden, or it is too large to be read whole
 */
export async function urlSource(url: string | UrlLike, options: UrlOptions = {}): Promise<ByteSource> {
  checkNames('urlSource', options, OPTIONS);
  return new UrlFile(String(url), options).open();
}

/**
 * A folder behind a base URL. What is learned of a file (whether it is there, its size, its first bytes) is kept as long as the
 * folder: each is asked for once.
 * @param base with or without the last slash; its query is not kept
 * @param options request settings, and the files that are there
 * @throws InputError for what is no list of paths
 */
export function urlFolder(base: string | UrlLike, options: UrlFolderOptions = {}): FolderSource {
  checkNames('urlFolder', options, FOLDER_OPTIONS);
  const listed = checkedPaths(options.files);
  const label = String(base)
    .replace(/[?#].*$/, '')
    .replace(/\/*$/, '/');
  const files = new Map<string, UrlFile>();
  const isThere = (path: string): boolean => listed?.has(path) ?? true;
  const fileAt = (path: string): UrlFile => {
    if (!isThere(path)) throw missingFile(label, path);
    const url = label + path.split('/').map(encodeURIComponent).join('/');
    const file = files.get(url) ?? new UrlFile(url, options);
    files.set(url, file);
    return file;
  };
  return madeBy(
    { kind: 'url', base: label, options },
    {
      label,
      has: async path => isThere(path) && fileAt(path).exists(),
      text: async path => readText(await fileAt(path).open()),
      bytes: async path => fileAt(path).open(),
    },
  );
}

/** @throws InputError for what is no list of paths */
function checkedPaths(files: readonly string[] | undefined): ReadonlySet<string> | undefined {
  if (files === undefined) return undefined;
  if (Array.isArray(files) && files.every(path => typeof path === 'string')) return new Set(files);
  const [problem, expected] = ['no list of files', 'paths within the folder'];
  throw new InputError({ op: 'urlFolder', problem, expected, received: kindOf(files), path: 'files' });
}
