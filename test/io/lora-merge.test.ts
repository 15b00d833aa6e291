import { Float16Array } from '@petamoriken/float16';
import { describe, expect, test } from 'vitest';
import type { StoredTensor, TensorSource } from '../../src/core/tensor-source.ts';
import { type LowRankProduct, mergeLora } from '../../src/io/lora-merge.ts';
import { openSafetensors, type WritableTensor, writeSafetensors } from '../../src/io/safetensors.ts';
import { memorySource } from '../../src/io/sources.ts';
import { maxError } from '../support/close.ts';
import { randoms } from '../support/run-kernel.ts';

/** Elements as a type stores them, and as numbers. */
function stored(dtype: string, values: Float32Array): { data: ArrayBufferView; values: ArrayLike<number> } {
  if (dtype === 'F64') return { data: Float64Array.from(values), values };
  if (dtype === 'F16') {
    const halves = Float16Array.from(values);
    return { data: new Uint16Array(halves.buffer), values: Array.from(halves) };
  }
  if (dtype === 'BF16') {
    const words = Uint16Array.from(new Uint32Array(values.slice().buffer), word => word >>> 16);
    return { data: words, values: new Float32Array(Uint32Array.from(words, word => word << 16).buffer) };
  }
  return { data: values, values };
}

async function open(tensors: Record<string, WritableTensor>): Promise<TensorSource> {
  return openSafetensors(memorySource(writeSafetensors(tensors)));
}

/** Two adapters on one weight, and what must come out: plain loops in f64. */
async function case_(dtype: string, shape: number[], ranks: number[]) {
  let seed = 7;
  const floats = (count: number) => randoms(count, seed++);
  const [rows, ...rest] = shape;
  const width = rest.reduce((a, b) => a * b, 1);
  const base = stored(dtype, floats(rows * width));
  const other: WritableTensor = { dtype: 'F32', shape: [3], data: floats(3) };
  const source = await open({ w: { dtype, shape, data: base.data }, other });
  const expected = Float64Array.from(base.values);
  const products: LowRankProduct[] = [];
  for (const [i, rank] of ranks.entries()) {
    const [down, up, scale] = [floats(rank * width), floats(rows * rank), 0.5 - i];
    const file = await open({
      down: { dtype: 'F32', shape: [rank, ...rest], data: down },
      up: { dtype: 'F32', shape: [rows, rank], data: up },
    });
    products.push({ file, down: 'down', up: 'up', rank, scale });
    for (let o = 0; o < rows; o++)
      for (let j = 0; j < width; j++)
        for (let k = 0; k < rank; k++) expected[o * width + j] += scale * up[o * rank + k] * down[k * width + j];
  }
  return { source, merged: mergeLora(source, new Map([['w', products]])), expected };
}

async function read(source: TensorSource, name: string, start: number, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length);
  await source.read(name, start, into);
  return into;
}

