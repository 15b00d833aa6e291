/** Files whose bytes are on the disk before they get their name. */
import { open } from 'node:fs/promises';

/**
 * As writeFile, and waits until the disk has the bytes: a file that is renamed before that may, after a power cut, have its name and not
 * its bytes.
 * @param path is written over
 * @param signal ends it with its reason
 * @throws what the system says, with its code
 */
export async function writeSynced(path: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(bytes, signal ? { signal } : {});
    await file.sync();
  } finally {
    await file.close();
  }
}
