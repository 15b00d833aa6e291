/** In the worker: how fast the kernels are on the visitor's device, on a device of their own. */
import { type Caps, Gpu } from 'pentimento/kernels';
import { measureCeilings } from '../../../bench/ceilings.ts';
import { isLarge, kernelRows } from '../../../bench/kernel-rows.ts';
import { runKernels } from '../../../bench/run-kernels.ts';
import type { KernelRow } from '../../../bench/schema.ts';
import { loadTexts } from '../../../src/kernels/load-texts.ts';
import { Meter } from '../../../src/tuning/meter.ts';

/** What the worker tells, a message each. */
export type BenchmarkMessage =
  | { readonly adapter: Caps; readonly of: number }
  | { readonly row: KernelRow }
  | { readonly done: true }
  | { readonly error: string };

/** Beside the one that warms up; fewer where they take long. */
const [SAMPLES, ENOUGH_MS] = [7, 500];
const SHOWN = /^(matmul (512x512x512|1024x)|conv3x3 1x32|attention 1024|group-norm \+ silu 1x32)/;

/** Measures one kernel after the other until the port says stop. */
export async function benchmark(port: MessagePort): Promise<void> {
  const stopped = new AbortController();
  const { signal } = stopped;
  port.onmessage = () => stopped.abort();
  const tell = (message: BenchmarkMessage): void => port.postMessage(message);
  try {
    const gpu = await Gpu.request();
    try {
      const { caps } = gpu;
      await loadTexts(caps);
      const meter = Meter.create(gpu);
      const rows = kernelRows({ caps }).filter(row => SHOWN.test(row.name) && !(caps.software && isLarge(row)));
      tell({ adapter: caps, of: rows.length });
      const ceilings = await measureCeilings(gpu, meter, { samples: 3, signal });
      const options = { ceilings, samples: SAMPLES, enoughMs: ENOUGH_MS, signal };
      await runKernels(gpu, meter, rows, { ...options, onRow: row => tell({ row }) });
      meter.dispose();
    } finally {
      gpu.dispose();
    }
    tell({ done: true });
  } catch (error) {
    if (signal.aborted) tell({ done: true });
    else tell({ error: error instanceof Error ? error.message : String(error) });
  }
}
