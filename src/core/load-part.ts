/** Parts of the library that lie in files of their own and are loaded when they are used. */
import { LoadError } from './errors.ts';

/**
 * Loads such a part. What the platform says of a file that did not come names no remedy, and in some browsers not even the file.
 * @param part what is loaded, for the message: 'the decoder of GIF files'
 * @param load imports it; the address stands there, where bundlers find it
 * @throws LoadError
 */
export async function loadPart<T>(part: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw new LoadError({
      op: 'import',
      problem: `could not load ${part}`,
      received: `${cause}`,
      fix: inPage() ? 'Try again, or reload the page.' : 'Install it again, or build again.',
      cause,
    });
  }
}

/** Whether a browser runs this: its visitors reload pages, and install nothing by hand. */
export function inPage(): boolean {
  return 'document' in globalThis || 'importScripts' in globalThis;
}
