/** Waits that a signal ends. */
import type { AbortSignalLike } from './platform.ts';

/** Waits no longer once the signal fires. @throws its reason */
export async function unlessAborted<T>(signal: AbortSignalLike | undefined, work: Promise<T>): Promise<T> {
  if (!signal) return work;
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
  });
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop);
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
