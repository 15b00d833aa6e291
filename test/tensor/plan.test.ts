import { describe, expect, it } from 'vitest';
import { Conv2d } from '../../src/nn/conv2d.ts';
import { concat, silu, upsampleNearest } from '../../src/nn/functional.ts';
import { Linear } from '../../src/nn/linear.ts';
import { GroupNorm } from '../../src/nn/norm.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { cacheAppend } from '../../src/tensor/ops/cache.ts';
import type { Plan } from '../../src/tensor/plan.ts';
import type { Lowering, Tensor } from '../../src/tensor/tensor.ts';
import { expectClose } from '../support/close.ts';
import { countDevice } from '../support/counting.ts';
import { freshGpu, testGpu } from '../support/gpu.ts';
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
async function record() {
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
  return {
    graph,
    out,
    dispose: () => {
      for (const d of [weights, a, b, t, out]) d.dispose();
    },
  };
}

async function build(fuse: boolean) {
  const { graph, out, dispose } = await record();
  const plan = await graph.compile({ fuse, label: 'block' });
  const values = await resultOf(plan, out);
  return {
    plan,
    values,
    dispose: () => {
      plan.dispose();
      dispose();
    },
  };
}

/** What a plan writes, and what it costs: equal for equal plans. */
async function resultOf(plan: Plan, out: DeviceTensor): Promise<Float32Array> {
  out.write(new Float32Array(out.shape.reduce((a, b) => a * b, 1)));
  plan.run();
  return out.read();
}

const costOf = ({ dispatches, flops, peakBytes }: Plan) => ({ dispatches, flops, peakBytes });

