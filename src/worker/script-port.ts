/** A port to a worker whose script is yet to be found. */
import type { PortLike } from './peer.ts';

/** A worker that runs this library's script. */
export interface StartedWorker extends PortLike {
  /** Ends it at once, with all that it holds. */
  terminate(): void;
}

/** For visitors, whose connection broke or whose page is of an older build; then for those who build the page. */
const FIX =
  'Try again, or reload the page. Where it never starts, let the bundler split code (esbuild: --format=esm --splitting), or put ' +
  'pentimento/dist/worker-entry.js beside the bundle; a Content-Security-Policy must allow workers of this origin (worker-src).';

type Listened = Parameters<PortLike['addEventListener']>;
type Sent = Parameters<PortLike['postMessage']>;

/** What a listener for errors hears. */
interface Failure {
  readonly message: string;
  readonly fix: string;
}

/** What is sent waits until a worker has said that it hears; then this is that worker. */
export class ScriptPort implements StartedWorker {
  readonly #listened: Listened[] = [];
  #waiting: Sent[] = [];
  #worker: Worker | undefined;
  #hears = false;
  #ended = false;
  #failure: Failure | undefined;

  /** @param ways what may start it, the likeliest first; undefined where a way is not there */
  constructor(ways: readonly (() => Promise<Worker | undefined>)[]) {
    void this.#start(ways);
  }

  postMessage(...sent: Sent): void {
    if (this.#hears) this.#worker?.postMessage(...sent);
    else if (!this.#ended) this.#waiting.push(sent);
  }

  addEventListener(...listened: Listened): void {
    this.#listened.push(listened);
    if (this.#hears) this.#worker?.addEventListener(...listened);
    if (this.#failure) this.#tell(this.#failure, [listened]);
  }

  removeEventListener(...[type, listener]: Listened): void {
    const at = this.#listened.findIndex(([t, l]) => t === type && l === listener);
    if (at >= 0) this.#listened.splice(at, 1);
    this.#worker?.removeEventListener(type, listener);
  }

  terminate(): void {
    this.#worker?.terminate();
    if (this.#ended) return;
    this.#ended = true;
    this.#waiting = [];
    this.#failure ??= { message: 'it was terminated', fix: 'Start another one, and open the model again.' };
    this.#tell(this.#failure, this.#listened);
  }

  async #start(ways: readonly (() => Promise<Worker | undefined>)[]): Promise<void> {
    const reasons: string[] = [];
    for (const way of ways) {
      try {
        this.#worker = await way();
        if (this.#ended) return this.terminate();
        const reason = this.#worker ? await whyDeaf(this.#worker) : undefined;
        if (this.#ended) return this.terminate();
        if (this.#worker && reason === undefined) return this.#found(this.#worker);
        this.#worker?.terminate();
        if (reason !== undefined) reasons.push(reason);
      } catch (error) {
        reasons.push(error instanceof Error ? error.message : String(error));
      }
    }
    if (this.#ended) return;
    this.#waiting = [];
    this.#failure = { message: `no script of it was found (${reasons.join('; ')})`, fix: FIX };
    this.#tell(this.#failure, this.#listened);
  }

  #found(worker: Worker): void {
    this.#hears = true;
    for (const listened of this.#listened) worker.addEventListener(...listened);
    for (const sent of this.#waiting) worker.postMessage(...sent);
    this.#waiting = [];
  }

  #tell(failure: Failure, listened: readonly Listened[]): void {
    for (const [type, listener] of [...listened]) if (type === 'error') queueMicrotask(() => listener(failure));
  }
}

/** Waits until the script hears, which is undefined, or cannot be run: why. */
function whyDeaf(worker: Worker): Promise<string | undefined> {
  return new Promise(resolve => {
    const first = (event: Event): void => {
      worker.removeEventListener('message', first);
      worker.removeEventListener('error', first);
      event.preventDefault(); // the next way may be there
      resolve(event.type === 'message' ? undefined : (event as ErrorEvent).message || 'a file is not there');
    };
    worker.addEventListener('message', first);
    worker.addEventListener('error', first);
  });
}
