/** Convolutions of 3 x 3 by patches in workgroup memory, and who gets them. */
import { describe, expect, it } from 'vitest';
import { DeviceError, InputError, ShapeError } from '../../src/core/errors.ts';
import { alignUp } from '../../src/core/shape.ts';
import type { Caps } from '../../src/gpu/caps.ts';
import { DEFAULT_CAPS } from '../../src/gpu/dry-device.ts';
import { asGemm, CONV2D, type Conv2dProblem, conv2d } from '../../src/kernels/conv2d.ts';
import { checkGemm } from '../../src/kernels/gemm.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import { choose, normalizes } from '../../src/kernels/op.ts';
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

describe.each(['f32', 'f16-packed'] as const)('a norm while patches are loaded, %s', storage => {
  const tolerance = storage === 'f32' ? 2e-6 : 1e-3;

  it.each(CASES)('$images x $height x $width, $cin -> $cout', async c => {
    const rows = c.images * c.height * c.width;
    const pitch = alignUp(c.cin, 8);
    const [x, w] = [stored(randoms(rows * c.cin, 1), storage), stored(randoms(c.cout * c.cin * 9, 2), storage)];
    const [scale, shift] = [randoms(c.images * c.cin, 6), randoms(c.images * c.cin, 7)];
    // Zeros lie around what is normalised: shifts and the activation do not meet them.
    const normalized = Float64Array.from(x, (value, i) => {
      const factor = Math.floor(i / (rows / c.images) / c.cin) * c.cin + (i % c.cin);
      return reference.activate('mish', value * scale[factor] + shift[factor]);
    });
    const { data } = reference.conv2d(normalized, w, { ...c, kernel: 3, stride: 1, padding: [1, 1, 1, 1] });
    const epilogue = { bias: false };
    const call = conv2d(gpu.caps, { ...problemOf(c, storage), epilogue, normalize: { activation: 'mish' } }, patches);
    const { y } = await runBothWays(gpu, call, {
      a: { storage, values: padRows(x, rows, c.cin) },
      b: { storage, values: packPanels(w, c.cout, c.cin, 9) },
      scale_shift: { storage: 'f32', values: interleaved(scale, shift, c, pitch) },
      ...{ bias: NOTHING, channel_add: NOTHING, residual: NOTHING },
      y: { storage, size: rows * alignUp(c.cout, 8) },
    });
    expectClose(unpadRows(y, rows, c.cout), data, tolerance);
  });
});

/** [images, 2, pitch]: a row of scales and one of shifts for each picture. */
function interleaved(scale: Float32Array, shift: Float32Array, c: (typeof CASES)[number], pitch: number): Float32Array {
  const all = new Float32Array(c.images * 2 * pitch);
  for (let image = 0; image < c.images; image++) {
    const own = [image * c.cin, (image + 1) * c.cin] as const;
    all.set(scale.subarray(...own), 2 * image * pitch);
    all.set(shift.subarray(...own), (2 * image + 1) * pitch);
  }
  return all;
}

describe('who normalises while loading', () => {
  const narrow: Conv2dProblem = { ...problemOf({ images: 1, height: 48, width: 48, cin: 128, cout: 128 }, 'f16') };
  const gains = (change: Partial<Conv2dProblem>, vendor = 'nvidia') =>
    normalizes(CONV2D, { ...DEFAULT_CAPS, vendor, half: 'f16' }, { ...narrow, ...change });

  it('narrow convolutions by patches, whose columns pay for it seldom', () => {
    expect(gains({})).toBe(true);
    expect(gains({ outChannels: 256, channels: 1024, images: 16 })).toBe(true);
    expect(gains({ outChannels: 320 })).toBe(false);
    expect(gains({ outChannels: 320, input: 'f32', output: 'f32' })).toBe(true);
    expect(gains({ outChannels: 320, window: { first: 0, columns: 64 } })).toBe(false);
    expect(gains({ height: 24 })).toBe(false);
    expect(gains({}, 'amd')).toBe(false);
  });

  it('nobody else runs such a problem, and no linear layer asks', () => {
    const normalize = { activation: 'silu' } as const;
    const asked: Conv2dProblem = { ...narrow, input: 'f32', weight: 'f32', output: 'f32', normalize };
    expect(choose(CONV2D, gpu.caps, asked).stem).toBe('conv-tile');
    expect(() => conv2d(gpu.caps, asked, { force: { conv2d: 'gemm-tile' } })).toThrow(InputError);
    expect(() => conv2d(gpu.caps, { ...asked, stride: 2 })).toThrow(DeviceError);
    const linear = { ...asGemm(asked), conv: undefined };
    expect(() => checkGemm('linear', linear)).toThrow(ShapeError);
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
