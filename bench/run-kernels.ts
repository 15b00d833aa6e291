/** Measures rows one after the other, other engines beside ours: a sample of ours, a sample of each of theirs, and again. */
import type { Gpu } from '../src/gpu/device.ts';
import type { Meter } from '../src/tuning/meter.ts';
import type { KernelCase } from './kernels/kernel-case.ts';
import { prepareRow } from './measure.ts';
import type { AskedRow } from './peer-protocol.ts';
import type { Ceilings, KernelRow } from './schema.ts';

/** Other engines that run the same rows. */
export interface Opponents {
  /** Makes a row ready on all of them. */
  open(row: AskedRow): Promise<void>;
  /** One sample on each that runs it. */
  sample(): Promise<void>;
  /** Ends the row: `ours` is what they are compared with. */
  close(ours: Pick<KernelRow, 'medianMs' | 'gflops'>): void;
}

/** How rows are measured. */
export interface RunOptions {
  readonly ceilings: Ceilings;
  /** Of each row; a row that takes longer than `enoughMs` in all has fewer, but three. */
  readonly samples: number;
  readonly enoughMs?: number | undefined;
  readonly opponents?: Opponents | undefined;
  /** Told of each row. */
  readonly onRow?: ((row: KernelRow, index: number, of: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const LEAST_SAMPLES = 3;

/**
 * Measures all rows.
 * @throws what `signal` was aborted with, and whatever the device throws
 */
export async function runKernels(
  gpu: Gpu,
  meter: Meter,
  rows: readonly KernelCase[],
  options: RunOptions,
): Promise<KernelRow[]> {
  const made: KernelRow[] = [];
  for (const [i, row] of rows.entries()) {
    options.signal?.throwIfAborted();
    const measured = await measureRow(gpu, meter, row, options);
    made.push(measured);
    options.onRow?.(measured, i, rows.length);
  }
  return made;
}

async function measureRow(gpu: Gpu, meter: Meter, row: KernelCase, options: RunOptions): Promise<KernelRow> {
  const { ceilings, samples, opponents, signal, enoughMs = Number.POSITIVE_INFINITY } = options;
  const prepared = await prepareRow(gpu, meter, row);
  try {
    const { name, op, shape, storage } = row;
    await opponents?.open({ name, op, shape, storage });
    const begun = performance.now();
    for (let i = 0; i < samples; i++) {
      signal?.throwIfAborted();
      if (i >= LEAST_SAMPLES && performance.now() - begun > enoughMs) break;
      await prepared.sample();
      await opponents?.sample();
    }
    const ours = await prepared.summary(ceilings);
    opponents?.close(ours);
    return ours;
  } finally {
    prepared.dispose();
  }
}
