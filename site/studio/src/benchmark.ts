/** In the worker: how fast the kernels are on the visitor's device, on a device of their own. */
import { type Caps, Gpu } from 'pentimento/kernels';
import { attentionCases } from '../../../bench/kernels/attention-cases.ts';
import type { KernelBench } from '../../../bench/kernels/bench-case.ts';
import { gemmCases } from '../../../bench/kernels/gemm-cases.ts';
import { normCases } from '../../../bench/kernels/norm-cases.ts';
import { prepareRow, type Summary, summary } from '../../../bench/measure.ts';
import { loadTexts } from '../../../src/kernels/load-texts.ts';

/** What the worker tells, a message each. */
export type BenchmarkMessage =
  | { readonly adapter: Caps; readonly of: number }
  | { readonly row: Summary }
  | { readonly done: true }
  | { readonly error: string };

/** Beside the one that warms up; fewer where they take long. */
const [SAMPLES, LEAST_SAMPLES, ENOUGH_MS] = [7, 3, 500];
const SHOWN = /^(matmul (512x512x512|1024x)|conv3x3 1x32|attention 1024|group-norm \+ silu 1x32)/;
/** They take seconds on software. */
const LARGE = /^matmul 1024x/;

/** Measures one kernel after the other until the port says stop. */
export async function benchmark(port: MessagePort): Promise<void> {
  let stopped = false;
  port.onmessage = () => {
    stopped = true;
  };
  const tell = (message: BenchmarkMessage): void => port.postMessage(message);
  try {
    const gpu = await Gpu.request();
    try {
      await loadTexts(gpu.caps);
      const cases = casesOf(gpu.caps);
      tell({ adapter: gpu.caps, of: cases.length });
      for (const one of cases) {
        if (stopped) break;
        tell({ row: await measured(gpu, one) });
      }
    } finally {
      gpu.dispose();
    }
    tell({ done: true });
  } catch (error) {
    tell({ error: error instanceof Error ? error.message : String(error) });
  }
}

/** Products, convolutions, attention and norms of the published models' sizes. */
function casesOf(caps: Caps): KernelBench[] {
  return [...gemmCases(caps), ...attentionCases(caps), ...normCases(caps)].filter(
    ({ name }) => SHOWN.test(name) && !(caps.software && LARGE.test(name)),
  );
}

async function measured(gpu: Gpu, one: KernelBench): Promise<Summary> {
  const row = await prepareRow(gpu, one);
  try {
    const begun = performance.now();
    for (let i = 0; i < SAMPLES; i++) {
      if (i >= LEAST_SAMPLES && performance.now() - begun > ENOUGH_MS) break;
      await row.sample();
    }
    return summary(row);
  } finally {
    row.dispose();
  }
}
