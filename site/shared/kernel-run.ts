/** A measurement of the kernels, as the page sees it: asked of the worker, gathered, given as the benchmark's file. */
import type { BenchFile, Ceilings, Feature, KernelRow } from '../../bench/schema.ts';
import type { KernelHead, KernelMessage, KernelRequest } from './kernel-messages.ts';
import { copyOrSave } from './save-file.ts';

/** How it is watched and ended. */
export interface KernelWatch {
  readonly signal: AbortSignal;
  /** Features to do without; default none. */
  readonly without?: readonly Feature[] | undefined;
  /** Rows whose names match; default all. */
  readonly only?: RegExp | undefined;
  /** Something has come. @param step rows that are there */
  readonly onChange: (step: number, of: number) => void;
}

/** The latest measurement. */
export class KernelRun {
  #head: KernelHead | undefined;
  #ceilings: Ceilings | undefined;
  #rows: KernelRow[] = [];

  /** What was known before the first row; undefined before that. */
  get head(): KernelHead | undefined {
    return this.#head;
  }

  get ceilings(): Ceilings | undefined {
    return this.#ceilings;
  }

  get rows(): readonly KernelRow[] {
    return this.#rows;
  }

  /** The benchmark's file of what is there, once ceilings are. */
  get file(): BenchFile | undefined {
    const [head, ceilings] = [this.#head, this.#ceilings];
    return head && ceilings && { ...head, ceilings, rows: this.#rows, networks: [], peers: [] };
  }

  /** Measures anew. @throws the signal's reason; Error with what the worker says, or that it has ended */
  async measure(
    worker: Pick<Worker, 'postMessage' | 'addEventListener' | 'removeEventListener'>,
    { signal, without = [], only, onChange }: KernelWatch,
  ): Promise<void> {
    [this.#head, this.#ceilings, this.#rows] = [undefined, undefined, []];
    const { port1, port2 } = new MessageChannel();
    const ask: KernelRequest = { kernels: 'measure', without, only, port: port2 };
    worker.postMessage(ask, [port2]);
    const stop = (): void => port1.postMessage('stop');
    signal.addEventListener('abort', stop);
    let ended = (_: Event): void => {};
    try {
      let of = 1;
      onChange(0, of);
      await new Promise<void>((resolve, reject) => {
        ended = () =>
          reject(new Error('The worker that measures has failed, or its script did not load: measure again.'));
        worker.addEventListener('error', ended);
        port1.onmessage = ({ data }: MessageEvent<KernelMessage>) => {
          if ('error' in data) reject(new Error(data.error));
          else if ('done' in data) resolve();
          else if ('head' in data) [this.#head, of] = [data.head, data.of];
          else if ('ceilings' in data) this.#ceilings = data.ceilings;
          else this.#rows.push(data.row);
          if (!('error' in data)) onChange(this.#rows.length, of);
        };
      });
      signal.throwIfAborted();
    } finally {
      signal.removeEventListener('abort', stop);
      worker.removeEventListener('error', ended);
      port1.close();
    }
  }

  /** Copies the file; saves it where the browser keeps its clipboard to itself. @returns what was done, in words */
  async copy(): Promise<string> {
    const copied = await copyOrSave(this.text, FILE_NAME);
    return copied
      ? 'The table is in the clipboard, as JSON.'
      : 'The table is saved as a file: this browser lets nothing into its clipboard.';
  }

  /** The file as text; empty where there is none. */
  get text(): string {
    const { file } = this;
    return file ? `${JSON.stringify(file, undefined, 2)}\n` : '';
  }
}

/** How a saved file is called. */
export const FILE_NAME = 'pentimento-bench.json';
