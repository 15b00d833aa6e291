/** The table of kernels: measured in the worker, shown, and copied as JSON. */
import type { StartedWorker } from 'pentimento/worker';
import type { BenchmarkMessage } from './benchmark.ts';
import { box, button, make } from './elements.ts';
import { saveText } from './pixels.ts';
import type { BenchmarkRequest } from './worker.ts';

type Row = Extract<BenchmarkMessage, { row: unknown }>['row'];
type Adapter = Extract<BenchmarkMessage, { adapter: unknown }>['adapter'];

/** How it is watched and ended. */
interface Watch {
  readonly signal: AbortSignal;
  readonly onRow: (step: number, of: number) => void;
}

/** The table. */
export class KernelTable {
  #adapter: Adapter | undefined;
  #rows: Row[] = [];

  /** Measures anew. @throws the signal's reason; Error with what the worker says */
  async measure(worker: StartedWorker, { signal, onRow }: Watch): Promise<void> {
    this.#rows = [];
    this.#adapter = undefined;
    this.#show();
    const { port1, port2 } = new MessageChannel();
    const ask: BenchmarkRequest = { studio: 'benchmark', port: port2 };
    // The library's own type knows buffers alone.
    (worker as unknown as Worker).postMessage(ask, [port2]);
    const stop = (): void => port1.postMessage('stop');
    signal.addEventListener('abort', stop);
    try {
      let of = 1;
      await new Promise<void>((resolve, reject) => {
        port1.onmessage = ({ data }: MessageEvent<BenchmarkMessage>) => {
          if ('error' in data) reject(new Error(data.error));
          else if ('done' in data) resolve();
          else if ('adapter' in data) [this.#adapter, of] = [data.adapter, data.of];
          else {
            this.#rows.push(data.row);
            this.#show();
          }
          if ('row' in data || 'adapter' in data) onRow(this.#rows.length, of);
        };
      });
      signal.throwIfAborted();
    } finally {
      signal.removeEventListener('abort', stop);
      port1.close();
    }
  }

  /** Copies all that was measured; as a file where the browser keeps its clipboard to itself. @returns what was done */
  async copy(): Promise<string> {
    const text = JSON.stringify(
      { version: 1, browser: navigator.userAgent, adapter: this.#adapter, kernels: this.#rows },
      undefined,
      2,
    );
    try {
      await navigator.clipboard.writeText(text);
      return 'The table is in the clipboard, as JSON.';
    } catch {
      saveText(text, 'pentimento-kernels.json');
      return 'The table is saved as a file: this browser lets nothing into its clipboard.';
    }
  }

  #show(): void {
    button('copy-kernels').hidden = this.#rows.length === 0;
    box('kernels-out').hidden = this.#rows.length === 0;
    const heads = ['kernel', 'ms', 'GFLOP/s', 'GB/s'].map(text => make('th', { scope: 'col' }, text));
    const rows = this.#rows.map(row => {
      const { name, medianMs, gflops, gbs } = {
        ...row,
        medianMs: Number(row.medianMs),
        gflops: Number(row.gflops),
        gbs: Number(row.gbs),
      };
      const numbers = [medianMs.toFixed(medianMs < 10 ? 2 : 0), rounded(gflops), rounded(gbs)];
      return make('tr', {}, make('th', { scope: 'row' }, ...named(name)), ...numbers.map(text => make('td', {}, text)));
    });
    const { vendor = '', architecture = '' } = this.#adapter ?? {};
    const caption = `Medians; ${[vendor, architecture].filter(Boolean).join(' ') || 'an adapter without a name'}.`;
    box('kernels-out').replaceChildren(
      make(
        'table',
        {},
        make('caption', {}, caption),
        make('thead', {}, make('tr', {}, ...heads)),
        make('tbody', {}, ...rows),
      ),
    );
  }
}

/** The operation, and its shape and storage below. */
function named(name: string): (Node | string)[] {
  const cut = /^(group-norm \+ silu|\S+) (.*)$/.exec(name);
  if (!cut) return [name];
  const [, operation = '', rest = ''] = cut;
  return [
    operation,
    make('small', {}, rest.replace(/weights (\S+) activations (\S+)/, '$1 × $2').replace('activations ', '')),
  ];
}

function rounded(value: number): string {
  return value < 100 ? value.toPrecision(2) : value.toFixed(0);
}
