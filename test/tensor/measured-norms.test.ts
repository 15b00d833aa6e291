/** Group norms of what a product measured as it stored it, against norms that read it once more. */
import { describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import { Conv2d } from '../../src/nn/conv2d.ts';
import { concat, silu, upsampleNearest } from '../../src/nn/functional.ts';
import { Linear } from '../../src/nn/linear.ts';
import { GroupNorm } from '../../src/nn/norm.ts';
import { Weights } from '../../src/nn/weights.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { memoryCheckpoint, randomLayer } from '../support/memory-checkpoint.ts';
import { type Family, force, limited } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import { runTwice } from '../support/run-twice.ts';

const own = await testGpu();
/** Software measures large images only: this is as if it were a card. */
const gpu = limited(own, { software: false });
const C = 20;
/** Channels of a convolution whose K is cut. */
const DEEP = 1024;
const w = Weights.open(
  memoryCheckpoint({
    ...randomLayer('conv', [C, C, 3, 3], 1),
    ...randomLayer('other', [C, C, 3, 3], 3),
    ...randomLayer('linear', [C, C], 5),
    ...randomLayer('norm', [C], 7),
    ...randomLayer('odd', [C], 9),
    ...randomLayer('both', [2 * C], 11),
    ...randomLayer('deep.first', [DEEP, C, 1, 1], 15),
    ...randomLayer('deep.norm', [DEEP], 17),
    ...randomLayer('deep.conv', [DEEP, DEEP, 3, 3], 19),
  }),
);
const convolution = { in: C, out: C, kernel: 3, padding: 1 } as const;
const conv = new Conv2d(w.at('conv'), convolution);
const other = new Conv2d(w.at('other'), convolution);
const linear = new Linear(w.at('linear'), { in: C, out: C });
const norm = new GroupNorm(w.at('norm'), { channels: C, groups: 2, eps: 1e-5 });
const odd = new GroupNorm(w.at('odd'), { channels: C, groups: 4, eps: 1e-5 });
const both = new GroupNorm(w.at('both'), { channels: 2 * C, groups: 4, eps: 1e-5 });
const deep = {
  first: new Conv2d(w.at('deep.first'), { in: C, out: DEEP, kernel: 1 }),
  conv: new Conv2d(w.at('deep.conv'), { in: DEEP, out: DEEP, kernel: 3, padding: 1 }),
  norm: new GroupNorm(w.at('deep.norm'), { channels: DEEP, groups: 32, eps: 1e-5 }),
};
await w.load(own);

interface Run {
  readonly size?: readonly [height: number, width: number];
  readonly images?: number;
  readonly fuse?: boolean;
  readonly family?: Family;
  /** Variant of the convolutions; default the family's. */
  readonly conv2d?: string;
  /** Device of the plan; default one that is limited by nothing. */
  readonly on?: Gpu;
}

/** What a recording makes of pictures of 8 x 10, and which kernels it runs. */
async function run(
  record: (x: Tensor) => Tensor,
  { size: [height, width] = [8, 10], images = 2, fuse = true, family = 'broadcast', conv2d, on = gpu }: Run = {},
) {
  const length = images * C * height * width;
  const values = randoms(3 * length, 13).subarray(0, length);
  const forced = { ...force(family)?.force, ...(conv2d ? { conv2d } : {}) };
  const how = { on, fuse, tuning: { force: forced } };
  return runTwice(own, values, [images, C, height, width], record, how);
}

const statistics = (kernels: readonly string[]) => kernels.filter(name => name === 'group-norm-stats').length;

/** A norm behind a product, by a name, and how many of its norms the product measures of how many. */
const MEASURED: Record<string, (x: Tensor) => Tensor> = {
  'a convolution': x => silu(norm.forward(conv.forward(x))),
  'a convolution to which its input is added, which is added again behind': x => {
    const h = conv.forward(x).add(x);
    return other.forward(silu(norm.forward(h))).add(h);
  },
  'tokens through a linear layer, added to a picture': x => {
    const tokens = linear.forward(x.tokens()).image(x.dim(2), x.dim(3));
    return norm.forward(x.add(tokens));
  },
  'one convolution with two norms': x => {
    const h = conv.forward(x);
    return norm.forward(h).add(other.forward(norm.forward(h)));
  },
  'two convolutions side by side': x => both.forward(concat([conv.forward(x), other.forward(x)], 1)),
};

describe('a group norm does not read once more', () => {
  it.each(Object.keys(MEASURED))('%s', async name => {
    const record = MEASURED[name] as (x: Tensor) => Tensor;
    const [fused, plain] = [await run(record), await run(record, { fuse: false })];
    expectClose(fused.result, plain.result, 1e-6);
    expect(statistics(plain.kernels)).toBeGreaterThan(0);
    expect(statistics(fused.kernels)).toBe(0);
  });

  it.each(['broadcast', 'tile'] as const)('a map that small kernels enlarge, in the family %s', async family => {
    const record = (x: Tensor) => norm.forward(conv.forward(upsampleNearest(x, [2 * x.dim(2), 2 * x.dim(3)])));
    const [fused, plain] = [await run(record, { family }), await run(record, { family, fuse: false })];
    expectClose(fused.result, plain.result, 2e-6);
    expect(statistics(plain.kernels)).toBe(1);
    expect(statistics(fused.kernels)).toBe(0);
    expect(fused.kernels.slice(0, 2)).toEqual(['fold-doubling', `gemm-${family}`]);
    // Parts end within an image and within the lines of a parity.
    const sizes = { size: [24, 22], family } as const;
    const on = limited(own, { software: false, maxBufferBytes: 2 ** 17, maxBindingBytes: 2 ** 16 });
    const [whole, parts] = [await run(record, sizes), await run(record, { ...sizes, on })];
    expect(parts.kernels.length).toBeGreaterThan(whole.kernels.length);
    expect(statistics(parts.kernels)).toBe(0);
    expect(parts.result).toEqual(whole.result);
    const three = await run(record, { ...sizes, images: 3 });
    expect(three.result.subarray(0, whole.result.length)).toEqual(whole.result);
  });

  it('a product whose K is in parts', async () => {
    const record = (x: Tensor) => {
      const h = deep.first.forward(x);
      return deep.norm.forward(deep.conv.forward(h).add(h));
    };
    const options = { size: [4, 8], family: 'tile' } as const;
    const [fused, plain] = [await run(record, options), await run(record, { ...options, fuse: false })];
    expectClose(fused.result, plain.result, 2e-6);
    expect(statistics(plain.kernels)).toBe(1);
    expect(fused.kernels.slice(1)).toEqual([
      ...['gemm-tile', 'sum-parts', 'group-norm-finalize-tile', 'group-norm-apply'],
    ]);
    const one = await run(record, { ...options, images: 1 });
    expect(fused.result.subarray(0, one.result.length)).toEqual(one.result);
  });

  it('a convolution by patches of the map', async () => {
    const record = (x: Tensor) => norm.forward(conv.forward(x));
    const options = { size: [20, 24], family: 'tile', conv2d: 'conv-tile' } as const;
    const [fused, plain] = [await run(record, options), await run(record, { ...options, fuse: false })];
    expectClose(fused.result, plain.result, 1e-6);
    expect(fused.kernels).toEqual(['conv-tile', 'group-norm-finalize-tile', 'group-norm-apply']);
    const on = limited(own, { software: false, maxBufferBytes: 2 ** 17, maxBindingBytes: 2 ** 16 });
    expect((await run(record, { ...options, on })).result).toEqual(fused.result);
  });

  it('a map of many pixels, of which slabs are merged first', async () => {
    const size = [130, 128] as const;
    const record = (x: Tensor) => norm.forward(conv.forward(x));
    const [fused, plain] = [await run(record, { size }), await run(record, { size, fuse: false })];
    expectClose(fused.result, plain.result, 1e-6);
    expect(fused.kernels.slice(1)).toEqual([
      'group-norm-merge',
      expect.stringMatching('group-norm-finalize'),
      'group-norm-apply',
    ]);
  });

  it('values in parts and windows, to the bit', async () => {
    const record = MEASURED['two convolutions side by side'] as (x: Tensor) => Tensor;
    const size = [64, 61] as const; // parts end within an image, and tiles straddle them
    const whole = await run(record, { size });
    const on = limited(own, { software: false, maxBufferBytes: 2 ** 17, maxBindingBytes: 2 ** 16 });
    const parts = await run(record, { size, on });
    expect(parts.kernels.filter(name => name === 'gemm-broadcast').length).toBeGreaterThan(4);
    expect(statistics(parts.kernels)).toBe(0);
    expect(parts.result).toEqual(whole.result);
  });

  it.runIf(process.env['PENTIMENTO_FULL'] && own.caps.matrix)(
    'tiles of real matrix units, whatever their subgroups have of lanes',
    async () => {
      const record = MEASURED['a convolution'] as (x: Tensor) => Tensor;
      const family = 'matrix-panels';
      const [fused, plain] = [await run(record, { family }), await run(record, { family, fuse: false })];
      expectClose(fused.result, plain.result, 1e-6);
      expect([statistics(plain.kernels), statistics(fused.kernels)]).toEqual([1, 0]);
    },
  );

  it.each(['broadcast', 'tile'] as const)('in the family %s, the same for any number of pictures', async family => {
    const record = MEASURED['a convolution'] as (x: Tensor) => Tensor;
    const [one, three] = [await run(record, { images: 1, family }), await run(record, { images: 3, family })];
    expect([...one.kernels, ...three.kernels].filter(k => k === 'group-norm-stats')).toEqual([]);
    expect(one.kernels[0]).toBe(`gemm-${family}`);
    expect(three.result.subarray(0, one.result.length)).toEqual(one.result);
  });
});

describe('a group norm reads its input', () => {
  it.each<[string, (x: Tensor) => Tensor, Run?]>([
    ['where an image is no whole number of slabs', x => norm.forward(conv.forward(x)), { size: [7, 10] }],
    ['where a group has an odd number of channels', x => odd.forward(conv.forward(x))],
    ['where nobody of this graph made it', x => norm.forward(x)],
    ['where one of two sources cannot be measured', x => both.forward(concat([conv.forward(x), x], 1))],
    [
      'where an image is no whole number of slabs of a parity',
      x => norm.forward(conv.forward(upsampleNearest(x, [18, 24]))),
      { size: [9, 12] },
    ],
    [
      'where what small kernels enlarged is cut into other images',
      x => norm.forward(conv.forward(upsampleNearest(x, [16, 20])).reshape([2, C, 8, 20])),
      { images: 1 },
    ],
    [
      'where what patches made is cut into other images',
      x => norm.forward(conv.forward(x).reshape([2, C, 3, 16])),
      { images: 1, size: [6, 16], family: 'tile', conv2d: 'conv-tile' },
    ],
    ['where it is a part of what was made', x => norm.forward(conv.forward(x).slice(0, 1, 2))],
  ])('%s', async (_, record, options) => {
    const [fused, plain] = [await run(record, options), await run(record, { ...options, fuse: false })];
    expectClose(fused.result, plain.result, 2e-6);
    expect(statistics(fused.kernels)).toBe(1);
  });
});
