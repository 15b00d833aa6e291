/**
 * How a folder was made, as plain data: a worker makes the same one of it, and a cache fetches its files as streams. Folders of the
 * caller's own have none.
 */
import type { FolderSource } from '../core/tensor-source.ts';
import type { UrlFolderOptions, UrlOptions } from './url-options.ts';

/** A repository of the Hub. */
export interface HubRecipe {
  readonly repoId: string;
  readonly revision: string;
  /** Without a slash at its end. */
  readonly hubUrl: string;
  readonly token: string | undefined;
  readonly options: Pick<UrlOptions, 'signal' | 'fetch'>;
}

/** How a folder was made. */
export type FolderRecipe =
  | { readonly kind: 'url'; readonly base: string; readonly options: UrlFolderOptions }
  | { readonly kind: 'hub'; readonly hub: HubRecipe }
  | { readonly kind: 'kept'; readonly folder: FolderRecipe; readonly options: object }
  | { readonly kind: 'files'; readonly files: ReadonlyMap<string, unknown>; readonly label: string }
  | { readonly kind: 'handle'; readonly handle: object };

const recipes = new WeakMap<FolderSource, FolderRecipe>();

/** Remembers how a folder was made. @returns the folder */
export function madeBy(recipe: FolderRecipe, folder: FolderSource): FolderSource {
  recipes.set(folder, recipe);
  return folder;
}

/** How a folder was made; undefined for one of the caller's own. */
export function recipeOf(folder: FolderSource): FolderRecipe | undefined {
  return recipes.get(folder);
}
