/** Group norms that the convolution behind them applies while it loads, against norms that are stored first. */
import { describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import { Conv2d } from '../../src/nn/conv2d.ts';
import { concat, silu, upsampleNearest } from '../../src/nn/functional.ts';
import { GroupNorm } from '../../src/nn/norm.ts';
import { Weights } from '../../src/nn/weights.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { memoryCheckpoint, randomLayer } from '../support/memory-checkpoint.ts';
import { force, limited } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import { runTwice } from '../support/run-twice.ts';

const own = await testGpu();
/** Software measures large images only: this is as if it were a card. */
const gpu = limited(own, { software: false });
const C = 20;
const w = Weights.open(
  memoryCheckpoint({
    ...randomLayer('conv', [C, C, 3, 3], 1),
    ...randomLayer('wide', [520, C, 3, 3], 3),
    ...randomLayer('point', [C, C, 1, 1], 5),
    ...randomLayer('norm', [C], 7),
    ...randomLayer('both', [2 * C], 9),
    ...randomLayer('joined', [C, 2 * C, 3, 3], 11),
  }),
);
const around = { kernel: 3, padding: 1 } as const;
const conv = new Conv2d(w.at('conv'), { in: C, out: C, ...around });
const strided = new Conv2d(w.at('conv'), { in: C, out: C, ...around, stride: 2 });
const wide = new Conv2d(w.at('wide'), { in: C, out: 520, ...around });
const joined = new Conv2d(w.at('joined'), { in: 2 * C, out: C, ...around });
const point = new Conv2d(w.at('point'), { in: C, out: C, kernel: 1 });
const norm = new GroupNorm(w.at('norm'), { channels: C, groups: 2, eps: 1e-5 });
const both = new GroupNorm(w.at('both'), { channels: 2 * C, groups: 4, eps: 1e-5 });
await w.load(own);

/** Convolutions of 3 x 3 by patches, those of other kinds by tiles. */
const PATCHES = {
  table: [
    { op: 'conv2d', variant: 'conv-tile' },
    { op: 'conv2d', variant: 'gemm-tile' },
  ],
} as const;

interface Run {
  readonly size?: readonly [height: number, width: number];
  readonly images?: number;
  readonly fuse?: boolean;
  readonly tuning?: ReturnType<typeof force>;
  readonly dtype?: 'float32' | 'float16';
  /** Device of the plan; default one that is limited by nothing. */
  readonly on?: Gpu;
}

/** What a recording makes of pictures of 17 x 10, and which kernels it runs. */
async function run(
  record: (x: Tensor) => Tensor,
  {
    size: [height, width] = [17, 10],
    images = 2,
    fuse = true,
    tuning = PATCHES,
    dtype = 'float32',
    on = gpu,
  }: Run = {},
) {
  const length = images * C * height * width;
  // Away from zero, where a norm has something to shift.
  const values = randoms(3 * length, 13).map(v => v + 3);
  const how = { on, dtype, fuse, tuning };
  return runTwice(own, values.subarray(0, length), [images, C, height, width], record, how);
}

const stored = (kernels: readonly string[]) => kernels.filter(name => name === 'group-norm-apply').length;

/** A norm in front of a convolution, by a name. */
const APPLIED: Record<string, (x: Tensor) => Tensor> = {
  'norm and activation': x => conv.forward(silu(norm.forward(x))),
  'a norm alone': x => conv.forward(norm.forward(x)),
  'a residual block': x => {
    const h = conv.forward(silu(norm.forward(x)));
    return conv.forward(silu(norm.forward(h))).add(x);
  },
  'a norm that was measured': x => conv.forward(silu(norm.forward(point.forward(x)))),
  'a map that others read too': x => {
    const h = conv.forward(x);
    return conv.forward(silu(norm.forward(h))).add(point.forward(h));
  },
};

describe('a convolution normalises what it loads', () => {
  it.each(Object.keys(APPLIED))('%s', async name => {
    const record = APPLIED[name] as (x: Tensor) => Tensor;
    const [fused, plain] = [await run(record), await run(record, { fuse: false })];
    expectClose(fused.result, plain.result, 2e-6);
    expect(stored(plain.kernels)).toBeGreaterThan(0);
    expect(stored(fused.kernels)).toBe(0);
  });

  it('in halves', async () => {
    const record = (x: Tensor) => conv.forward(silu(norm.forward(conv.forward(x))));
    const [fused, single] = [await run(record, { dtype: 'float16' }), await run(record, { fuse: false })];
    expect(stored(fused.kernels)).toBe(0);
    expectClose(fused.result, single.result, 2e-3);
  });

  it('by the statistics and the convolution alone', async () => {
    const { kernels } = await run(APPLIED['norm and activation'] as (x: Tensor) => Tensor);
    expect(kernels).toEqual(['group-norm-stats', expect.stringMatching('group-norm-finalize'), 'conv-tile']);
  });

  it('and measures what it stores for the next norm', async () => {
    const record = (x: Tensor) => norm.forward(conv.forward(silu(norm.forward(x))));
    const size = [16, 24] as const;
    const [fused, plain] = [await run(record, { size }), await run(record, { size, fuse: false })];
    expectClose(fused.result, plain.result, 2e-6);
    const finalize = expect.stringMatching('group-norm-finalize');
    const behind = [finalize, 'group-norm-apply'];
    expect(fused.kernels).toEqual(['group-norm-stats', finalize, 'conv-tile', ...behind]);
  });

  it('values in parts and windows, to the bit', async () => {
    const record = APPLIED['a residual block'] as (x: Tensor) => Tensor;
    const size = [64, 61] as const; // parts end within an image, and tiles straddle them
    const whole = await run(record, { size });
    const on = limited(own, { software: false, maxBufferBytes: 2 ** 18, maxBindingBytes: 2 ** 17 });
    const parts = await run(record, { size, on });
    expect(parts.kernels.filter(name => name === 'conv-tile').length).toBeGreaterThan(4);
    expect(stored(parts.kernels)).toBe(0);
    expect(parts.result).toEqual(whole.result);
  });

  it('the same for any number of pictures', async () => {
    const record = APPLIED['norm and activation'] as (x: Tensor) => Tensor;
    const [one, three] = [await run(record, { images: 1 }), await run(record, { images: 3 })];
    expect(three.result.subarray(0, one.result.length)).toEqual(one.result);
  });
});

describe('a norm is stored first', () => {
  it.each<[string, (x: Tensor) => Tensor, Run?]>([
    ['where many columns would make it anew', x => wide.forward(norm.forward(x))],
    ['where another kernel is taken', x => conv.forward(norm.forward(x)), { tuning: force('tile') }],
    ['where the convolution skips pixels', x => strided.forward(norm.forward(x))],
    ['where it has one tap', x => point.forward(norm.forward(x))],
    ['where it lies behind a doubling', x => conv.forward(upsampleNearest(norm.forward(x), [34, 20]))],
    ['where the convolution sees other lines', x => conv.forward(norm.forward(x).tokens().image(10, 17))],
    ['where the convolution sees one high picture', x => conv.forward(silu(norm.forward(x)).reshape([1, C, 34, 10]))],
    [
      'where two read it',
      x => {
        const h = norm.forward(x);
        return conv.forward(h).add(h);
      },
    ],
    ['where it reads two maps', x => joined.forward(silu(both.forward(concat([x, conv.forward(x)], 1))))],
  ])('%s', async (_, record, options) => {
    const [fused, plain] = [await run(record, options), await run(record, { ...options, fuse: false })];
    expectClose(fused.result, plain.result, 2e-6);
    expect(stored(fused.kernels)).toBe(1);
  });
});
