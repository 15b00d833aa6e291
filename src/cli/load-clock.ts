/** How long weights took to load, and how many there were, from the events that tell of it. */
import type { ToldEvent } from './told-event.ts';

/** Adds up the loads of all networks; those that follow each other in a short phase read as one. */
export class LoadClock {
  #ms = 0;
  #bytes = 0;
  /** The load that goes on; `ms` and `bytes` of an event begin anew with each. */
  #now = { ms: 0, step: 0, of: 0 };
  #told = { ms: 0, bytes: 0 };

  /** Takes any event; keeps those of loads. */
  add({ phase, ms, step, of }: ToldEvent): void {
    const goesOn = phase === 'load' && of === this.#now.of && step >= this.#now.step;
    if (!goesOn) this.#end();
    if (phase === 'load') this.#now = { ms, step, of };
  }

  /** Milliseconds of all loads. */
  get ms(): number {
    return this.#ms + this.#now.ms;
  }

  /** Milliseconds and bytes since the last call; undefined where nothing was loaded. */
  take(): { ms: number; bytes: number } | undefined {
    this.#end();
    const [ms, bytes] = [this.#ms - this.#told.ms, this.#bytes - this.#told.bytes];
    this.#told = { ms: this.#ms, bytes: this.#bytes };
    return bytes > 0 ? { ms, bytes } : undefined;
  }

  #end(): void {
    this.#ms += this.#now.ms;
    this.#bytes += this.#now.step;
    this.#now = { ms: 0, step: 0, of: 0 };
  }
}