/** All that a graph says: its nodes with what they read, write and would call, its stores and constants. */
function descriptionOf(graph: Graph) {
  const look = ({ value, shape, rowOffset, parts }: Tensor) => ({ value, shape, rowOffset, parts });
  return {
    nodes: graph.nodes.map(node => {
      const calls: unknown[] = [];
      const lowering: Lowering = {
        caps: gpu.caps,
        storage: dtype => (dtype === 'float16' ? gpu.caps.half : 'f32'),
        temporary: (shape, dtype) => graph.allocate(shape, dtype),
        measuredPixels: () => undefined,
        moments: new Map(),
        emit: ({ bindings, ...call }, buffers) => {
          const names = bindings.map(({ name, access }) => ({ name, access }));
          const operands = Object.entries(buffers).map(([name, b]) => [name, 'value' in b ? look(b) : b.slice]);
          calls.push({ ...call, bindings: names, operands });
        },
      };
      node.lower(lowering);
      return {
        node,
        kind: node.kind,
        inputs: node.inputs().map(look),
        output: node.output && look(node.output),
        calls,
      };
    }),
    stores: graph.stores.map(({ tensor, target }) => ({ tensor: look(tensor), target: look(target) })),
    constants: graph.constants.map(({ bytes }) => new Uint8Array(bytes.buffer.slice(0))),
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

  it('stores in the recorded order, also where a store reads what another writes', async () => {
    const x = DeviceTensor.from(gpu, [1, 2], [1, 2]);
    const [a, b, c] = [1, 2, 3].map(() => DeviceTensor.from(gpu, [10, 20], [1, 2]));
    const graph = new Graph(gpu);
    const doubled = graph.input(x).scale(2);
    const tripled = graph.input(x).scale(3);
    graph.store(graph.input(a), b);
    graph.store(doubled, a);
    graph.store(tripled, c);
    graph.store(doubled, c);
    const plan = await graph.compile();
    plan.run();
    const read = async () => Promise.all([a, b, c].map(async tensor => [...(await tensor.read())]));
    expect(await read()).toEqual([
      [2, 4],
      [10, 20],
      [2, 4],
    ]);
    plan.run();
    expect((await read())[1]).toEqual([2, 4]);
    for (const thing of [plan, x, a, b, c]) thing.dispose();
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

/** silu(x W + b) + x: the product, its activation and the sum are one kernel where they may be. */
async function shortNetwork() {
  const w = Weights.open(
    memoryCheckpoint({
      weight: { shape: [16, 16], values: randoms(256, 20) },
      bias: { shape: [16], values: randoms(16, 21) },
    }),
  );
  const linear = new Linear(w, { in: 16, out: 16 });
  const weights = await w.load(gpu);
  const values = randoms(3 * 16, 22);
  const input = DeviceTensor.from(gpu, values, [3, 16]);
  const out = DeviceTensor.create(gpu, [3, 16]);
  const graph = new Graph(gpu);
  const x = graph.input(input);
  graph.store(silu(linear.forward(x)).add(x), out);
  return { graph, out, things: [weights, input, out] };
}

describe('two plans of one graph', () => {
  it('two plans of one graph give the same numbers', async () => {
    const { graph, out, things } = await shortNetwork();
    const plans = [await graph.compile(), await graph.compile()];
    expect(plans.map(p => p.dispatches)).toEqual([1, 1]);
    const [first, second] = [await resultOf(plans[0], out), await resultOf(plans[1], out)];
    expect(second).toEqual(first);
    expect(costOf(plans[1])).toEqual(costOf(plans[0]));
    expect(Math.max(...first.map(Math.abs))).toBeGreaterThan(0.1);
    for (const thing of [...plans, ...things]) thing.dispose();
  });

  it('may be fused and unfused, in any order', async () => {
    const { graph, out, things } = await shortNetwork();
    const plans: Plan[] = [];
    for (const fuse of [false, true, false, true]) plans.push(await graph.compile({ fuse }));
    expect(plans.map(p => p.dispatches)).toEqual([3, 1, 3, 1]);
    const values: Float32Array[] = [];
    for (const plan of plans) values.push(await resultOf(plan, out));
    expect([values[2], values[3]]).toEqual([values[0], values[1]]);
    expectClose(values[1], values[0], 1e-6);
    expect([plans[2], plans[3]].map(costOf)).toEqual([plans[0], plans[1]].map(costOf));
    for (const thing of [...plans, ...things]) thing.dispose();
  });

  it('may be compiled at the same time', async () => {
    const { graph, out, things } = await shortNetwork();
    const plans = await Promise.all([graph.compile(), graph.compile({ fuse: false }), graph.compile()]);
    expect(plans.map(p => p.dispatches)).toEqual([1, 3, 1]);
    expect(await resultOf(plans[2], out)).toEqual(await resultOf(plans[0], out));
    for (const thing of [...plans, ...things]) thing.dispose();
  });

  it('leave the graph as it was recorded', async () => {
    const { graph, out, dispose } = await record();
    const before = descriptionOf(graph);
    expect(before.nodes.length).toBeGreaterThan(8);
    const fused = await graph.compile();
    expect(descriptionOf(graph)).toEqual(before);
    const plain = await graph.compile({ fuse: false });
    expect(descriptionOf(graph)).toEqual(before);
    expect(fused.dispatches).toBeLessThan(plain.dispatches);
    const again = await graph.compile();
    expect(costOf(again)).toEqual(costOf(fused));
    expect(await resultOf(again, out)).toEqual(await resultOf(fused, out));
    for (const thing of [fused, plain, again]) thing.dispose();
    dispose();
  });

  it('own their constants apart', async () => {
    const own = await freshGpu();
    const counter = countDevice(own);
    const values = Float32Array.of(1, 2, 3, 4, 5, 6);
    const out = DeviceTensor.create(own, [2, 3]);
    const graph = new Graph(own);
    const tensors = counter.liveBytes;
    graph.store(graph.constant(values, [2, 3]).scale(2), out);
    values.fill(0); // the graph has a copy
    expect(counter.liveBytes, 'a recording holds no device memory').toBe(tensors);
    const [first, second] = [await graph.compile(), await graph.compile()];
    expect(counter.liveBytes - tensors).toBe(first.peakBytes + second.peakBytes);
    expect(first.peakBytes).toBe(64 + 256); // two rows of eight and one uniform block: nothing else needs memory
    expect([...(await resultOf(first, out))]).toEqual([2, 4, 6, 8, 10, 12]);
    first.dispose();
    expect(counter.liveBytes - tensors).toBe(second.peakBytes);
    expect([...(await resultOf(second, out))]).toEqual([2, 4, 6, 8, 10, 12]);
    second.dispose();
    out.dispose();
    expect(counter.liveBytes).toBe(0);
    own.dispose();
  });

  it('store a constant as they store an input', async () => {
    const values = randoms(2 * 3 * 4 * 5, 30);
    for (const dtype of ['float32', 'float16'] as const) {
      const out = DeviceTensor.create(gpu, [2, 3, 4, 5], dtype);
      const graph = new Graph(gpu);
      graph.store(graph.constant(values, [2, 3, 4, 5], dtype), out);
      for (const plan of [await graph.compile(), await graph.compile()]) {
        expectClose(await resultOf(plan, out), values, dtype === 'float32' ? 0 : 1e-3);
        plan.dispose();
      }
      out.dispose();
    }
  });

  it('change DeviceTensors in the recorded order', async () => {
    const w = Weights.open(
      memoryCheckpoint({ weight: { shape: [8, 8], values: Array.from({ length: 64 }, (_, i) => (i % 9 ? 0 : 10)) } }),
    );
    const tenfold = new Linear(w, { in: 8, out: 8, bias: false });
    const weights = await w.load(gpu);
    const cache = DeviceTensor.create(gpu, [1, 4, 8]);
    const out = DeviceTensor.create(gpu, [1, 4, 8]);
    const graph = new Graph(gpu);
    const held = graph.input(cache);
    const append = (value: number, at: number) => {
      const x = graph.constant(new Array(8).fill(value), [1, 1, 8]).scale(2);
      cacheAppend(held, { tensor: x, offset: 0 }, graph.constant([at + 1, at], [1, 2], 'uint32'));
    };
    const before = tenfold.forward(held);
    append(1, 0);
    const between = tenfold.forward(held);
    append(2, 1);
    // Neither product may move behind the effects to where its activation is recorded.
    graph.store(silu(before).add(silu(between)).add(held), out);
    const results: Float32Array[] = [];
    for (const fuse of [true, false, true]) {
      cache.write(new Float32Array(32));
      const plan = await graph.compile({ fuse });
      plan.run();
      results.push(await out.read());
      expect([...(await cache.read())].filter((_, i) => i % 8 === 0)).toEqual([2, 4, 0, 0]);
      plan.dispose();
    }
    expectClose(results[0].subarray(0, 8), new Array(8).fill(20 + 2), 1e-6);
    expect([...results[0].subarray(8)]).toEqual([...new Array(8).fill(4), ...new Array(16).fill(0)]);
    expectClose(results[1], results[0], 1e-6);
    expect(results[2]).toEqual(results[0]);
    for (const thing of [cache, out, weights]) thing.dispose();
  });

  it('are unharmed by one that could not be made, which leaves nothing behind', async () => {
    const own = await freshGpu();
    const counter = countDevice(own);
    const out = DeviceTensor.create(own, [1, 3]);
    const graph = new Graph(own);
    graph.store(
      graph
        .constant([1, 2, 3], [1, 3])
        .scale(2)
        .add(graph.constant([1, 1, 1], [1, 3])),
      out,
    );
    const first = await graph.compile();
    const held = counter.liveBytes;
    const { of } = own.pipelines;
    const { createBindGroup } = own.device;
    own.pipelines.of = () => Promise.reject(new Error('no pipeline'));
    await expect(graph.compile({ fuse: false })).rejects.toThrow('no pipeline');
    own.pipelines.of = of;
    expect(counter.liveBytes).toBe(held);
    own.device.createBindGroup = () => {
      throw new Error('no bind group');
    };
    await expect(graph.compile()).rejects.toThrow('no bind group');
    own.device.createBindGroup = createBindGroup;
    expect(counter.liveBytes).toBe(held);
    const second = await graph.compile();
    for (const plan of [first, second]) expect([...(await resultOf(plan, out))]).toEqual([3, 5, 7]);
    for (const thing of [first, second, out]) thing.dispose();
    expect(counter.liveBytes).toBe(0);
    own.dispose();
  });
});
