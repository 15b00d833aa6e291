import { describe, expect, it } from 'vitest';
import { alignUp } from '../../src/core/shape.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { conv2d } from '../../src/kernels/conv2d.ts';
import { foldDoubling, foldedRows } from '../../src/kernels/fold-doubling.ts';
import { PANEL } from '../../src/kernels/gemm.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import * as reference from '../reference/gemm.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { packPanels, padRows, unpadRows } from '../support/pack.ts';
import { distinct, type Family, force, stored } from '../support/rows.ts';
import { type Operand, randoms, runKernel } from '../support/run-kernel.ts';

const gpu = await testGpu();
const bare = await testGpu({ bare: true });
const { half } = gpu.caps;
interface Variant {
  name: string;
  gpu: Gpu;
  family: Family;
  weights: Storage;
  /** Of pictures, and of the four kernels. */
  storage: Storage;
}

const named: Variant[] = [
  { name: 'broadcast f32', gpu, family: 'broadcast', weights: 'f32', storage: 'f32' },
  { name: 'broadcast half', gpu, family: 'broadcast', weights: half, storage: half },
  { name: 'broadcast f32 x bfloat16', gpu, family: 'broadcast', weights: 'bf16-packed', storage: 'f32' },
  { name: 'tile f32', gpu: bare, family: 'tile', weights: 'f32', storage: 'f32' },
  { name: 'tile packed', gpu: bare, family: 'tile', weights: 'f16-packed', storage: 'f16-packed' },
];
const variants = distinct(named);
/** Lines of one pixel and of several tiles, pictures that share tiles, channels with padding and more than a panel. */
const CASES = [
  { images: 1, height: 1, width: 1, cin: 1, cout: 1 },
  { images: 2, height: 3, width: 5, cin: 16, cout: 12 },
  { images: 3, height: 5, width: 2, cin: 9, cout: 33 },
  { images: 1, height: 2, width: 35, cin: 8, cout: 40 },
];

describe.each(variants)('a 3 x 3 kernel behind a doubling as four of 2 x 2, $name', v => {
  it.each(CASES)('$images x $height x $width, $cin -> $cout', async c => {
    const [k, columns] = [alignUp(c.cin, 8), alignUp(c.cout, 8)];
    const pixels = c.images * c.height * c.width;
    const x = stored(randoms(pixels * c.cin, 1), v.storage);
    const w = stored(randoms(c.cout * c.cin * 9, 2), v.weights);
    const folding = foldDoubling({ columns, k, weight: v.weights, output: v.storage });
    const size = foldedRows(columns, k, 'all') * PANEL;
    const kernels = {
      b: { storage: v.weights, values: packPanels(w, c.cout, c.cin, 9) },
      y: { storage: v.storage, size },
    };
    const { y: folded } = await runKernel(v.gpu, folding, kernels);
    expect((await runKernel(v.gpu, folding, kernels, 1)).y).toEqual(folded);

    const shape = { kernel: 3, stride: 1, padding: [1, 1, 1, 1] as [number, number, number, number], upsample: true };
    const { data: sums } = reference.conv2d(x, w, { ...c, ...shape });
    const [rows, images] = [4 * pixels, c.images];
    const [add, residual] = [randoms(images * c.cout, 6), randoms(rows * c.cout, 7)];
    const call = conv2d(
      v.gpu.caps,
      {
        ...{ images, height: c.height, width: c.width, channels: k, outChannels: columns },
        ...{ kernel: [2, 2], stride: 1, padding: { top: 1, right: 1, bottom: 1, left: 1 }, phases: 'all' },
        ...{ input: v.storage, weight: v.storage, output: v.storage },
        epilogue: { residual: true, channelAdd: { rowsPerImage: pixels / images, pitch: columns } },
      },
      force(v.family),
    );
    expect(call.cost.flops, 'four taps in place of nine').toBe(2 * rows * columns * k * 4);
    const bias = randoms(c.cout, 5);
    const operands: Record<string, Operand> = {
      a: { storage: v.storage, values: padRows(x, pixels, c.cin) },
      b: { storage: v.storage, values: folded },
      bias: { storage: 'f32', values: [...bias, ...new Float32Array(alignUp(c.cout, 32) - c.cout)] },
      channel_add: { storage: v.storage, values: padRows(add, images, c.cout) },
      residual: { storage: v.storage, values: padRows(residual, rows, c.cout) },
      y: { storage: v.storage, size: rows * columns },
    };
    const [addKept, residualKept] = [stored(add, v.storage), stored(residual, v.storage)];
    const wanted = Array.from(sums, (sum, i) => {
      const image = Math.floor((Math.floor(i / c.cout) * images) / rows);
      return sum + bias[i % c.cout] + addKept[image * c.cout + (i % c.cout)] + residualKept[i];
    });
    const { y: whole } = await runKernel(v.gpu, call, operands);
    // Half: kernels, inputs and outputs are rounded to 11 bits.
    expectClose(unpadRows(whole, rows, c.cout), wanted, v.storage === 'f32' ? 2e-6 : 1e-3);
    expect((await runKernel(v.gpu, call, operands, 1)).y).toEqual(whole);
  });
});

it('refuses a kernel without inputs', () => {
  expect(() => foldDoubling({ columns: 8, k: 0, weight: 'f32', output: 'f32' })).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: fold-doubling: a size must be a positive integer: got 0 (k)]`,
  );
});
