import { describe, expect, it } from 'vitest';
import { Embedding } from '../../src/nn/embedding.ts';
import { geluTanh } from '../../src/nn/functional.ts';
import { Linear } from '../../src/nn/linear.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { argmax } from '../../src/tensor/ops/argmax.ts';
import { cacheAppend, cacheGather } from '../../src/tensor/ops/cache.ts';
import { lastRows } from '../../src/tensor/ops/copy.ts';
import { embedColumns } from '../../src/tensor/ops/embedding.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
import { randoms } from '../support/run-kernel.ts';

const gpu = await testGpu();

/** What a recording of one tensor gives. */
async function evaluate(graph: Graph, tensor: Tensor, fuse = true) {
  const out = DeviceTensor.create(gpu, tensor.shape, tensor.dtype);
  graph.store(tensor, out);
  const plan = await graph.compile({ fuse });
  plan.run();
  const values = await out.read();
  const { dispatches } = plan;
  plan.dispose();
  out.dispose();
  return { values, dispatches };
}

describe('operations of decoders', () => {
  it('argmax gives one id a row, the first of equals, ready for an embedding', async () => {
    const x = randoms(2 * 3 * 11, 1);
    x.set([5, 5], 4);
    const graph = new Graph(gpu);
    const ids = argmax(graph.constant(x, [2, 3, 11]));
    expect([ids.shape, ids.dtype]).toEqual([[2, 3], 'uint32']);
    const expected = Array.from({ length: 6 }, (_, r) => {
      const row = x.subarray(r * 11, (r + 1) * 11);
      return row.indexOf(Math.max(...row));
    });
    expect([...(await evaluate(graph, ids)).values]).toEqual(expected);
  });

  it('lastRows takes the last row of each item', async () => {
    const x = randoms(3 * 4 * 5, 2);
    const graph = new Graph(gpu);
    const { values } = await evaluate(graph, lastRows(graph.constant(x, [3, 4, 5])));
    expect([...values]).toEqual([3, 7, 11].flatMap(row => [...x.subarray(row * 5, row * 5 + 5)]));
  });

  it('embedColumns lays rows of a table side by side', async () => {
    const table = randoms(6 * 3, 3);
    const w = Weights.open(memoryCheckpoint({ weight: { shape: [6, 3], values: table } }));
    const embedding = new Embedding(w, { count: 6, width: 3 });
    const weights = await w.load(gpu);
    const graph = new Graph(gpu);
    const ids = [4, 0, 5, 4, 1];
    const columns = embedColumns(graph.constant(ids, [1, 5], 'uint32'), { table: embedding.table, count: 6, width: 3 });
    const { values } = await evaluate(graph, columns);
    expect([...values]).toEqual([0, 1, 2].flatMap(h => ids.map(id => table[id * 3 + h])));
    weights.dispose();
  });

  it('what is recorded behind an append reads the new rows, and a gather reorders them', async () => {
    const cache = DeviceTensor.create(gpu, [2, 3, 8]);
    const lengths = DeviceTensor.from(gpu, [2, 1], [1, 2], 'uint32');
    const index = DeviceTensor.from(gpu, [1, 0], [1, 2], 'uint32');
    const x = randoms(2 * 16, 4);
    const graph = new Graph(gpu);
    const held = graph.input(cache);
    cacheAppend(held, { tensor: graph.constant(x, [2, 1, 16]), offset: 8 }, graph.input(lengths));
    cacheGather(held, graph.input(index), graph.input(lengths), 2);
    const { values } = await evaluate(graph, held.scale(2));
    const expected = new Float32Array(48);
    for (const r of [0, 1])
      expected.set(
        x.subarray((1 - r) * 16 + 8, (1 - r) * 16 + 16).map(v => 2 * v),
        r * 24 + 8,
      );
    expect(values).toEqual(expected);
    for (const tensor of [cache, lengths, index]) tensor.dispose();
  });

  it('refuses caches that are none', () => {
    const graph = new Graph(gpu);
    const lengths = graph.constant([1, 0], [1, 2], 'uint32');
    const x = { tensor: graph.constant(randoms(16), [2, 1, 8]), offset: 0 };
    const [narrowTensor, otherTensor] = [DeviceTensor.create(gpu, [2, 2, 3]), DeviceTensor.create(gpu, [3, 2, 8])];
    const narrow = graph.input(narrowTensor);
    expect(() => cacheAppend(narrow, x, lengths)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: cacheAppend: not a cache: expected [N, capacity, a multiple of 8] with memory of its own, got [2, 2, 3]. Pass graph.input(cache).]`,
    );
    const other = graph.input(otherTensor);
    expect(() => cacheAppend(other, x, lengths)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: cacheAppend: the new rows belong to other sequences: expected [3, L, ...], got [2, 1, 8]]`,
    );
    expect(() => cacheGather(other.scale(2), lengths, lengths, 1)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: cacheGather: not a cache: expected [N, capacity, a multiple of 8] with memory of its own, got [3, 2, 8]. Pass graph.input(cache).]`,
    );
    // Fixed values are each plan's own.
    expect(() => cacheAppend(graph.constant(randoms(32), [2, 2, 8]), x, lengths)).toThrow('cacheAppend: not a cache');
    for (const tensor of [narrowTensor, otherTensor]) tensor.dispose();
  });

  it.each([3, 40])('a gated feed-forward of %i rows takes three kernels', async rows => {
    const w = Weights.open(
      memoryCheckpoint({
        'one.weight': { shape: [37, 20], values: randoms(740, 5) },
        'two.weight': { shape: [37, 20], values: randoms(740, 6) },
        'out.weight': { shape: [20, 37], values: randoms(740, 7) },
      }),
    );
    const up = { in: 20, out: 37, bias: false };
    const [one, two] = [new Linear(w.at('one'), up), new Linear(w.at('two'), up)];
    const out = new Linear(w.at('out'), { in: 37, out: 20, bias: false });
    const weights = await w.load(gpu);
    const run = (fuse: boolean) => {
      const graph = new Graph(gpu);
      const x = graph.constant(randoms(rows * 20, 8), [1, rows, 20]);
      return evaluate(graph, x.add(out.forward(geluTanh(one.forward(x)).mul(two.forward(x)))), fuse);
    };
    const [fused, plain] = [await run(true), await run(false)];
    expect([fused.dispatches, plain.dispatches]).toEqual([3, 6]);
    expectClose(fused.values, plain.values, 1e-6);
    weights.dispose();
  });
});
