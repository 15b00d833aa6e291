/** One row of the benchmark: buffers filled, pipelines compiled, samples taken, the result compared. */
import { floatsOfHalves, halvesOfFloats } from '../src/core/convert-bits.ts';
import { type BufferSlice, createStorage, destroySlice, readSlice, writeSlice } from '../src/gpu/buffer.ts';
import type { Gpu } from '../src/gpu/device.ts';
import { DispatchList } from '../src/kernels/dispatch.ts';
import type { Storage } from '../src/kernels/kernel.ts';
import { type Cost, costs, medianOf } from './cost.ts';
import type { KernelBench } from './kernels/bench-case.ts';
import { randoms } from './random.ts';

/** A case that is ready to run. */
export interface BenchRow {
  readonly bench: KernelBench;
  /** Cold: WGSL to pipelines, and what drivers leave to the first run; little where an earlier row has the same. */
  readonly compileMs: number;
  /** Relative L2 over sampled elements, against f64. */
  readonly error: number;
  /** Of one operation. */
  readonly samples: Cost[];
  sample(): Promise<void>;
  dispose(): void;
}

/** What is printed and kept. */
export interface Summary {
  readonly name: string;
  readonly minMs: number;
  readonly medianMs: number;
  readonly p90Ms: number;
  /** Of the processor, over all threads. */
  readonly cpuMs: number;
  readonly gflops: number;
  readonly gbs: number;
  readonly compileMs: number;
  readonly error: number;
  readonly samples: number;
}

/** A sample lasts at least so long; shorter operations are repeated within it. */
const SAMPLE_MS = 20;
const CHECKED = 64;

/** Fills, compiles, runs once and compares. */
export async function prepareRow(gpu: Gpu, bench: KernelBench): Promise<BenchRow> {
  const slices: Record<string, BufferSlice> = {};
  const inputs = new Map<string, Float32Array>();
  Object.entries(bench.buffers).forEach(([name, [elements, storage]], i) => {
    const slice = createStorage(gpu, Math.ceil((elements * (storage === 'f32' ? 4 : 2)) / 4) * 4, name);
    slices[name] = slice;
    const { bytes, values } = stored(randoms(elements + (elements % 2), i + 1), storage);
    inputs.set(name, values);
    writeSlice(gpu, slice, bytes);
  });
  const list = new DispatchList(gpu);
  for (const call of bench.calls) list.add(call, slices);
  const start = performance.now();
  await list.build();
  const buildMs = performance.now() - start;
  const run = async (times: number): Promise<Cost> => {
    const [all] = await costs(1, async () => {
      for (let i = 0; i < times; i++) list.submit();
      await gpu.idle();
    });
    return { ms: (all?.ms ?? Number.NaN) / times, cpu: (all?.cpu ?? Number.NaN) / times };
  };
  const { ms: firstMs } = await run(1);
  const error = await compare(gpu, bench, slices, inputs);
  const { ms: warmMs } = await run(1);
  const compileMs = buildMs + Math.max(0, firstMs - warmMs);
  const times = Math.max(1, Math.ceil(SAMPLE_MS / Math.min(firstMs, warmMs)));
  const samples: Cost[] = [];
  return {
    bench,
    compileMs,
    error,
    samples,
    async sample(): Promise<void> {
      samples.push(await run(times));
    },
    dispose(): void {
      list.dispose();
      Object.values(slices).forEach(destroySlice);
    },
  };
}

/** Values in their storage form, and as the device reads them. */
function stored(
  values: Float32Array<ArrayBuffer>,
  storage: Storage,
): { bytes: Uint8Array<ArrayBuffer>; values: Float32Array } {
  if (storage === 'f32') return { bytes: new Uint8Array(values.buffer), values };
  if (storage === 'bf16-packed') {
    const words = new Uint32Array(values.buffer.slice(0));
    const halves = Uint16Array.from(words, w => w >>> 16);
    return { bytes: new Uint8Array(halves.buffer), values: new Float32Array(words.map(w => w & 0xffff0000).buffer) };
  }
  const halves = halvesOfFloats(values);
  return { bytes: new Uint8Array(halves.buffer), values: floatsOfHalves(halves) };
}

async function compare(
  gpu: Gpu,
  bench: KernelBench,
  slices: Readonly<Record<string, BufferSlice>>,
  inputs: ReadonlyMap<string, Float32Array>,
): Promise<number> {
  const output = slices[bench.output];
  const [elements = 0, storage = 'f32'] = bench.buffers[bench.output] ?? [];
  if (!output) return Number.NaN;
  const bytes = await readSlice(gpu, output);
  const got = storage === 'f32' ? new Float32Array(bytes) : floatsOfHalves(new Uint16Array(bytes));
  const values = (name: string): ArrayLike<number> => inputs.get(name) ?? [];
  let wrong = 0;
  let whole = 0;
  for (let i = 0; i < CHECKED; i++) {
    const at = Math.floor((i * (elements - 1)) / (CHECKED - 1));
    const wanted = bench.expected(values, at);
    wrong += ((got[at] ?? Number.NaN) - wanted) ** 2;
    whole += wanted ** 2;
  }
  return Math.sqrt(wrong / whole);
}

/** The row in numbers; rates at the median. */
export function summary({ bench, samples, compileMs, error }: BenchRow): Summary {
  const { minMs, medianMs, p90Ms } = spread(samples.map(({ ms }) => ms));
  const sum = (key: 'flops' | 'bytes'): number => bench.calls.reduce((total, call) => total + call.cost[key], 0);
  return {
    name: bench.name,
    minMs,
    medianMs,
    p90Ms,
    cpuMs: 1000 * medianOf(samples).cpu,
    gflops: sum('flops') / medianMs / 1e6,
    gbs: sum('bytes') / medianMs / 1e6,
    compileMs,
    error,
    samples: samples.length,
  };
}

/** Smallest, middle and nearly largest of the samples. */
export function spread(ms: readonly number[]): { minMs: number; medianMs: number; p90Ms: number } {
  const sorted = [...ms].sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return { minMs: at(0), medianMs: at(0.5), p90Ms: at(0.9) };
}