describe('a weight with low-rank products', () => {
  test.each([
    ['F32', [5, 7], [1]],
    ['F16', [8, 33], [3, 4]],
    ['BF16', [6, 4, 3, 3], [5]],
    ['F64', [9, 2, 1, 1], [2, 9]],
    ['F32', [2, 3], [8]],
  ])('%s %j of ranks %j is the sum, rounded once', async (dtype, shape, ranks) => {
    const { merged, expected } = await case_(dtype, shape, ranks);
    const { dtype: shown, byteLength, shape: same } = merged.tensors.get('w') as StoredTensor;
    expect([shown, byteLength, same]).toEqual(['F32', 4 * expected.length, shape]);
    const whole = await read(merged, 'w', 0, byteLength);
    const values = new Float32Array(whole.buffer);
    expect(maxError(values, expected)).toBeLessThanOrEqual(1e-6);
    // Any range is a part of the whole, bit for bit.
    for (const [start, length] of [
      [0, 1],
      [3, 6],
      [byteLength - 5, 5],
      [4, byteLength - 8],
      [7, 0],
    ]) {
      const end = Math.min(byteLength, start + Math.max(0, length));
      expect(await read(merged, 'w', start, end - Math.min(start, end))).toEqual(whole.slice(start, end));
    }
    await expect(read(merged, 'w', byteLength - 3, 4)).rejects.toThrow(/beyond the end of tensor "w"/);
  });

  test('8-bit weights are multiplied by their scale first', async () => {
    const source = await open({
      'a.weight': { dtype: 'F8_E4M3', shape: [2, 2], data: Uint8Array.of(0x38, 0x40, 0xb8, 0x30) }, // 1 2 -1 0.5
      'a.scale_weight': { dtype: 'F32', shape: [], data: Float32Array.of(10) },
    });
    const file = await open({
      down: { dtype: 'F32', shape: [1, 2], data: Float32Array.of(1, 2) },
      up: { dtype: 'F32', shape: [2, 1], data: Float32Array.of(3, 4) },
    });
    const merged = mergeLora(source, new Map([['a.weight', [{ file, down: 'down', up: 'up', rank: 1, scale: 0.5 }]]]));
    expect([...merged.tensors.keys()]).toEqual(['a.weight']);
    expect([...new Float32Array((await read(merged, 'a.weight', 0, 16)).buffer)]).toEqual([11.5, 23, -8, 9]);
  });

  test('others pass as they are, in their order', async () => {
    const { source, merged } = await case_('F16', [4, 4], [1]);
    expect([...merged.tensors.keys()]).toEqual([...source.tensors.keys()]);
    expect(merged.tensors.get('other')).toBe(source.tensors.get('other'));
    expect(await read(merged, 'other', 4, 8)).toEqual(await read(source, 'other', 4, 8));
    await expect(read(merged, 'none', 0, 1)).rejects.toThrow(/no tensor "none"/);
  });

  test('a product of three is the kernel that its convolutions make', async () => {
    const floats = (...shape: number[]): WritableTensor & { data: Float32Array } => {
      const count = shape.reduce((a, b) => a * b, 1);
      return { dtype: 'F32', shape, data: randoms(count, count) };
    };
    const [rows, inputs, inner, rank] = [4, 3, 2, 5];
    const [down, mid, up] = [floats(inner, inputs, 1, 1), floats(rank, inner, 3, 3), floats(rows, rank, 1, 1)];
    const source = await open({
      w: { dtype: 'F32', shape: [rows, inputs, 3, 3], data: new Float32Array(rows * inputs * 9) },
    });
    const product = { file: await open({ down, mid, up }), down: 'down', mid: 'mid', up: 'up', rank, scale: 2 };
    const values = new Float32Array(
      (await read(mergeLora(source, new Map([['w', [product]]])), 'w', 0, rows * inputs * 36)).buffer,
    );
    for (let o = 0; o < rows; o++)
      for (let i = 0; i < inputs; i++)
        for (let tap = 0; tap < 9; tap++) {
          let sum = 0;
          for (let a = 0; a < rank; a++)
            for (let b = 0; b < inner; b++)
              sum += 2 * up.data[o * rank + a] * mid.data[(a * inner + b) * 9 + tap] * down.data[b * inputs + i];
          expect(values[(o * inputs + i) * 9 + tap]).toBeCloseTo(sum, 5);
        }
  });
});

test('a large weight is never whole in memory: reads are small, and so is what is held', async () => {
  const [rows, width, rank] = [8192, 4096, 4]; // 128 MiB
  let largest = 0;
  const source: TensorSource = {
    label: 'large',
    tensors: new Map([['w', { name: 'w', dtype: 'F32', shape: [rows, width], byteLength: 4 * rows * width }]]),
    read: async (_, __, into) => {
      largest = Math.max(largest, into.byteLength);
    },
  };
  const ones = (...shape: number[]): WritableTensor => {
    return { dtype: 'F32', shape, data: new Float32Array(shape[0] * shape[1]).fill(1) };
  };
  const file = await open({ down: ones(rank, width), up: ones(rows, rank) });
  const merged = mergeLora(source, new Map([['w', [{ file, down: 'down', up: 'up', rank, scale: 0.25 }]]]));
  const into = new Uint8Array(32 * 2 ** 20); // as the upload reads
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  for (let start = 0; start < 4 * rows * width; start += into.byteLength) {
    await merged.read('w', start, into);
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    expect(new Float32Array(into.buffer).every(value => value === 1)).toBe(true);
  }
  expect(largest).toBeLessThanOrEqual(4 * 2 ** 20);
  expect(most).toBeLessThan(64 * 2 ** 20);
});
