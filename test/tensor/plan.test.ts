import { describe, expect, it } from 'vitest';
import { Conv2d } from '../../src/nn/conv2d.ts';
import { concat, silu, upsampleNearest } from '../../src/nn/functional.ts';
import { Linear } from '../../src/nn/linear.ts';
import { GroupNorm } from '../../src/nn/norm.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
import { randoms } from '../support/run-kernel.ts';

const gpu = await testGpu();

const checkpoint = () =>
  memoryCheckpoint({
    'norm.weight': { shape: [24], values: randoms(24, 1) },
    'norm.bias': { shape: [24], values: randoms(24, 2) },
    'conv.weight': { shape: [12, 24, 3, 3], values: randoms(12 * 24 * 9, 3), dtype: 'F16' },
    'conv.bias': { shape: [12], values: randoms(12, 4) },
    'time.weight': { shape: [12, 20], values: randoms(240, 5) },
    'time.bias': { shape: [12], values: randoms(12, 6) },
    'shortcut.weight': { shape: [12, 24, 1, 1], values: randoms(12 * 24, 7) },
    'shortcut.bias': { shape: [12], values: randoms(12, 8) },
  });

/** A residual block on a concatenation, followed by an enlargement and a convolution: every fusion at once. */
async function build(fuse: boolean) {
  const w = Weights.open(checkpoint());
  const norm = new GroupNorm(w.at('norm'), { channels: 24, groups: 8, eps: 1e-5 });
  const conv = new Conv2d(w.at('conv'), { in: 24, out: 12, kernel: 3, padding: 1 });
  const time = new Linear(w.at('time'), { in: 20, out: 12 });
  const shortcut = new Conv2d(w.at('shortcut'), { in: 24, out: 12, kernel: 1 });
  const weights = await w.load(gpu);
  const a = DeviceTensor.from(gpu, randoms(2 * 16 * 5 * 3, 10), [2, 16, 5, 3]);
  const b = DeviceTensor.from(gpu, randoms(2 * 8 * 5 * 3, 11), [2, 8, 5, 3]);
  const t = DeviceTensor.from(gpu, randoms(20, 12), [1, 20]);
  const out = DeviceTensor.create(gpu, [2, 12, 10, 6]);
  const graph = new Graph(gpu);
  const x = concat([graph.input(a), graph.input(b)], 1);
  const temb = time.forward(silu(graph.input(t))); // [1, 12]
  let h: Tensor = silu(norm.forward(x));
  h = conv.forward(h).add(temb.reshape([1, 12, 1, 1]));
  h = h.add(shortcut.forward(x));
  const y = upsampleNearest(silu(h), [10, 6]);
  graph.store(y, out);
  const plan = await graph.compile({ fuse, label: 'block' });
  plan.run();
  const values = await out.read();
  return {
    plan,
    values,
    weights,
    out,
    dispose: () => {
      for (const d of [plan, weights, a, b, t, out]) d.dispose();
    },
  };
}

describe('Plan', () => {
  it('gives the same numbers with fusion and without, in fewer dispatches', async () => {
    const plain = await build(false);
    const fused = await build(true);
    expectClose(fused.values, plain.values, 1e-6);
    expect(fused.plan.dispatches).toBeLessThan(plain.plan.dispatches);
    expect(Math.max(...plain.values.map(Math.abs))).toBeGreaterThan(0.1);
    plain.dispose();
    fused.dispose();
  });

  it('replays with new inputs', async () => {
    const a = DeviceTensor.from(gpu, [1, 2, 3], [1, 3]);
    const out = DeviceTensor.create(gpu, [1, 3]);
    const graph = new Graph(gpu);
    const x = graph.input(a);
    graph.store(x.add(x).scale(0.5).mul(x), out);
    const plan = await graph.compile();
    plan.run();
    expect([...(await out.read())]).toEqual([1, 4, 9]);
    a.write([4, 5, 6]);
    plan.run();
    expect([...(await out.read())]).toEqual([16, 25, 36]);
    plan.dispose();
    expect(() => plan.run()).toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: Plan plan: the plan was disposed. Compile it again.]`,
    );
    a.dispose();
    out.dispose();
  });

  it('stores into a tensor that the graph also reads, after the last read', async () => {
    const state = DeviceTensor.from(gpu, [1, 2, 3, 4], [2, 2]);
    const graph = new Graph(gpu);
    const x = graph.input(state);
    const doubled = x.scale(2);
    graph.store(doubled.add(x), state);
    const plan = await graph.compile();
    plan.run();
    plan.run();
    expect([...(await state.read())]).toEqual([9, 18, 27, 36]);
    plan.dispose();
    state.dispose();
  });

  it('slices and repeats the batch, slices channels', async () => {
    const values = randoms(3 * 10 * 4, 9);
    const a = DeviceTensor.from(gpu, values, [3, 10, 2, 2]);
    const cases: [string, (t: Tensor) => Tensor, number[], (n: number, c: number, p: number) => number][] = [
      ['slice', t => t.slice(0, 1, 3), [2, 10, 2, 2], (n, c, p) => values[((n + 1) * 10 + c) * 4 + p]],
      ['channels', t => t.slice(1, 3, 9), [3, 6, 2, 2], (n, c, p) => values[(n * 10 + c + 3) * 4 + p]],
      ['interleaved', t => t.repeat(2), [6, 10, 2, 2], (n, c, p) => values[((n % 3) * 10 + c) * 4 + p]],
      [
        'consecutive',
        t => t.repeat(2, 'consecutive'),
        [6, 10, 2, 2],
        (n, c, p) => values[(Math.floor(n / 2) * 10 + c) * 4 + p],
      ],
    ];
    for (const [name, f, shape, at] of cases) {
      const graph = new Graph(gpu);
      const out = DeviceTensor.create(gpu, shape);
      graph.store(f(graph.input(a)), out);
      const plan = await graph.compile();
      plan.run();
      const got = await out.read();
      const expected = Float32Array.from(got, (_, i) =>
        at(Math.floor(i / (shape[1] * 4)), Math.floor(i / 4) % shape[1], i % 4),
      );
      expect(got, name).toEqual(expected);
      plan.dispose();
      out.dispose();
    }
    a.dispose();
  });
});
