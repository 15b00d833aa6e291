import { alignUp } from '../../src/core/shape.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { DispatchList } from '../../src/kernels/dispatch.ts';
import { type KernelCall, type Storage, storageBytes } from '../../src/kernels/kernel.ts';
import { fromHalf, toHalf } from './half.ts';

/** Contents of a bound buffer: values with a storage form, raw words, or a size for outputs (filled with guards). */
export type Operand =
  | { storage: Storage; values: ArrayLike<number> }
  | { words: Uint32Array }
  | { storage: Storage; size: number };

const GUARD = 0x7e007e00; // NaN as two halves; as f32 a large odd number
const GUARD_WORDS = 64;

/**
 * Runs one kernel call on fresh buffers and reads back every written operand. Each buffer stands between guard words;
 * outputs are pre-filled with the guard pattern. Throws where a guard word changed.
 */
export async function runKernel(gpu: Gpu, call: KernelCall, operands: Record<string, Operand>, maxTiles?: number) {
  const { device } = gpu;
  const list = new DispatchList(gpu);
  const slices: Record<
    string,
    { buffer: GPUBuffer; offset: number; size: number; storage: Storage | 'u32'; length: number }
  > = {};
  for (const [name, operand] of Object.entries(operands)) {
    const { bytes, storage, length } = encode(operand);
    const size = alignUp(Math.max(16, bytes.byteLength), 256);
    const buffer = device.createBuffer({
      size: size + 2 * 4 * GUARD_WORDS,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    const whole = new Uint32Array(buffer.size / 4).fill(GUARD);
    new Uint8Array(whole.buffer).set(bytes, 4 * GUARD_WORDS);
    device.queue.writeBuffer(buffer, 0, whole);
    slices[name] = {
      buffer,
      offset: 4 * GUARD_WORDS,
      size: operandBytes(operand),
      storage,
      length,
    };
  }
  list.add(call, slices, maxTiles);
  await list.build();
  await gpu.guarded(call.kernel, () => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    list.encode(pass);
    pass.end();
    device.queue.submit([encoder.finish()]);
  });
  const results: Record<string, Float32Array | Uint32Array> = {};
  for (const b of call.bindings) {
    if (b.access === 'read') continue;
    const s = slices[b.name];
    const bytes = await readBack(device, s.buffer);
    const words = new Uint32Array(bytes);
    const from = GUARD_WORDS + s.size / 4;
    for (let i = 0; i < words.length; i++) {
      if ((i < GUARD_WORDS || i >= from) && words[i] !== GUARD) {
        throw new Error(`${call.kernel} wrote outside '${b.name}': guard word ${i - GUARD_WORDS} of ${s.size / 4}`);
      }
    }
    results[b.name] = decode(bytes.slice(4 * GUARD_WORDS), s.storage, s.length);
  }
  list.dispose();
  for (const s of Object.values(slices)) s.buffer.destroy();
  return results as Record<string, Float32Array>;
}

/** Bytes that are bound for an operand. */
export function operandBytes(operand: Operand): number {
  const bytes =
    'words' in operand
      ? operand.words.byteLength
      : ('size' in operand ? operand.size : operand.values.length) * storageBytes(operand.storage);
  return alignUp(Math.max(16, bytes), 16);
}

function encode(operand: Operand): { bytes: Uint8Array; storage: Storage | 'u32'; length: number } {
  if ('words' in operand) {
    const { buffer, byteOffset, byteLength } = operand.words;
    return { bytes: new Uint8Array(buffer, byteOffset, byteLength), storage: 'u32', length: operand.words.length };
  }
  if ('size' in operand) {
    const bytes = new Uint8Array(
      new Uint32Array(Math.ceil((operand.size * storageBytes(operand.storage)) / 4)).fill(GUARD).buffer,
    );
    return { bytes, storage: operand.storage, length: operand.size };
  }
  const { storage, values } = operand;
  const length = values.length;
  if (storage === 'f32') return { bytes: new Uint8Array(Float32Array.from(values).buffer), storage, length };
  if (storage === 'bf16-packed') {
    const words = new Uint32Array(Float32Array.from(values).buffer);
    const half = Uint16Array.from(words, w => w >>> 16);
    return { bytes: new Uint8Array(half.buffer), storage, length };
  }
  return { bytes: new Uint8Array(toHalf(values).buffer), storage, length };
}

function decode(bytes: ArrayBuffer, storage: Storage | 'u32', length: number): Float32Array | Uint32Array {
  if (storage === 'u32') return new Uint32Array(bytes, 0, length);
  if (storage === 'f32') return new Float32Array(bytes, 0, length);
  return fromHalf(new Uint16Array(bytes, 0, length));
}

async function readBack(device: GPUDevice, buffer: GPUBuffer): Promise<ArrayBuffer> {
  const staging = device.createBuffer({ size: buffer.size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const bytes = staging.getMappedRange().slice(0);
  staging.destroy();
  return bytes;
}

/** Seeded numbers in [-1, 1): the same on every run. */
export function randoms(count: number, seed = 1): Float32Array {
  let s = (seed * 2654435761) >>> 0;
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    s = (Math.imul(s ^ (s >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    s ^= s >>> 13;
    values[i] = ((s >>> 8) / 2 ** 24) * 2 - 1;
  }
  return values;
}
