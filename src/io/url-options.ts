/** What the caller says of requests. */
import type { AbortSignalLike, FetchLike } from '../core/platform.ts';

/** How files are fetched. */
export interface UrlOptions {
  /** Request headers, such as an Authorization. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Ends requests with its reason. */
  readonly signal?: AbortSignalLike;
  /** In place of the global `fetch`. */
  readonly fetch?: FetchLike;
  /** Called when a server ignores Range and the file is read whole; throw here to refuse that. */
  readonly onWholeRead?: (message: string) => void;
  /** Largest file to read whole, in bytes; 1 GiB by default. */
  readonly maxWholeBytes?: number;
}

/** The same for all files of a folder. */
export interface UrlFolderOptions extends UrlOptions {
  /**
   * Paths of the files that are there, where they are known: no other one is asked for, so that files that a model may lack leave no 404
   * in a page's console. By default the server is asked.
   */
  readonly files?: readonly string[];
}
