/**
 * `pentimento/page`: what pages and their workers keep and open beside addresses: weights in the browser's own storage, repositories of
 * the Hub, folders that people pick and drop. @module
 */
export type { MemoryShortage } from './core/errors.ts';
export type { AbortSignalLike, BlobLike, FetchLike } from './core/platform.ts';
export type { ByteRange, ByteSource, FolderSource } from './core/tensor-source.ts';
export { type CachedFolderOptions, type CacheEvent, cachedFolder } from './io/kept/cached-folder.ts';
export { type HubUrlFolderOptions, hubUrlFolder } from './io/kept/hub-url-folder.ts';
export {
  type CachedFile,
  type CachedModel,
  type CacheListing,
  type CacheOptions,
  listCache,
  type Purged,
  type PurgeOptions,
  purge,
} from './io/kept/list-cache.ts';
export {
  type StorageAccess,
  type StorageFile,
  type StorageFolder,
  StorageFullError,
  type StorageWritable,
  type StoredBlob,
} from './io/kept/storage.ts';
export {
  type DirectoryHandleLike,
  type DroppedItemLike,
  type DroppedLike,
  directoryHandleFolder,
  droppedFolder,
} from './io/picked-folders.ts';
export { type UrlFolderOptions, type UrlOptions, urlFolder } from './io/url-source.ts';
