import { expect } from 'vitest';
import { alignUp } from '../../src/core/shape.ts';
import type { Caps } from '../../src/gpu/caps.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { KernelCall, Storage } from '../../src/kernels/kernel.ts';
import type { Tuning } from '../../src/kernels/op.ts';
import { expectClose } from './close.ts';
import { testGpu } from './gpu.ts';
import { fromHalf, toHalf } from './half.ts';
import { type Operand, operandBytes, runKernel } from './run-kernel.ts';

/** Pitch of a row of `width` elements. */
export function pitchOf(width: number): number {
  return alignUp(width, 8);
}

/** Rows of `width` values -> rows of `pitch`, zero behind them. */
export function padRows(values: ArrayLike<number>, width: number, pitch: number = pitchOf(width)): Float32Array {
  const rows = values.length / width;
  const padded = new Float32Array(rows * pitch);
  for (let r = 0; r < rows; r++) for (let c = 0; c < width; c++) padded[r * pitch + c] = values[r * width + c];
  return padded;
}

/** Rows of `pitch` -> rows of `width`; fails where padding is not zero. */
export function unpadRows(padded: ArrayLike<number>, width: number, pitch: number = pitchOf(width)): Float32Array {
  const rows = padded.length / pitch;
  const values = new Float32Array(rows * width);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < pitch; c++) {
      const v = padded[r * pitch + c];
      if (c < width) values[r * width + c] = v;
      else if (!Object.is(v, 0)) expect(v, `padding of row ${r}, lane ${c}`).toBe(0); // asked once, not of each of thousands
    }
  }
  return values;
}

/** The values that a storage form keeps of `values`. */
export function stored(values: ArrayLike<number>, storage: Storage): Float32Array {
  if (storage === 'f32') return Float32Array.from(values);
  if (storage === 'bf16-packed') {
    const words = new Uint32Array(Float32Array.from(values).buffer);
    return new Float32Array(words.map(w => w & 0xffff0000).buffer);
  }
  return fromHalf(toHalf(values));
}

/** The kinds of texts that most ops have (docs/decisions/0003); matrix units read weights in rows, and in panels too. */
export type Family = 'broadcast' | 'tile' | 'matrix' | 'matrix-panels';

/** Tuning that takes one family for every op; linear layers by gemm unless asked otherwise. Undefined leaves the choice free. */
export function force(family: Family | undefined, linear: 'gemm' | 'gemv' = 'gemm'): Tuning | undefined {
  if (!family) return undefined;
  if (family.startsWith('matrix')) {
    const products = { linear: `gemm-${family}`, conv2d: `gemm-${family}`, matmul: 'gemm-matrix' };
    return { force: { ...products, attention: 'attention-matrix' } };
  }
  const stems = {
    ...{ linear, conv2d: 'gemm', matmul: 'gemm', attention: 'attention', softmax: 'softmax' },
    ...{ layerNorm: 'layer-norm', rmsNorm: 'layer-norm', groupNormFinalize: 'group-norm-finalize' },
  };
  return { force: Object.fromEntries(Object.entries(stems).map(([op, stem]) => [op, `${stem}-${family}`])) };
}

/** Where a kernel is tested: a device, a storage form for activations, a family. */
export interface Setting {
  readonly gpu: Gpu;
  readonly storage: Storage;
  readonly family: Family | undefined;
  /** Relative L2 that rounding to the storage form explains: f32 arithmetic, or half an ulp of f16 (2^-12) doubled. */
  readonly tolerance: number;
}

/** Names of the settings that every kernel is tested in; `settingOf` makes one. */
export const SETTINGS = ['f32', 'f16', 'f16 packed'] as const;
/** For kernels of two families: packed with tiles is a bare device without subgroups, packed with broadcasts software Vulkan. */
export const FAMILY_SETTINGS = [
  'f32 broadcast',
  'f32 tile',
  'f16 broadcast',
  'f16 tile',
  'f16 packed broadcast',
  'f16 packed tile',
] as const;

/** Kernels for matrix units, on adapters that have them: singles are rounded to halves on their way in. */
export const MATRIX_SETTINGS = ['f16 matrix', 'f32 matrix'] as const;

