import { describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import { Attention } from '../../src/nn/attention.ts';
import { Embedding } from '../../src/nn/embedding.ts';
import { gelu } from '../../src/nn/functional.ts';
import { Linear } from '../../src/nn/linear.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { countDevice } from '../support/counting.ts';
import { testGpu } from '../support/gpu.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
import { randoms } from '../support/run-kernel.ts';

const [WIDTH, WIDE, ROWS] = [24, 650, 800];

/** A table, a wide layer with bias and activation, heads of odd width, and a head without bias: all larger than a binding. */
async function run(gpu: Gpu, length: number, dtype: 'float32' | 'float16') {
  const matrix = (rows: number, columns: number, seed: number) => ({
    shape: [rows, columns],
    values: randoms(rows * columns, seed).map(x => x / 4),
  });
  const source = memoryCheckpoint({
    'table.weight': matrix(ROWS, WIDTH, 1),
    'wide.weight': matrix(WIDE, WIDTH, 2),
    'wide.bias': { shape: [WIDE], values: randoms(WIDE, 3) },
    ...Object.fromEntries(['q', 'k', 'v'].map((name, i) => [`mix.${name}.weight`, matrix(150, WIDTH, 5 + i)])),
    'mix.o.weight': matrix(WIDTH, 150, 8),
    'head.weight': matrix(ROWS, WIDTH, 9),
  });
  const w = Weights.open(source);
  const table = new Embedding(w.at('table'), { count: ROWS, width: WIDTH });
  const wide = new Linear(w.at('wide'), { in: WIDTH, out: WIDE });
  const names = { q: 'q', k: 'k', v: 'v', out: 'o' };
  const mix = new Attention(w.at('mix'), { query: WIDTH, heads: 30, headWidth: 5, outBias: false, names });
  const head = new Linear(w.at('head'), { in: WIDTH, out: ROWS, bias: false });
  const weights = await w.load(gpu, { dtype });
  const shape = length < 4 ? [length, 1] : [1, length]; // rows that stand alone go through gemv
  const ids = DeviceTensor.from(
    gpu,
    Array.from({ length }, (_, i) => (i * 37) % ROWS),
    shape,
    'uint32',
  );
  const out = DeviceTensor.create(gpu, [...shape, ROWS], dtype);
  const graph = new Graph(gpu, { dtype });
  let h = table.forward(graph.input(ids));
  h = h.add(mix.forward(h));
  h = h.add(gelu(wide.forward(h)).slice(2, 611, 611 + WIDTH)); // of the last window
  graph.store(head.forward(h), out);
  const plan = await graph.compile();
  plan.run();
  const values = await out.read();
  const { dispatches } = plan;
  for (const d of [plan, weights, ids, out]) d.dispose();
  return { values, dispatches };
}

describe('weights larger than one binding', () => {
  it.each([
    { name: 'gemv', length: 3, bare: false, dtype: 'float32' },
    { name: 'gemm', length: 19, bare: false, dtype: 'float32' },
    { name: 'gemm in half storage', length: 19, bare: false, dtype: 'float16' },
    { name: 'gemv on a bare device', length: 3, bare: true, dtype: 'float16' },
  ] as const)('give the same bits in windows as whole: $name', async ({ length, bare, dtype }) => {
    const whole = await run(await testGpu(bare ? { bare } : {}), length, dtype);
    const maxBindingBytes = dtype === 'float16' ? 30 * 1024 : 56 * 1024;
    const small = await testGpu({ maxBindingBytes, ...(bare ? { bare } : {}) });
    const counter = countDevice(small);
    const split = await run(small, length, dtype);
    counter.stop();
    expect(counter.largestBinding).toBeLessThanOrEqual(maxBindingBytes);
    expect(split.values).toEqual(whole.values);
    expect(split.dispatches).toBeGreaterThan(whole.dispatches);
    expect(Math.max(...whole.values.map(Math.abs))).toBeGreaterThan(0.1);
  });
});
