import { describe, expect, it } from 'vitest';
import { convertBits, type FileDType, floatsOfHalves, halvesOfFloats } from '../../src/core/convert-bits.ts';
import { packWeight } from '../../src/kernels/pack-weight.ts';
import { testGpu } from '../support/gpu.ts';
import { fromHalf, toHalf } from '../support/half.ts';
import { runKernel } from '../support/run-kernel.ts';

const gpu = await testGpu();
/** One panel of one place is a row as it lies. */
const ROWS = 32;

/** Converted by the host, in place. */
function onHost(words: Uint32Array, from: FileDType, to: FileDType): Uint32Array {
  const count = from === 'F32' ? words.length : 2 * words.length;
  const room = new Uint8Array(4 * count);
  room.set(new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
  convertBits(room, count, from, to);
  return new Uint32Array(room.buffer, 0, to === 'F32' ? count : count / 2);
}

/** Converted by the kernel: rows of 8 in panels, put back in order. */
async function onDevice(words: Uint32Array, from: FileDType, to: 'f32' | 'f16-packed'): Promise<Uint32Array> {
  const count = from === 'F32' ? words.length : 2 * words.length;
  const panels = count / (8 * ROWS);
  const call = packWeight({ from, to, base: 0, rows: ROWS * panels, k: 8, taps: 1, panel: 0, step: 1, panels });
  const packed = { words: new Uint32Array(to === 'f32' ? count : count / 2) };
  const result = await runKernel(gpu, call, { source: { words }, packed });
  const bytes = result.packed.slice().buffer;
  const flat = to === 'f32' ? new Uint32Array(bytes) : new Uint16Array(bytes);
  const rows = flat.slice();
  flat.forEach((value, at) => {
    const [panel, k, column] = [Math.floor(at / (8 * ROWS)), Math.floor(at / ROWS) % 8, at % ROWS];
    rows[(panel * ROWS + column) * 8 + k] = value;
  });
  return new Uint32Array(rows.buffer);
}

const pairs = Uint32Array.from({ length: 0x8000 }, (_, i) => (2 * i) | ((2 * i + 1) << 16));

describe('conversions of stored floats', () => {
  it('round f32 to f16 to nearest even, subnormals, overflow and specials included, as the kernel does', async () => {
    const bits = Uint32Array.from({ length: 8192 }, (_, i) => (Math.imul(i, 0x9e3779b1) ^ (i << 7)) >>> 0);
    const values = new Float32Array(bits.buffer);
    const near = [65504, 65519.99, 65520, -65536, 1e-8, 2 ** -25, 2 ** -24, 3 * 2 ** -25, 2 ** -14, 6.1e-5];
    values.set([0, -0, Infinity, -Infinity, 1 + 2 ** -11, 1 + 3 * 2 ** -11, ...near]);
    for (let i = 32; i < 4096; i++) values[i] = (values[i] % 7) * 2 ** -(i % 30);
    const converted = new Uint16Array(onHost(bits, 'F32', 'F16').buffer, 0, bits.length);
    const expected = toHalf(values);
    values.forEach((value, i) => {
      if (!Number.isNaN(value)) expect(converted[i], `${value}`).toBe(expected[i]);
      else expect(converted[i] & 0x7fff).toBe(0x7e00);
    });
    expect(await onDevice(bits, 'F32', 'f16-packed')).toEqual(onHost(bits, 'F32', 'F16'));
  });

  it('widen every half and every bfloat16 exactly, bit for bit as the kernel does', async () => {
    const halves = new Float32Array(onHost(pairs, 'F16', 'F32').slice().buffer);
    const all = Uint16Array.from({ length: 0x10000 }, (_, i) => i);
    expect(halves).toEqual(fromHalf(all));
    expect(onHost(pairs, 'BF16', 'F32')).toEqual(Uint32Array.from(all, bits => bits << 16));
    for (const from of ['F16', 'BF16'] as const)
      expect(await onDevice(pairs, from, 'f32')).toEqual(onHost(pairs, from, 'F32'));
  });

  it('round bfloat16 to f16 as through f32', async () => {
    const through = onHost(onHost(pairs, 'BF16', 'F32').slice(), 'F32', 'F16');
    expect(onHost(pairs, 'BF16', 'F16')).toEqual(through);
    expect(await onDevice(pairs, 'BF16', 'f16-packed')).toEqual(through);
  });

  it('of whole arrays leave what they are given as it is', () => {
    const values = Float32Array.of(1, 0.1, -3e-8, 65520);
    expect(halvesOfFloats(values.subarray(1))).toEqual(toHalf(values.subarray(1)));
    expect(values).toEqual(Float32Array.of(1, 0.1, -3e-8, 65520));
    expect(halvesOfFloats(values).buffer.byteLength).toBe(8); // users take the buffer as it is
    const halves = Uint16Array.from({ length: 0x7c01 }, (_, i) => i);
    expect(floatsOfHalves(halves.subarray(1))).toEqual(fromHalf(halves.slice(1)));
  });

  it('leave what has its type already', () => {
    for (const type of ['F16', 'BF16', 'F32'] as const) expect(onHost(pairs, type, type)).toEqual(pairs);
  });
});