/**
 * The device, storage form and family behind a name of SETTINGS or FAMILY_SETTINGS. Where the adapter has no f16, its halves are packed
 * ones: the same kernels on the same devices, compiled once.
 */
export async function settingOf(
  name: (typeof SETTINGS | typeof FAMILY_SETTINGS | typeof MATRIX_SETTINGS)[number],
): Promise<Setting> {
  const own = await testGpu();
  if (name.endsWith('matrix')) {
    const storage = name.startsWith('f32') ? 'f32' : 'f16';
    return { gpu: own, storage, family: 'matrix', tolerance: 1e-3 };
  }
  const hasHalf = own.caps.half === 'f16';
  const packed = name.includes('packed') || (name.startsWith('f16') && !hasHalf);
  const family = name.includes('broadcast') ? 'broadcast' : name.includes('tile') ? 'tile' : undefined;
  const broadcast = hasHalf ? { half: 'f16-packed' as const } : {};
  const gpu = packed ? await testGpu(family === 'broadcast' ? broadcast : { bare: true }) : own;
  const storage = name.startsWith('f32') ? 'f32' : gpu.caps.half;
  return { gpu, storage, family, tolerance: storage === 'f32' ? 2e-6 : 5e-4 };
}

/** The same device, of which less may be used. */
export function limited(gpu: Gpu, caps: Partial<Caps>): Gpu {
  return Object.create(gpu, {
    caps: { value: { ...gpu.caps, ...caps } },
    guarded: { value: gpu.guarded.bind(gpu) },
    check: { value: gpu.check.bind(gpu) },
    idle: { value: gpu.idle.bind(gpu) },
  });
}

/** Least binding with which a call runs: whole operands that have no windows, and windows of a tile, or of 1/64 of many. */
function tightest(call: KernelCall, operands: Record<string, Operand>): number {
  const step = Math.ceil(call.tiles / 64);
  const needed = call.bindings.map(({ name, window }) => {
    const bytes = operandBytes(operands[name]);
    if (!window) return bytes;
    const windows = Array.from({ length: call.tiles }, (_, first) => {
      const [from, to] = window.range(first, Math.min(call.tiles, first + step));
      return (to - from) * window.elementBytes + 256;
    });
    return Math.min(bytes, Math.max(...windows));
  });
  return Math.max(...needed);
}

/**
 * Runs a call unsplit, in ranges of `maxTiles`, and with no more of an operand bound than must be; all must give the same bits.
 * Returns the unsplit results.
 */
export async function runBothWays(
  gpu: Gpu,
  call: KernelCall,
  operands: Record<string, Operand>,
  maxTiles = 1,
): Promise<Record<string, Float32Array>> {
  const whole = await runKernel(gpu, call, operands);
  expectSameBits(call, whole, await runKernel(gpu, call, operands, maxTiles), 'split and unsplit');
  const maxBindingBytes = tightest(call, operands);
  if (Object.values(operands).some(operand => operandBytes(operand) > maxBindingBytes)) {
    const windowed = await runKernel(limited(gpu, { maxBindingBytes }), call, operands);
    expectSameBits(call, whole, windowed, 'windows and whole operands');
  }
  return whole;
}

function expectSameBits(
  call: KernelCall,
  one: Readonly<Record<string, Float32Array>>,
  other: Readonly<Record<string, Float32Array>>,
  between: string,
): void {
  for (const [name, values] of Object.entries(one)) {
    const a = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const b = new Uint8Array(other[name].buffer, other[name].byteOffset, other[name].byteLength);
    const at = a.findIndex((byte, i) => byte !== b[i]);
    expect(at, `${call.kernel}: '${name}' differs between ${between}`).toBe(-1);
  }
}

/** `expectClose` on padded rows: padding zero, values close. */
export function expectRows(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  width: number,
  tolerance: number,
): void {
  expectClose(unpadRows(actual, width), expected, tolerance);
}

/**
 * Variants that differ in more than their name. On a device without f16 the kernels of halves are those of packed halves, on the
 * same data: they run once.
 */
export function distinct<T extends { readonly name: string }>(variants: readonly T[]): T[] {
  const alike = (a: T, b: T): boolean =>
    Object.entries(a).every(([key, value]) => key === 'name' || Reflect.get(b, key) === value);
  return variants.filter((one, i) => variants.findIndex(other => alike(one, other)) === i);
}
