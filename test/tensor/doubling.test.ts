/** An upsampling and the convolution behind it, which together are four smaller convolutions. */
import { describe, expect, it } from 'vitest';
import { Conv2d } from '../../src/nn/conv2d.ts';
import { upsampleNearest } from '../../src/nn/functional.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
import { randoms } from '../support/run-kernel.ts';

const gpu = await testGpu();
const w = Weights.open(
  memoryCheckpoint({
    'conv.weight': { shape: [40, 20, 3, 3], values: randoms(40 * 20 * 9, 1) },
    'conv.bias': { shape: [40], values: randoms(40, 2) },
    'even.weight': { shape: [20, 20, 3, 3], values: randoms(20 * 20 * 9, 6) },
    'even.bias': { shape: [20], values: randoms(20, 7) },
    'point.weight': { shape: [20, 20, 1, 1], values: randoms(20 * 20, 8) },
    'point.bias': { shape: [20], values: randoms(20, 9) },
  }),
);
const conv = new Conv2d(w.at('conv'), { in: 20, out: 40, kernel: 3, padding: 1 });
const even = new Conv2d(w.at('even'), { in: 20, out: 20, kernel: 3, padding: 1 });
const point = new Conv2d(w.at('point'), { in: 20, out: 20, kernel: 1 });
await w.load(gpu);

interface Run {
  readonly size: readonly [number, number];
  readonly images?: number;
  readonly fuse?: boolean;
  readonly behind?: (y: Tensor) => Tensor;
}

/** Pictures of 8 x 10, enlarged and convolved: numbers of multiply-adds and the result. */
async function run({ size, images = 2, fuse = true, behind = y => y }: Run) {
  const graph = new Graph(gpu);
  const x = DeviceTensor.from(gpu, randoms(3 * 20 * 80, 3).subarray(0, images * 20 * 80), [images, 20, 8, 10]);
  const y = behind(conv.forward(upsampleNearest(graph.input(x), size)));
  const out = DeviceTensor.create(gpu, y.shape, y.dtype);
  graph.store(y, out);
  const plan = await graph.compile({ fuse });
  plan.run();
  plan.run();
  const values = await out.read();
  const { flops, dispatches } = plan;
  for (const owned of [plan, out, x]) owned.dispose();
  return { values, flops, dispatches };
}

describe('upsampling before a convolution of 3 x 3', () => {
  it('to twice the size takes four taps a pixel in place of nine', async () => {
    const [folded, plain] = [await run({ size: [16, 20] }), await run({ size: [16, 20], fuse: false })];
    expectClose(folded.values, plain.values, 2e-6);
    expect([folded.dispatches, plain.dispatches]).toEqual([2, 2]);
    const taps = (flops: number) => Math.floor(flops / (2 * 2 * 16 * 20 * 24 * 40));
    expect([taps(folded.flops), taps(plain.flops)]).toEqual([4, 9]);
  });

  it('with an embedding of each picture and a residual behind it gives the same', async () => {
    const add = DeviceTensor.from(gpu, randoms(2 * 40, 4), [2, 40, 1, 1]);
    const residual = DeviceTensor.from(gpu, randoms(2 * 40 * 320, 5), [2, 40, 16, 20]);
    const behind = (y: Tensor) => y.add(y.graph.input(add)).add(y.graph.input(residual));
    const [folded, plain] = [await run({ size: [16, 20], behind }), await run({ size: [16, 20], behind, fuse: false })];
    expectClose(folded.values, plain.values, 2e-6);
    expect(folded.dispatches).toBe(2);
  });

  it('stays by itself where its result is read behind the convolution too', async () => {
    const same = async (fuse: boolean) => {
      const graph = new Graph(gpu);
      const x = DeviceTensor.from(gpu, randoms(2 * 20 * 80, 3), [2, 20, 8, 10]);
      const larger = upsampleNearest(graph.input(x), [16, 20]);
      const y = even.forward(larger).add(larger);
      const out = DeviceTensor.create(gpu, y.shape, y.dtype);
      graph.store(y, out);
      const plan = await graph.compile({ fuse });
      plan.run();
      const values = await out.read();
      for (const owned of [plan, out, x]) owned.dispose();
      return values;
    };
    expectClose(await same(true), await same(false), 2e-6);
  });

  it.each<[string, (larger: Tensor) => Tensor]>([
    ['of one tap', larger => point.forward(larger)],
    ['that sees other lines', larger => even.forward(larger.tokens().image(20, 16))],
  ])('stays by itself before one %s', async (_, behind) => {
    const same = async (fuse: boolean) => {
      const graph = new Graph(gpu);
      const x = DeviceTensor.from(gpu, randoms(2 * 20 * 80, 3), [2, 20, 8, 10]);
      const y = behind(upsampleNearest(graph.input(x), [16, 20]));
      const out = DeviceTensor.create(gpu, y.shape, y.dtype);
      graph.store(y, out);
      const plan = await graph.compile({ fuse });
      plan.run();
      const values = await out.read();
      for (const owned of [plan, out, x]) owned.dispose();
      return values;
    };
    expect(await same(true)).toEqual(await same(false));
  });

  it('to an odd size keeps its nine', async () => {
    const [fused, plain] = [await run({ size: [15, 20] }), await run({ size: [15, 20], fuse: false })];
    expect(fused.values).toEqual(plain.values);
  });

  it('does not depend on how many pictures there are', async () => {
    const [one, three] = [await run({ size: [16, 20], images: 1 }), await run({ size: [16, 20], images: 3 })];
    expect(three.values.subarray(0, one.values.length)).toEqual(one.values);
  });
});
