/**
 * One row of the benchmark: buffers filled, pipelines compiled, the result compared, samples taken, and the result compared with the
 * first one's bits again. What is wrong has no speed. Nothing here is of Node.
 */
import { floatsOfHalves, halvesOfFloats } from '../src/core/convert-bits.ts';
import { type BufferSlice, createStorage, destroySlice, readSlice, writeSlice } from '../src/gpu/buffer.ts';
import type { Gpu } from '../src/gpu/device.ts';
import { DispatchList } from '../src/kernels/dispatch.ts';
import { type Storage, storageBytes } from '../src/kernels/kernel.ts';
import type { Meter, Reading } from '../src/tuning/meter.ts';
import { bytesOf, flopsOf, type KernelCase } from './kernels/kernel-case.ts';
import { randoms } from './random.ts';
import type { Bound, Ceilings, KernelRow, Times } from './schema.ts';

/** A case that is ready to run. */
export interface PreparedRow {
  readonly row: KernelCase;
  /** Cold: WGSL to pipelines, and what drivers leave to the first run. */
  readonly compileMs: number;
  /** Against f64. */
  readonly errors: Errors;
  readonly wrong: boolean;
  /** Takes one; nothing where the row is wrong. */
  sample(): Promise<void>;
  /** What is kept, rates at the median. Reads the result once more. */
  summary(ceilings: Ceilings): Promise<KernelRow>;
  dispose(): void;
}

/** How far a result is from what was expected. */
export interface Errors {
  /** Relative L2 over sampled elements; NaN where anything is not finite, or was not written. */
  readonly error: number;
  /** Largest difference over the root mean square of what was expected. */
  readonly maxError: number;
}

/** A sample lasts at least so long; shorter operations are repeated within it. */
const SAMPLE_MS = 20;
/** Elements that are compared: as many as cost about so many operations of the host, within bounds. */
const [CHECK_FLOPS, LEAST_CHECKED, MOST_CHECKED] = [2 ** 26, 48, 512];
/** Relative L2 above which a row is wrong: of f32 activations, of 16-bit ones, which are rounded to 11 bits. */
const BOUNDS = { single: 1e-5, half: 3e-3 };

/** The relative L2 beyond which a result is wrong, by the storage of its operands. */
function errorBound(storage: Readonly<Record<string, string>>): number {
  const { activations = 'f32' } = storage;
  return activations === 'f32' ? BOUNDS.single : BOUNDS.half;
}

/** Told apart from texts that were compiled before, so that each row compiles cold. */
let salt = 0;

