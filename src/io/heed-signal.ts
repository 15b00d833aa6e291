/** A folder that reads no more once a signal fires: who opens a model from it ends at once, wherever he is. */
import type { AbortSignalLike } from '../core/platform.ts';
import { type ByteSource, type FolderSource, readRanges } from '../core/tensor-source.ts';
import { unlessAborted } from '../core/unless-aborted.ts';

/**
 * Runs `open` on a folder whose reads end with the signal. What is read after `open` has ended heeds it no more.
 * @param folder where it reads
 * @param signal absent: the folder itself is handed on
 * @param open closes what it has opened where it fails
 * @returns what it returns
 * @throws what it throws; the signal's reason
 */
export async function heedSignal<T>(
  folder: FolderSource,
  signal: AbortSignalLike | undefined,
  open: (folder: FolderSource) => Promise<T>,
): Promise<T> {
  // What is no folder is for `open` to refuse.
  if (!signal || typeof Object(folder).bytes !== 'function') return open(folder);
  let opening = true;
  const heed = <R>(work: Promise<R>): Promise<R> => (opening ? unlessAborted(signal, work) : work);
  const heeding = (bytes: ByteSource): ByteSource => ({
    ...bytes,
    label: bytes.label,
    byteLength: bytes.byteLength,
    read: (offset, into) => heed(bytes.read(offset, into)),
    ...(bytes.readMany && { readMany: (ranges, own) => heed(readRanges(bytes, ranges, own)) }),
    close: async () => bytes.close?.(),
  });
  const { list } = folder;
  try {
    return await open({
      label: folder.label,
      has: path => heed(folder.has(path)),
      text: path => heed(folder.text(path)),
      async bytes(path): Promise<ByteSource> {
        const opened = folder.bytes(path);
        try {
          return heeding(await heed(opened));
        } catch (error) {
          void opened.then(
            late => late.close?.(),
            () => undefined,
          );
          throw error;
        }
      },
      ...(list && { list: path => heed(list.call(folder, path)) }),
    });
  } finally {
    opening = false;
  }
}
