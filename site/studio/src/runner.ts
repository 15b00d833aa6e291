/** Runs one piece of work at a time: with a button that ends it, progress, and what it throws shown. */

import { box, button, element } from '../../shared/elements.ts';
import type { Progress } from '../../shared/progress.ts';
import type { Watch } from './edit.ts';

/** Buttons that begin what runs alone. */
const WORKERS = ['edit', 'find', 'caption', 'suggest', 'plan', 'blank', 'measure'];

/** What a piece of work returns is said at its end. */
type Work = (watch: Watch) => Promise<string>;

/** The one that runs. */
export class Runner {
  readonly #progress: Progress;
  readonly #preview: HTMLCanvasElement;
  readonly #onLock: () => void;
  /** Shows an error. */
  readonly #failed: (error: unknown) => Promise<void>;
  #running: AbortController | undefined;
  #locked = false;
  #closed = false;
  /** The button that had focus when it began. */
  #began: HTMLButtonElement | undefined;

  /** @param onLock told when what runs begins or ceases to need the picture as it is */
  constructor(
    progress: Progress,
    preview: HTMLCanvasElement,
    onLock: () => void,
    failed: (error: unknown) => Promise<void>,
  ) {
    [this.#progress, this.#preview, this.#onLock, this.#failed] = [progress, preview, onLock, failed];
  }

  /** Whether what runs needs the picture as it is. */
  get locked(): boolean {
    return this.#locked;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get runs(): boolean {
    return this.#running !== undefined;
  }

  /** Nothing can be run. */
  close(): void {
    this.#closed = true;
    for (const one of WORKERS.map(button)) one.disabled = true;
  }

  /** Ends what runs. */
  cancel(): void {
    this.#running?.abort();
  }

  /** Runs a piece of work, which can be cancelled. @returns whether it came to its end */
  async run(text: string, work: Work): Promise<boolean> {
    if (this.#closed) return false;
    if (this.#running) {
      this.#progress.say('Something is running already; cancel it first.');
      return false;
    }
    const running = new AbortController();
    this.#running = running;
    this.#progress.begin(text);
    this.#enable(false);
    const { signal } = running;
    const onProgress = this.#progress.step.bind(this.#progress);
    try {
      this.#progress.end(await work({ signal, onProgress, preview: this.#preview }));
      return true;
    } catch (error) {
      if (signal.aborted) this.#progress.end('Cancelled.');
      else await this.#failed(error);
      return false;
    } finally {
      this.#running = undefined;
      this.#preview.hidden = true;
      this.#enable(true);
    }
  }

  /** The same for what needs the picture as it is. */
  async runLocked(text: string, work: Work): Promise<boolean> {
    if (this.#running || this.#closed) return this.run(text, work);
    // On a phone the picture lies above the buttons.
    box('stage').scrollIntoView({ block: 'nearest' });
    this.#lock(true);
    try {
      return await this.run(text, work);
    } finally {
      this.#lock(false);
    }
  }

  #lock(locked: boolean): void {
    this.#locked = locked;
    element('picture-tools', HTMLFieldSetElement).disabled = locked;
    this.#onLock();
  }

  /** Focus goes from the button that begins something to the one that ends it, and back; nobody else's is taken. */
  #enable(free: boolean): void {
    const { activeElement } = document;
    const buttons = WORKERS.map(button);
    const cancel = button('cancel');
    if (!free) this.#began = buttons.find(one => one === activeElement);
    for (const one of buttons) one.disabled = !free;
    cancel.hidden = free;
    if (!free && this.#began) cancel.focus();
    if (free && activeElement === cancel) (this.#began ?? button('edit')).focus();
  }
}