/** Fills, compiles, runs once and compares. */
export async function prepareRow(gpu: Gpu, meter: Meter, row: KernelCase): Promise<PreparedRow> {
  const slices: Record<string, BufferSlice> = {};
  const list = new DispatchList(gpu);
  const dispose = (): void => {
    list.dispose();
    Object.values(slices).forEach(destroySlice);
  };
  try {
    const inputs = fill(gpu, row, slices);
    const mark = `\n// row ${salt++}`;
    for (const [i, call] of row.calls.entries()) {
      const others = Object.entries(row.bound?.[i] ?? {}).map(([name, buffer]) => [
        name,
        slices[buffer] as BufferSlice,
      ]);
      list.add({ ...call, source: call.source + mark }, { ...slices, ...Object.fromEntries(others) });
    }
    const start = performance.now();
    await list.build();
    const buildMs = performance.now() - start;
    const runMs = async (): Promise<number> => {
      const from = performance.now();
      list.submit();
      await gpu.idle();
      return performance.now() - from;
    };
    const firstMs = await runMs();
    const result = await read(gpu, row, slices);
    const errors = errorsOf(row, result, inputs);
    const wrong = !(errors.error <= errorBound(row.storage));
    const warmMs = wrong ? firstMs : Math.min(await runMs(), await runMs());
    const compileMs = buildMs + Math.max(0, firstMs - warmMs);
    const times = Math.max(1, Math.ceil(SAMPLE_MS / warmMs));
    const samples: Reading[] = [];
    return {
      ...{ row, compileMs, errors, wrong, dispose },
      async sample() {
        if (!wrong) samples.push(await meter.measure(list, times));
      },
      async summary(ceilings) {
        // A kernel that is right at first and wrong in a run of many has no speed either.
        const last = wrong ? result : await read(gpu, row, slices);
        const stable = last.every((value, i) => Object.is(value, result[i]));
        const taken = wrong || !stable ? [] : samples;
        return {
          ...summaryOf(row, ceilings, errors, compileMs, timesOf(taken, meter)),
          ...(wrong || !stable ? { wrong: true } : {}),
        };
      },
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** Inputs of seeded numbers; the result begins as NaN, so that what is not written shows. */
function fill(gpu: Gpu, row: KernelCase, slices: Record<string, BufferSlice>): Map<string, Float32Array> {
  const inputs = new Map<string, Float32Array>();
  Object.entries(row.buffers).forEach(([name, [elements, storage]], i) => {
    const count = elements + (elements % 2);
    const slice = createStorage(gpu, count * storageBytes(storage), name);
    slices[name] = slice;
    const numbers = name === row.output ? new Float32Array(count).fill(Number.NaN) : randoms(count, i + 1);
    const { bytes, values } = stored(numbers, storage);
    if (name !== row.output) inputs.set(name, values);
    writeSlice(gpu, slice, bytes);
  });
  return inputs;
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

async function read(gpu: Gpu, row: KernelCase, slices: Readonly<Record<string, BufferSlice>>): Promise<Float32Array> {
  const [elements = 0, storage = 'f32'] = row.buffers[row.output] ?? [];
  const bytes = await readSlice(gpu, slices[row.output] as BufferSlice);
  return (storage === 'f32' ? new Float32Array(bytes) : floatsOfHalves(new Uint16Array(bytes))).subarray(0, elements);
}

/** Compares sampled elements; all of them must be finite. */
export function errorsOf(row: KernelCase, result: Float32Array, inputs: ReadonlyMap<string, Float32Array>): Errors {
  if (!result.every(Number.isFinite)) return { error: Number.NaN, maxError: Number.NaN };
  const elements = result.length;
  const wished = CHECK_FLOPS / Math.max(1, row.hostFlops ?? flopsOf(row) / elements);
  const checked = Math.min(elements, MOST_CHECKED, Math.max(LEAST_CHECKED, Math.floor(wished)));
  const values = (name: string): ArrayLike<number> => inputs.get(name) ?? [];
  const chance = randoms(checked, 97);
  let [wrong, whole, most] = [0, 0, 0];
  for (let i = 0; i < checked; i++) {
    // One of each stretch, by chance: a stride would meet the same column of every tile. First and last are among them.
    const stretch = elements / checked;
    const within = i === 0 ? 0 : i === checked - 1 ? 1 : ((chance[i] ?? 0) + 1) / 2;
    const at = Math.min(elements - 1, Math.floor((i + within) * stretch));
    const wanted = row.expected(values, at);
    const difference = Math.abs((result[at] ?? Number.NaN) - wanted);
    wrong += difference ** 2;
    whole += wanted ** 2;
    most = Math.max(most, difference);
  }
  return { error: Math.sqrt(wrong / whole), maxError: most / Math.sqrt(whole / checked) };
}

/** The spread of what a clock said, and the processor's median; nulls where there is nothing. */
export function timesOf(samples: readonly Reading[], meter: Pick<Meter, 'costOf'>): Times {
  const { minMs, medianMs, p90Ms } = spread(samples.map(sample => meter.costOf(sample)));
  return {
    minMs,
    medianMs,
    p90Ms,
    cpuMs: finite(1000 * (spread(samples.map(({ cpu }) => cpu)).medianMs ?? Number.NaN)),
  };
}

function summaryOf(row: KernelCase, ceilings: Ceilings, errors: Errors, compileMs: number, times: Times): KernelRow {
  const { name, op, shape, storage, variant, tiles } = row;
  const [flops, bytes] = [flopsOf(row), bytesOf(row)];
  const { bound, leastMs } = boundOf(row, ceilings);
  const rate = (amount: number): number | null => (times.medianMs === null ? null : amount / times.medianMs / 1e6);
  return {
    ...{ name, op, shape, storage, variant, tiles, ...times },
    gflops: rate(flops),
    gbs: rate(bytes),
    intensity: flops / bytes,
    bound,
    share: times.medianMs === null ? null : leastMs / times.medianMs,
    compileMs,
    error: finite(errors.error),
    maxError: finite(errors.maxError),
  };
}

/** The ceiling that a row would reach first, and the least time that it leaves. */
export function boundOf(row: KernelCase, ceilings: Ceilings): { readonly bound: Bound; readonly leastMs: number } {
  const matrix = row.calls.some(({ kernel }) => kernel.endsWith('-matrix')) ? ceilings.matrix : null;
  // Kernels sum in f32 whatever they store, so that no other arithmetic than these binds them.
  const [arithmetic, rate] = matrix === null ? (['fmaF32', ceilings.fmaF32] as const) : (['matrix', matrix] as const);
  const [computing, moving] = [flopsOf(row) / rate / 1e6, bytesOf(row) / ceilings.copy / 1e6];
  return computing >= moving ? { bound: arithmetic, leastMs: computing } : { bound: 'copy', leastMs: moving };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** Smallest, middle and nearly largest of the samples. */
export function spread(ms: readonly number[]): Omit<Times, 'cpuMs'> {
  const sorted = [...ms].sort((a, b) => a - b);
  const at = (share: number): number | null =>
    finite(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN);
  return { minMs: at(0), medianMs: at(0.5), p90Ms: at(0.9) };
}
