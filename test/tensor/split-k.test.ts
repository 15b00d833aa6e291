/** A layer whose K axis is cut, within a plan: its memory, its replays, and that no batch changes a bit of another. */
import { expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import { Linear } from '../../src/nn/linear.ts';
import { Weights } from '../../src/nn/weights.ts';
import * as reference from '../reference/gemm.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
import { limited } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import { runTwice } from '../support/run-twice.ts';

const [K, N, TOKENS] = [4096, 1024, 5];
const gpu = await testGpu({ bare: true });
const values = randoms(N * K, 1);
const bias = randoms(N, 2);
const w = Weights.open(
  memoryCheckpoint({ 'wide.weight': { shape: [N, K], values }, 'wide.bias': { shape: [N], values: bias } }),
);
const wide = new Linear(w.at('wide'), { in: K, out: N });
await w.load(gpu);
const input = randoms(4 * TOKENS * K, 3);

/** Sequences from `first` on through the layer, twice: results, kernels, memory, and what the second run created. */
async function run(first: number, items: number, on: Gpu = gpu) {
  const part = input.subarray(first * TOKENS * K, (first + items) * TOKENS * K);
  return runTwice(gpu, part, [items, TOKENS, K], x => wide.forward(x), { on });
}

it('two kernels make it in memory of the plan, and a replay creates nothing', async () => {
  const { result, kernels, peakBytes, counts } = await run(0, 2);
  expect(kernels).toEqual(['gemm-tile', 'sum-parts']);
  const rows = 2 * TOKENS;
  expect(peakBytes).toBeGreaterThanOrEqual(rows * 2 * N * 4);
  expect(counts).toEqual({ buffers: 0, bindGroups: 0, pipelines: 0, maps: 0, submits: 1 });
  const sums = reference.matmul(input, values, rows, N, K);
  expectClose(
    result,
    sums.map((sum, i) => sum + bias[i % N]),
    2e-6,
  );
});

it('a sequence alone has the bits that it has among others', async () => {
  const all = await run(0, 4);
  for (const [first, items] of [
    [0, 1],
    [3, 1],
    [1, 2],
  ] as const) {
    const each = TOKENS * N;
    const among = all.result.subarray(first * each, (first + items) * each);
    expect((await run(first, items)).result, `${items} from ${first}`).toEqual(among);
  }
});

it('windows of columns, where a weight exceeds a binding, have the bits of all columns at once', async () => {
  const windowed = await run(0, 1, limited(gpu, { maxBindingBytes: 2 ** 23 }));
  expect(windowed.kernels).toEqual(['gemm-tile', 'sum-parts', 'gemm-tile', 'sum-parts']);
  expect(windowed.result).toEqual((await run(0, 1)).result);
});
