/** Files and folders behind HTTP: ranged requests where the server knows them, one whole read where it does not. */

import { checkNames, namesOf } from '../core/known-names.ts';
import type { UrlLike } from '../core/platform.ts';
import type { ByteSource, FolderSource } from '../core/tensor-source.ts';
import { madeBy } from './folder-recipe.ts';
import { readText } from './sources.ts';
import { UrlFile } from './url-file.ts';
import type { UrlOptions } from './url-request.ts';

export type { UrlOptions };

const OPTIONS = namesOf<UrlOptions>({ headers: 1, signal: 1, fetch: 1, onWholeRead: 1, maxWholeBytes: 1 });

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
 * @param options request settings
 */
export function urlFolder(base: string | UrlLike, options: UrlOptions = {}): FolderSource {
  checkNames('urlFolder', options, OPTIONS);
  const label = String(base)
    .replace(/[?#].*$/, '')
    .replace(/\/*$/, '/');
  const files = new Map<string, UrlFile>();
  const fileAt = (path: string): UrlFile => {
    const url = label + path.split('/').map(encodeURIComponent).join('/');
    const file = files.get(url) ?? new UrlFile(url, options);
    files.set(url, file);
    return file;
  };
  return madeBy(
    { kind: 'url', base: label, options },
    {
      label,
      has: async path => fileAt(path).exists(),
      text: async path => readText(await fileAt(path).open()),
      bytes: async path => fileAt(path).open(),
    },
  );
}
