/**
 * Who may write what is kept: many read a file at once, one writes it. Between tabs and workers of an origin the browser's Web Locks
 * see to it; where there are none, a list of this thread's own.
 */
import type { AbortSignalLike } from '../../core/platform.ts';

/** Given back once. */
export type Release = () => void;

interface Waiting {
  readonly shared: boolean;
  readonly go: () => void;
}

/** A lock of this thread. */
interface Held {
  readers: number;
  writing: boolean;
  readonly waiting: Waiting[];
}

const held = new Map<string, Held>();

function browserLocks(): LockManager | undefined {
  return (globalThis.navigator as Partial<Navigator> | undefined)?.locks;
}

/**
 * Waits for a lock.
 * @param name of what is locked
 * @param shared with others that read
 * @param signal ends the waiting with its reason
 */
export async function lock(name: string, shared: boolean, signal?: AbortSignalLike): Promise<Release> {
  signal?.throwIfAborted();
  const locks = browserLocks();
  if (!locks) return ownLock(name, shared, signal);
  return new Promise((resolve, reject) => {
    const mode = shared ? 'shared' : 'exclusive';
    const options: LockOptions = signal ? { mode, signal: signal as AbortSignal } : { mode };
    const hold = (): Promise<void> => new Promise(done => resolve(once(done)));
    locks.request(name, options, hold).catch(reject);
  });
}

/** A lock for writing, if nobody has it now. */
export async function lockIfFree(name: string): Promise<Release | undefined> {
  const locks = browserLocks();
  if (!locks) {
    const own = held.get(name);
    return own && (own.readers > 0 || own.writing || own.waiting.length > 0) ? undefined : ownLock(name, false);
  }
  return new Promise((resolve, reject) => {
    const hold = (given: Lock | null): Promise<void> | undefined => {
      if (given) return new Promise(done => resolve(once(done)));
      resolve(undefined);
      return undefined;
    };
    locks.request(name, { mode: 'exclusive', ifAvailable: true }, hold).catch(reject);
  });
}

function ownLock(name: string, shared: boolean, signal?: AbortSignalLike): Promise<Release> {
  const own = held.get(name) ?? { readers: 0, writing: false, waiting: [] };
  held.set(name, own);
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      own.waiting.splice(own.waiting.indexOf(waiting), 1);
      reject(signal?.reason);
    };
    const go = (): void => {
      signal?.removeEventListener('abort', stop);
      if (shared) own.readers++;
      else own.writing = true;
      resolve(
        once(() => {
          if (shared) own.readers--;
          else own.writing = false;
          next(name, own);
        }),
      );
    };
    const waiting: Waiting = { shared, go };
    own.waiting.push(waiting);
    signal?.addEventListener('abort', stop);
    next(name, own);
  });
}

/** Lets in who comes next: one that writes, or all that read before the next that writes. */
function next(name: string, own: Held): void {
  for (let [first] = own.waiting; first; [first] = own.waiting) {
    if (own.writing || (!first.shared && own.readers > 0)) return;
    own.waiting.shift();
    first.go();
  }
  if (own.readers === 0 && !own.writing) held.delete(name);
}

function once(work: () => void): Release {
  let done = false;
  return () => {
    if (!done) work();
    done = true;
  };
}
