/** The panel that tells how fast the kernels are on the visitor's device. */
import type { StartedWorker } from 'pentimento/worker';
import { box, button } from '../../shared/elements.ts';
import { KernelRun } from '../../shared/kernel-run.ts';
import { kernelTable } from '../../shared/kernel-table.ts';
import type { Progress } from '../../shared/progress.ts';

/** Of the benchmark's rows: products, convolutions, attention and norms of the published models' sizes. */
const SHOWN = /^(matmul (512x512x512|1024x1024)|conv3x3 1x32|attention 1024 tokens x 5|group-norm \+ silu 1x32)/;
const DOING = 'Measuring the kernels…';

/** The table of the latest measurement. */
export class KernelPanel {
  readonly #run = new KernelRun();

  /** Measures anew. @returns what was done, in words @throws as KernelRun.measure */
  async measure(worker: StartedWorker, signal: AbortSignal, progress: Progress): Promise<string> {
    const onChange = (step: number, of: number): void => {
      progress.count(DOING, step, of);
      this.#show();
    };
    // The library's own type knows buffers alone.
    await this.#run.measure(worker as unknown as Worker, { signal, only: SHOWN, onChange });
    return 'The kernels are measured.';
  }

  /** @returns what was done, in words */
  copy(): Promise<string> {
    return this.#run.copy();
  }

  #show(): void {
    const { rows, head } = this.#run;
    const { vendor = '', architecture = '' } = head?.adapter ?? {};
    const caption = `Medians; ${[vendor, architecture].filter(Boolean).join(' ') || 'an adapter without a name'}.`;
    box('kernels-out').hidden = rows.length === 0;
    box('kernels-out').replaceChildren(kernelTable(rows, caption));
    button('copy-kernels').hidden = rows.length === 0;
  }
}
