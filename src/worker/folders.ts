/** Folders and files of a page, made again in the worker: of their recipes, or by asking the page for each read. */
import { InputError } from '../core/errors.ts';
import type { ByteSource, FolderSource } from '../core/tensor-source.ts';
import type { FolderRecipe } from '../io/folder-recipe.ts';
import { type CachedFolderOptions, cachedFolder } from '../io/kept/cached-folder.ts';
import { hubUrlFolder } from '../io/kept/hub-url-folder.ts';
import { type DirectoryHandleLike, directoryHandleFolder } from '../io/picked-folders.ts';
import { type FileContent, mapFolder, type RangeReader, readerSource } from '../io/sources.ts';
import { urlFolder } from '../io/url-source.ts';

/** What stands behind a note of `pack.ts`. @throws InputError for a note of no kind */
export function folderFrom(kind: string, unpacked: Readonly<Record<string, unknown>>): FolderSource | ByteSource {
  if (kind === 'folder') return fromRecipe(unpacked['recipe'] as FolderRecipe);
  const { label, calls } = unpacked as { readonly label: string; readonly calls: unknown };
  if (kind === 'files') return { ...(calls as Omit<FolderSource, 'label'>), label };
  if (kind === 'bytes') {
    const { byteLength } = unpacked as { readonly byteLength: number };
    return readerSource({ ...(calls as Pick<RangeReader, 'read'>), label, byteLength });
  }
  throw new InputError({ op: 'worker', problem: 'an argument of another version of this library', received: kind });
}

function fromRecipe(recipe: FolderRecipe): FolderSource {
  switch (recipe.kind) {
    case 'url':
      return urlFolder(recipe.base, recipe.options);
    case 'hub': {
      const { repoId, options, ...hub } = recipe.hub;
      return hubUrlFolder(repoId, { ...hub, ...options });
    }
    case 'kept':
      return cachedFolder(fromRecipe(recipe.folder), recipe.options as CachedFolderOptions);
    case 'files':
      return mapFolder(recipe.files as ReadonlyMap<string, FileContent>, recipe.label);
    case 'handle':
      return directoryHandleFolder(recipe.handle as DirectoryHandleLike);
  }
}
