/** What one call lends to the other end: functions, signals and random streams, until it is over. */
import type { AbortSignalLike } from '../core/platform.ts';
import { clonedErrorData, type ErrorData } from './error-data.ts';
import type { Packer, StreamLike } from './pack.ts';

/** The end of a connection that lends. */
interface Lender {
  readonly streams: Map<number, StreamLike>;
  readonly watched: Map<number, AbortSignalLike>;
  number(): number;
  remember(work: (...args: never) => unknown): number;
  forget(ids: readonly number[]): void;
  tell(
    message:
      | { readonly is: 'signal'; readonly id: number; readonly reason: ErrorData }
      | { readonly is: 'ended'; readonly signals: readonly number[] },
  ): void;
}

/** What a listener has thrown. */
export interface Thrown {
  readonly error: unknown;
}

/** What one call lends to the other end, until it is over. */
export class Scope implements Packer {
  readonly functions: number[] = [];
  readonly signals: Map<number, { readonly signal: AbortSignalLike; readonly heard: () => void }> = new Map();
  readonly streams: number[] = [];
  readonly #peer: Lender;
  /** Whether no call runs that could end by what a listener throws. */
  idle: () => boolean = () => false;
  #thrown: Thrown | undefined;

  constructor(peer: Lender) {
    this.#peer = peer;
  }

  keep(work: (...args: never) => unknown): number {
    const id = this.#peer.remember(work);
    this.functions.push(id);
    return id;
  }

  listen(work: (...args: never) => unknown): number {
    // What it returns nobody waits for, and it may be the listener's own: a message would take its arrays away.
    return this.#heed(work, () => undefined);
  }

  ask(work: (...args: never) => unknown): number {
    return this.#heed(work, structuredClone); // the caller's own arrays stay the caller's
  }

  #heed(work: (...args: never) => unknown, answer: (value: unknown) => unknown): number {
    return this.keep((...args: never) => {
      if (this.#thrown) throw this.#thrown.error; // until the call ends by it
      const failed = (error: unknown): never => {
        if (!this.idle()) this.#thrown ??= { error };
        else
          queueMicrotask(() => {
            throw error; // as of any listener: the page reports it
          });
        throw error;
      };
      try {
        const told = work(...args);
        return told instanceof Promise ? told.then(answer).catch(failed) : answer(told);
      } catch (error) {
        return failed(error);
      }
    });
  }

  /** What a listener has thrown, once: the other end knows its like alone, and nothing of what follows its last word. */
  takeThrown(): Thrown | undefined {
    const thrown = this.#thrown;
    this.#thrown = undefined;
    return thrown;
  }

  watch(signal: AbortSignalLike): number {
    const id = this.#peer.number();
    const heard = (): void => this.#peer.tell({ is: 'signal', id, reason: clonedErrorData(signal.reason) });
    this.signals.set(id, { signal, heard });
    this.#peer.watched.set(id, signal);
    signal.addEventListener('abort', heard);
    return id;
  }

  stream(generator: StreamLike): number {
    for (const id of this.streams) if (this.#peer.streams.get(id) === generator) return id;
    const id = this.#peer.number();
    this.streams.push(id);
    this.#peer.streams.set(id, generator);
    return id;
  }

  end(): void {
    for (const { signal, heard } of this.signals.values()) signal.removeEventListener('abort', heard);
    this.#peer.forget(this.functions);
    for (const id of this.streams) this.#peer.streams.delete(id);
    for (const id of this.signals.keys()) this.#peer.watched.delete(id);
    if (this.signals.size > 0) this.#peer.tell({ is: 'ended', signals: [...this.signals.keys()] });
  }
}
