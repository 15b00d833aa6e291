/** One number a channel added behind a convolution, out of a row that holds those of many. */
import { describe, expect, it } from 'vitest';
import { Conv2d } from '../../src/nn/conv2d.ts';
import { StackedLinear } from '../../src/nn/linear.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
import { randoms } from '../support/run-kernel.ts';

const gpu = await testGpu();
const [A, B] = [randoms(12 * 16, 3), randoms(20 * 16, 4)];
const w = Weights.open(
  memoryCheckpoint({
    'conv.weight': { shape: [16, 8, 3, 3], values: randoms(16 * 8 * 9, 1) },
    'conv.bias': { shape: [16], values: randoms(16, 2) },
    'padded.weight': { shape: [12, 8, 3, 3], values: randoms(12 * 8 * 9, 9) },
    'padded.bias': { shape: [12], values: randoms(12, 10) },
    'next.weight': { shape: [8, 12, 3, 3], values: randoms(8 * 12 * 9, 11) },
    'next.bias': { shape: [8], values: randoms(8, 12) },
    'a.weight': { shape: [12, 16], values: A },
    'a.bias': { shape: [12], values: randoms(12, 5) },
    'b.weight': { shape: [20, 16], values: B },
    'b.bias': { shape: [20], values: randoms(20, 6) },
  }),
);
const conv = new Conv2d(w.at('conv'), { in: 8, out: 16, kernel: 3, padding: 1 });
const padded = new Conv2d(w.at('padded'), { in: 8, out: 12, kernel: 3, padding: 1 });
const next = new Conv2d(w.at('next'), { in: 12, out: 8, kernel: 3, padding: 1 });
const parts = [
  { from: w.at('b'), out: 20 },
  { from: w.at('a'), out: 12 },
];
const stacked = new StackedLinear(w, { in: 16, parts });
await w.load(gpu);

async function run(
  record: (map: Tensor, row: Tensor) => Tensor,
  { fuse = true, rows = 1, values: added = randoms(rows * 40, 8) } = {},
) {
  const graph = new Graph(gpu);
  const map = DeviceTensor.from(gpu, randoms(2 * 8 * 15, 7), [2, 8, 3, 5]);
  const row = DeviceTensor.from(gpu, added, [rows, 40]);
  const y = record(graph.input(map), graph.input(row));
  const out = DeviceTensor.create(gpu, y.shape, y.dtype);
  graph.store(y, out);
  const plan = await graph.compile({ fuse });
  plan.run();
  const values = await out.read();
  const { dispatches } = plan;
  for (const owned of [plan, out, map, row]) owned.dispose();
  return { values, dispatches };
}

describe('some channels of a row added to every pixel', () => {
  const added = (first: number) => (map: Tensor, row: Tensor) => {
    const own = row.slice(1, first, first + 16);
    return conv.forward(map).add(own.reshape([...own.shape, 1, 1]));
  };

  it.each([
    [1, 16, 1],
    [2, 24, 1],
    [2, 0, 1],
    [1, 5, 2],
  ])('of %i rows, from channel %i on, take %i dispatches', async (rows, first, dispatches) => {
    const [fused, plain] = [await run(added(first), { rows }), await run(added(first), { rows, fuse: false })];
    expectClose(fused.values, plain.values, 1e-6);
    expect([fused.dispatches, plain.dispatches]).toEqual([dispatches, 3]);
  });

  it.each([16, 28])('leave zeros in the padding of the output, from channel %i on', async first => {
    const values = randoms(2 * 40, 8).fill(Number.NaN, first + 12, first + 16);
    const behind = (map: Tensor, row: Tensor) => {
      const own = row.slice(1, first, first + 12);
      return next.forward(padded.forward(map).add(own.reshape([...own.shape, 1, 1])));
    };
    const [fused, plain] = [
      await run(behind, { rows: 2, values }),
      await run(behind, { rows: 2, values, fuse: false }),
    ];
    expectClose(fused.values, plain.values, 1e-6);
  });

  it('are copied where somebody else reads them too', async () => {
    const twice = (map: Tensor, row: Tensor) => {
      const own = row.slice(1, 16, 32).reshape([1, 16, 1, 1]);
      return conv.forward(conv.forward(map).add(own).slice(1, 0, 8)).add(own);
    };
    const [fused, plain] = [await run(twice), await run(twice, { fuse: false })];
    expectClose(fused.values, plain.values, 1e-6);
  });
});

it('layers that meet the same input are one product, each with its own columns', async () => {
  const of = (i: number) => (_: Tensor, row: Tensor) => stacked.forward(row.slice(1, 0, 16))[i] as Tensor;
  const x = randoms(40, 8).subarray(0, 16);
  const expected = (weights: Float32Array, bias: Float32Array) =>
    Float32Array.from(bias, (b, o) => x.reduce((sum, value, i) => sum + value * weights[o * 16 + i], b));
  expectClose((await run(of(0))).values, expected(B, randoms(20, 6)), 1e-6);
  expectClose((await run(of(1))).values, expected(A, randoms(12, 5)), 1e-6);
});
