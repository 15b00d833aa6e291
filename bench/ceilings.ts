/**
 * What an adapter can do at most, by micro-kernels that do nothing else: multiply-adds from registers in f32 and f16, products of matrix units
 * from registers, and a copy. Each result is checked, and each rate is a median.
 */
import { DeviceError } from '../src/core/errors.ts';
import { type BufferSlice, copySlice, createStorage, destroySlice, readSlice, writeSlice } from '../src/gpu/buffer.ts';
import type { Gpu } from '../src/gpu/device.ts';
import { DispatchList } from '../src/kernels/dispatch.ts';
import { familyText } from '../src/kernels/family-texts.ts';
import type { KernelCall } from '../src/kernels/kernel.ts';
import { loadTexts } from '../src/kernels/load-texts.ts';
import type { Meter } from '../src/tuning/meter.ts';
import copySource from './ceilings/copy.wgsl';
import fmaSource from './ceilings/fma.wgsl';
import matrixSource from './ceilings/matrix.wgsl';
import { costs } from './cost.ts';
import type { Ceilings } from './schema.ts';

/** How long and how large the micro-kernels are. */
export interface CeilingOptions {
  /** Of each micro-kernel; default 5. */
  readonly samples?: number | undefined;
  /** A sample lasts at least so long, in ms; default 20. */
  readonly leastMs?: number | undefined;
  /** Bytes that the copy reads; default 64 MiB in software, 256 MiB on cards, or the largest binding where that is less. */
  readonly copyBytes?: number | undefined;
  /** Numbers of chains that are tried; default all. */
  readonly chains?: readonly number[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A micro-kernel with its buffers. */
interface Micro {
  readonly call: KernelCall;
  readonly buffers: Readonly<Record<'x' | 'y', BufferSlice>>;
  /** Operations, or bytes, of a run. */
  readonly work: number;
  /** Whether what a run left is right. */
  right(): Promise<boolean>;
}

const THREADS = 64;
const STEPS = 256;
/** Workgroups: enough for the largest cards; software takes few. */
const GROUPS = { software: 64, card: 16384 };
/** Loops that keep every sum exact: (STEPS + 3) * 4 chains * loops < 2^24. */
const MOST_LOOPS = 16000;
const COPY = { threads: 64, each: 8 };
const BYTES = { software: 2 ** 26, card: 2 ** 28 };
/**
 * Chains an invocation: the best is what the adapter can do. GFLOP/s of a core, 2, 3 and 4 chains: Mesa 25's lavapipe 65, 62 and 60, Mesa 26's
 * 38, 45 and 45, SwiftShader 27, 30 and 24; a product and a sum in place of fma() are nowhere faster.
 */
const FMA_CHAINS = [2, 3, 4] as const;

/**
 * Measures the ceilings that a device has.
 * @throws DeviceError where a micro-kernel does not compute what it must
 */
export async function measureCeilings(gpu: Gpu, meter: Meter, options: CeilingOptions = {}): Promise<Ceilings> {
  const { signal } = options;
  await loadTexts(gpu.caps);
  const fmaF32 = await fmaCeiling(gpu, meter, options, false);
  const fmaF16 = gpu.device.features.has('shader-f16') ? await fmaCeiling(gpu, meter, options, true) : null;
  const matrix = gpu.caps.matrix ? await matrixRate(gpu, meter, options) : null;
  signal?.throwIfAborted();
  const bytes = copyBytes(gpu, options);
  const copy = await copyCeiling(gpu, meter, options, bytes);
  return { fmaF32, fmaF16, matrix, copy, copyBytes: bytes };
}

/** Tries every number of chains once, and measures the best. */
async function fmaCeiling(gpu: Gpu, meter: Meter, options: CeilingOptions, half: boolean): Promise<number> {
  const tried: { readonly chains: number; readonly rate: number }[] = [];
  for (const chains of options.chains ?? FMA_CHAINS) {
    options.signal?.throwIfAborted();
    const once = { ...options, samples: 1, leastMs: Math.min(5, options.leastMs ?? 5) };
    tried.push({ chains, rate: await fmaRate(gpu, meter, once, half, chains) });
  }
  const [best] = tried.sort((a, b) => b.rate - a.rate);
  return best ? fmaRate(gpu, meter, options, half, best.chains) : 0;
}

/** Bytes that a whole number of workgroups copy. */
function copyBytes({ caps }: Gpu, { copyBytes: asked }: CeilingOptions): number {
  const wished = asked ?? (caps.software ? BYTES.software : BYTES.card);
  const tile = 16 * COPY.threads * COPY.each;
  return Math.max(1, Math.floor(Math.min(wished, caps.maxBindingBytes, caps.maxBufferBytes) / tile)) * tile;
}

/** Doubles the loops until a run lasts long enough, then takes the median rate. */
async function looped(
  gpu: Gpu,
  meter: Meter,
  options: CeilingOptions,
  make: (loops: number) => Promise<Micro>,
): Promise<number> {
  const { leastMs = 20 } = options;
  for (let loops = 8; ; loops *= 4) {
    const last = loops * 4 > MOST_LOOPS;
    const micro = await make(loops);
    try {
      await runs(gpu, micro, 1); // compiles
      const start = performance.now();
      await runs(gpu, micro, 1);
      if (last || performance.now() - start >= leastMs) return await rateOf(gpu, meter, options, micro);
    } finally {
      release(micro);
    }
  }
}

async function runs(gpu: Gpu, { call, buffers }: Micro, times: number): Promise<void> {
  const list = new DispatchList(gpu);
  list.add(call, buffers);
  await list.build();
  for (let i = 0; i < times; i++) list.submit();
  await gpu.idle();
  list.dispose();
}

/** The median rate in 1e9 a second. @throws DeviceError for a wrong result */
async function rateOf(gpu: Gpu, meter: Meter, options: CeilingOptions, micro: Micro): Promise<number> {
  const { samples = 5, leastMs = 20, signal } = options;
  const list = new DispatchList(gpu);
  try {
    list.add(micro.call, micro.buffers);
    await list.build();
    await meter.measure(list, 1);
    const once = meter.costOf(await meter.measure(list, 1));
    const times = Math.max(1, Math.min(1000, Math.ceil(leastMs / Math.max(once, 1e-3))));
    const taken: number[] = [];
    for (let i = 0; i < samples; i++) {
      signal?.throwIfAborted();
      taken.push(meter.costOf(await meter.measure(list, times)));
    }
    if (!(await micro.right())) throw wrong(gpu, micro.call.kernel);
    return micro.work / median(taken) / 1e6;
  } finally {
    list.dispose();
  }
}

function wrong(gpu: Gpu, op: string): DeviceError {
  return new DeviceError({
    op,
    problem: 'a micro-kernel of the ceilings computes something else than it must',
    received: gpu.caps.description || gpu.caps.device,
    fix: 'Update the driver, or choose another adapter: no speed of this one means anything.',
  });
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

function release({ buffers }: Micro): void {
  Object.values(buffers).forEach(destroySlice);
}

function groupsOf({ caps }: Gpu): number {
  return caps.software ? GROUPS.software : GROUPS.card;
}

function fmaRate(gpu: Gpu, meter: Meter, options: CeilingOptions, half: boolean, chains: number): Promise<number> {
  const groups = groupsOf(gpu);
  const type = half ? 'f16' : 'f32';
  return looped(gpu, meter, options, async loops => {
    const buffers = {
      x: createStorage(gpu, 32, 'multiplier and addend'),
      y: createStorage(gpu, 16 * groups * THREADS, 'sums'),
    };
    writeSlice(gpu, buffers.x, Float32Array.of(1, 1, 1, 1, 1, 1, 1, 1));
    const starts = Array.from({ length: loops }, (_, i) => i & 3).reduce((sum, start) => sum + start + STEPS, 0);
    const values = { Vector: `vec4<${type}>`, Scalar: type, CHAINS: chains, STEPS, THREADS };
    return {
      call: microCall('fma', fmaSource, values, { loops }, groups),
      buffers,
      work: 2 * 4 * chains * STEPS * loops * THREADS * groups,
      right: async () => new Float32Array(await readSlice(gpu, buffers.y)).every(v => v === chains * starts),
    };
  });
}

function matrixRate(gpu: Gpu, meter: Meter, options: CeilingOptions): Promise<number> {
  const { m = 16, n = 16, k = 16, component = 'f16', lanes = 32, pinned = false } = gpu.caps.matrix ?? {};
  const groups = gpu.caps.software ? 16 : 4096;
  const own = 4 * m * n;
  return looped(gpu, meter, options, async loops => {
    const x = Float32Array.from({ length: k * Math.max(m, n) }, (_, i) => (i % 3 === 0 ? 1 : 0));
    const buffers = {
      x: createStorage(gpu, x.byteLength, 'factors'),
      y: createStorage(gpu, 4 * groups * 2 * own, 'sums'),
    };
    writeSlice(gpu, buffers.x, x);
    const values = { Component: component, SIDE_M: m, SIDE_N: n, SIDE_K: k, LANES: lanes, THREADS: 2 * lanes };
    const entry = familyText(pinned ? 'lib/matrix-entry-pinned' : 'lib/matrix-entry');
    const wanted = (at: number): number => {
      const [row, column] = [Math.floor((at % (m * n)) / n), at % n];
      let sum = 0;
      for (let i = 0; i < k; i++) sum += (x[row * k + i] ?? 0) * (x[i * n + column] ?? 0);
      return loops * sum;
    };
    return {
      call: { ...microCall('matrix', matrixSource, values, { loops }, groups), libs: [entry] },
      buffers,
      work: 2 * 4 * m * n * k * loops * 2 * groups,
      right: async () => new Float32Array(await readSlice(gpu, buffers.y)).every((v, i) => v === wanted(i)),
    };
  });
}

/** The faster of a kernel's copy and the queue's own: in software kernels move a value a lane at a time, and memory can do more. */
async function copyCeiling(gpu: Gpu, meter: Meter, options: CeilingOptions, bytes: number): Promise<number> {
  const micro = await copyMicro(gpu, bytes);
  const run = async (): Promise<void> => {
    options.signal?.throwIfAborted();
    copySlice(gpu, micro.buffers.x, micro.buffers.y);
    await gpu.idle();
  };
  try {
    const byKernel = await rateOf(gpu, meter, options, micro);
    await costs(1, run);
    const taken = await costs(options.samples ?? 5, run);
    if (!(await micro.right())) throw wrong(gpu, 'copyBufferToBuffer');
    return Math.max(byKernel, micro.work / median(taken.map(cost => meter.costOf(cost))) / 1e6);
  } finally {
    release(micro);
  }
}

async function copyMicro(gpu: Gpu, bytes: number): Promise<Micro> {
  const buffers = { x: createStorage(gpu, bytes, 'copied from'), y: createStorage(gpu, bytes, 'copied to') };
  const block = new Uint32Array(Math.min(bytes, 2 ** 22) / 4);
  for (let at = 0; at < bytes; at += block.byteLength) {
    for (let i = 0; i < block.length; i++) block[i] = Math.imul(at / 4 + i, 0x9e3779b1);
    const rest = Math.min(block.length, (bytes - at) / 4);
    writeSlice(gpu, buffers.x, block.subarray(0, rest), at);
  }
  const part = Math.min(bytes, 4096);
  return {
    call: microCall(
      'copy',
      copySource,
      { THREADS: COPY.threads, EACH: COPY.each },
      {},
      bytes / (16 * COPY.threads * COPY.each),
    ),
    buffers,
    work: 2 * bytes,
    async right() {
      for (let i = 0; i < 16; i++) {
        const offset = Math.floor(((bytes - part) * i) / 15 / 256) * 256;
        const got = new Uint32Array(await readSlice(gpu, { ...buffers.y, offset, size: part }));
        if (!got.every((v, j) => v === Math.imul(offset / 4 + j, 0x9e3779b1) >>> 0)) return false;
      }
      return true;
    },
  };
}

function microCall(
  kernel: string,
  source: string,
  values: KernelCall['values'],
  params: KernelCall['params'],
  tiles: number,
): KernelCall {
  const bindings = [
    { name: 'x', access: 'read' },
    { name: 'y', access: 'write' },
  ] as const;
  // No operations are told: what is cut is no longer one run, and nothing here is long.
  return { kernel, source, libs: [], values, bindings, params, tiles, cost: { flops: 0, bytes: 0 } };
}
