/** Convolutions of 3 x 3 by patches in workgroup memory, and who gets them. */
import { describe, expect, it } from 'vitest';
import { alignUp } from '../../src/core/shape.ts';
import type { Caps } from '../../src/gpu/caps.ts';
import { DEFAULT_CAPS } from '../../src/gpu/dry-device.ts';
import { CONV2D, type Conv2dProblem, conv2d } from '../../src/kernels/conv2d.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import { choose } from '../../src/kernels/op.ts';
import * as reference from '../reference/gemm.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { packPanels, padRows, unpadRows } from '../support/pack.ts';
import { runBothWays, stored } from '../support/rows.ts';
import { type Operand, randoms } from '../support/run-kernel.ts';

const gpu = await testGpu({ bare: true });
const NOTHING: Operand = { storage: 'f32', values: [0] };
const AROUND = { kernel: [3, 3], stride: 1, padding: { top: 1, right: 1, bottom: 1, left: 1 } } as const;
const patches = { force: { conv2d: 'conv-tile' } };

/** One pixel, edges of tiles (16 lines, 8 pixels, 64 columns) from both sides, pictures that share a tile of no other. */
const CASES = [
  { images: 1, height: 1, width: 1, cin: 1, cout: 1 },
  { images: 2, height: 5, width: 7, cin: 4, cout: 33 },
  { images: 2, height: 17, width: 9, cin: 17, cout: 65 },
  { images: 1, height: 16, width: 24, cin: 16, cout: 128 },
];

function problemOf(c: (typeof CASES)[number], storage: Storage): Conv2dProblem {
  return {
    ...{ images: c.images, height: c.height, width: c.width, ...AROUND },
    ...{ channels: alignUp(c.cin, 8), outChannels: alignUp(c.cout, 8) },
    ...{ input: storage, weight: storage, output: storage },
  };
}

describe.each(['f32', 'f16-packed'] as const)('patches of a map, %s', storage => {
  // f32: sums of up to 153 terms of size 1. Half: inputs and outputs are rounded to 11 bits.
  const tolerance = storage === 'f32' ? 2e-6 : 1e-3;

  it.each(CASES)('$images x $height x $width, $cin -> $cout', async c => {
    const rows = c.images * c.height * c.width;
    const [x, w] = [stored(randoms(rows * c.cin, 1), storage), stored(randoms(c.cout * c.cin * 9, 2), storage)];
    const { data } = reference.conv2d(x, w, { ...c, kernel: 3, stride: 1, padding: [1, 1, 1, 1] });
    const columns = alignUp(c.cout, 8);
    const [bias, add, residual] = [randoms(c.cout, 3), randoms(c.images * c.cout, 4), randoms(rows * c.cout, 5)];
    const epilogue = {
      ...({ activation: 'silu', residual: true } as const),
      channelAdd: { rowsPerImage: rows / c.images, pitch: columns },
    };
    const [addKept, residualKept] = [stored(add, storage), stored(residual, storage)];
    const expected = data.map((sum, i) => {
      const image = Math.floor(((i / c.cout) | 0) / (rows / c.images));
      const activated = reference.activate('silu', sum + bias[i % c.cout]);
      return activated + addKept[image * c.cout + (i % c.cout)] + residualKept[i];
    });
    const call = conv2d(gpu.caps, { ...problemOf(c, storage), epilogue }, patches);
    expect(call.kernel).toBe('conv-tile');
    expect(call.cost.flops).toBe(2 * rows * columns * alignUp(c.cin, 8) * 9);
    const { y } = await runBothWays(gpu, call, {
      a: { storage, values: padRows(x, rows, c.cin) },
      b: { storage, values: packPanels(w, c.cout, c.cin, 9) },
      bias: { storage: 'f32', values: [...bias, ...new Float32Array(alignUp(c.cout, 32) - c.cout)] },
      channel_add: { storage, values: padRows(add, c.images, c.cout) },
      residual: { storage, values: padRows(residual, rows, c.cout) },
      y: { storage, size: rows * columns },
    });
    expectClose(unpadRows(y, rows, c.cout), expected, tolerance);
  });

  it('a picture alone has the bits that it has among others', async () => {
    const c = { images: 3, height: 6, width: 10, cin: 8, cout: 16 };
    const [pixels, rows] = [60, 180];
    const x = randoms(rows * c.cin, 1);
    const run = async (images: number, from: number) => {
      const call = conv2d(gpu.caps, problemOf({ ...c, images }, storage), patches);
      const { y } = await runBothWays(gpu, call, {
        a: { storage, values: x.subarray(from * pixels * c.cin, (from + images) * pixels * c.cin) },
        b: { storage, values: packPanels(randoms(c.cout * c.cin * 9, 2), c.cout, c.cin, 9) },
        ...{ bias: { storage: 'f32', values: new Float32Array(32) }, channel_add: NOTHING, residual: NOTHING },
        y: { storage, size: images * pixels * c.cout },
      });
      return y;
    };
    const all = await run(3, 0);
    for (const image of [0, 1, 2]) {
      const among = all.subarray(image * pixels * c.cout, (image + 1) * pixels * c.cout);
      expect(await run(1, image), `picture ${image}`).toEqual(among);
    }
  });
});

describe('who gets patches', () => {
  const nvidia: Caps = { ...DEFAULT_CAPS, vendor: 'nvidia', half: 'f16' };
  const map = (images: number, size: number, change: Partial<Conv2dProblem> = {}): Conv2dProblem => ({
    ...{ images, height: size, width: size, channels: 640, outChannels: 640, ...AROUND },
    ...{ input: 'f16', weight: 'f16', output: 'f16', ...change },
  });
  const stem = (problem: Conv2dProblem, caps = nvidia) => choose(CONV2D, caps, problem).stem;

  it('maps that fill tiles, in any number, on cards of NVIDIA', () => {
    for (const images of [1, 2, 16]) expect(stem(map(images, 48)), `${images} pictures`).toBe('conv-tile');
    expect(stem(map(1, 48), { ...nvidia, vendor: 'amd' })).toBe('gemm-tile');
    expect(stem(map(1, 48), { ...nvidia, software: true })).toBe('gemm-tile');
  });

  it('windows of columns as all columns', () => {
    const window = { first: 0, columns: 64 };
    expect(stem(map(1, 48, { window: { first: 576, columns: 64 } }))).toBe('conv-tile');
    expect(stem(map(1, 48, { outChannels: 648, window }))).toBe('gemm-tile');
    expect(stem(map(1, 48, { channels: 1280, outChannels: 1280, window }))).toBe('gemm-tile');
  });

  it('no maps that fill none, no K that is cut, and no other kernels', () => {
    expect(stem(map(1, 24))).toBe('gemm-tile');
    expect(stem(map(1, 48, { outChannels: 8 }))).toBe('gemm-tile');
    expect(stem(map(1, 48, { channels: 1280, outChannels: 1280 }))).toBe('gemm-tile');
    expect(stem(map(1, 48, { stride: 2 }))).toBe('gemm-tile');
    expect(stem(map(1, 48, { upsample: true }))).toBe('gemm-tile');
    expect(stem(map(1, 48, { kernel: [1, 1], padding: { top: 0, right: 0, bottom: 0, left: 0 } }))).toBe('gemm-tile');
  });
});
