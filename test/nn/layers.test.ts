import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openSafetensors } from '../../src/io/safetensors.ts';
import { memorySource } from '../../src/io/sources.ts';
import { Attention } from '../../src/nn/attention.ts';
import { Conv2d } from '../../src/nn/conv2d.ts';
import { concat, silu } from '../../src/nn/functional.ts';
import { Linear } from '../../src/nn/linear.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
import { randoms } from '../support/run-kernel.ts';

const gpu = await testGpu();

async function run(
  w: Weights,
  inputs: [number[], Float32Array][],
  f: (...x: Tensor[]) => Tensor,
  fuse = true,
): Promise<Float32Array> {
  const weights = await w.load(gpu);
  const devices = inputs.map(([shape, values]) => DeviceTensor.from(gpu, values, shape));
  const graph = new Graph(gpu);
  const y = f(...devices.map(d => graph.input(d)));
  const out = DeviceTensor.create(gpu, y.shape);
  graph.store(y, out);
  const plan = await graph.compile({ fuse });
  plan.run();
  const values = await out.read();
  for (const d of [weights, plan, out, ...devices]) d.dispose();
  return values;
}

describe('layers', () => {
  it('refuse channels that padding would hide', () => {
    const graph = new Graph(gpu);
    const w = Weights.open(memoryCheckpoint({ 'a.weight': { shape: [5, 4], values: randoms(20) } })).at('a');
    const linear = new Linear(w, { in: 4, out: 5, bias: false });
    const x = graph.constant([1, 2, 3], [1, 3]);
    expect(() => linear.forward(x)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: linear: x has another number of channels than the weight: expected 4, got [1,3] (a)]`,
    );
    const map = graph.constant([1, 2, 3], [1, 3, 1, 1]);
    const conv = new Conv2d(w, { in: 4, out: 5, kernel: 1, bias: false });
    expect(() => conv.forward(map)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: conv2d: x is not a map with the channels that the weight takes: expected [N, 4, H, W], got [1,3,1,1] (a)]`,
    );
  });

  it('says everything that does not fit at once, by full key', async () => {
    const w = Weights.open(
      memoryCheckpoint({
        'a.weight': { shape: [5, 3], values: randoms(15) },
        'b.weight': { shape: [2], values: [1, 2], dtype: 'I64' },
        'stray.thing': { shape: [1], values: [0] },
        position_ids: { shape: [1], values: [0], dtype: 'I64' },
      }),
    );
    new Linear(w.at('a'), { in: 4, out: 5 });
    w.at('b').vector([{ from: w.at('b'), name: 'weight', outputs: 2, inputs: 1 }]);
    w.ignore(/position_ids$/);
    await expect(w.load(gpu)).rejects.toThrowErrorMatchingInlineSnapshot(`
      [WeightsError: Weights.load: the checkpoint does not fit the model:
        wrong shape: a.weight is [5, 3], expected [5, 4]
        missing: a.bias
        wrong dtype: b.weight is I64, expected F32, F16, BF16, F64, F8_E4M3, F8_E5M2
        unused: stray.thing
       (memory). Check that config.json and the weights belong together.]
    `);
  });

  it('tells of many tensors in few lines, packed ones by their type', async () => {
    const packed = Array.from({ length: 30 }, (_, i) => [`q.${i}.weight`, { shape: [8, 1], values: [], dtype: 'U8' }]);
    const w = Weights.open(memoryCheckpoint(Object.fromEntries(packed)));
    for (let i = 0; i < 30; i++) new Linear(w.at('q').at(i), { in: 4, out: 4 });
    const packedAlone = Weights.open(memoryCheckpoint({ weight: { shape: [8, 1], values: [], dtype: 'U8' } }));
    new Linear(packedAlone, { in: 4, out: 4, bias: false });
    await expect(packedAlone.load(gpu)).rejects.toThrow(
      /Get the weights as floats, such as fp16: packed and quantised/,
    );
    const error: unknown = await w.load(gpu).catch((e: unknown) => e);
    const lines = String(error).split('\n');
    expect(lines.slice(20)).toMatchInlineSnapshot(`
      [
        "  missing: q.19.bias",
        "  wrong dtype: q.0.weight is U8, q.1.weight is U8, q.2.weight is U8 and 27 more, expected F32, F16, BF16, F64, F8_E4M3, F8_E5M2",
        "  missing: 10 more",
        " (memory). Check that config.json and the weights belong together.",
      ]
    `);
  });

  it('compute with 64-bit and scaled 8-bit weights as with the same numbers in 32 bits', async () => {
    const file = readFileSync(new URL('../golden/outside-weights/float8.safetensors', import.meta.url));
    const truth = JSON.parse(
      readFileSync(new URL('../golden/outside-weights/index.json', import.meta.url), 'utf8'),
    ).widened;
    const x: [number[], Float32Array][] = [[[2, 4], randoms(8, 5)]];
    const layer = (w: Weights, name: string) => {
      const linear = new Linear(w.at(name), { in: 4, out: 3, bias: false });
      w.ignore(/./);
      return run(w, x, input => linear.forward(input));
    };
    for (const name of ['one', 'each', 'half']) {
      const { shape, values } = truth[`${name}.weight`];
      const plain = Weights.open(memoryCheckpoint({ [`${name}.weight`]: { shape, values } }));
      const scaled = Weights.open(await openSafetensors(memorySource(new Uint8Array(file))));
      expect(await layer(scaled, name)).toEqual(await layer(plain, name));
    }
    const values = Array.from(randoms(12, 6), value => value + 1e-12);
    const double = Weights.open(memoryCheckpoint({ 'd.weight': { shape: [3, 4], values, dtype: 'F64' } }));
    const single = Weights.open(memoryCheckpoint({ 'd.weight': { shape: [3, 4], values } }));
    expect(await layer(double, 'd')).toEqual(await layer(single, 'd'));
  });

  it('joins the two halves of a concatenation before an activation, fused or not', async () => {
    const open = () =>
      Weights.open(
        memoryCheckpoint({
          weight: { shape: [6, 16], values: randoms(96, 1) },
          bias: { shape: [6], values: randoms(6, 2) },
        }),
      );
    const inputs: [number[], Float32Array][] = [
      [[2, 5, 8], randoms(80, 3)],
      [[2, 5, 8], randoms(80, 4)],
    ];
    const results = [];
    for (const fuse of [false, true]) {
      const w = open();
      const linear = new Linear(w, { in: 16, out: 6 });
      results.push(await run(w, inputs, (a, b) => silu(linear.forward(concat([a, b], 2))), fuse));
    }
    expectClose(results[1], results[0], 1e-6);
  });

  it('attend with heads of odd width as plain arithmetic does', async () => {
    const [heads, width, tokens] = [2, 5, 3];
    const d = heads * width;
    const names = ['to_q', 'to_k', 'to_v', 'to_out.0'];
    const values = Object.fromEntries(
      names.map((n, i) => [`${n}.weight`, { shape: [d, d], values: randoms(d * d, i + 1) }]),
    );
    const bias = randoms(d, 9);
    const w = Weights.open(memoryCheckpoint({ ...values, 'to_out.0.bias': { shape: [d], values: bias } }));
    const attention = new Attention(w, { query: d, heads });
    const x = randoms(tokens * d, 7);
    const project = (m: ArrayLike<number>, v: ArrayLike<number>) =>
      Array.from({ length: tokens * d }, (_, i) => {
        let sum = 0;
        for (let k = 0; k < d; k++) sum += v[Math.floor(i / d) * d + k] * m[(i % d) * d + k];
        return sum;
      });
    const [q, k, v] = names.slice(0, 3).map(n => project(values[`${n}.weight`].values, x));
    const mixed = new Float64Array(tokens * d);
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < tokens; i++) {
        const scores = Array.from({ length: tokens }, (_, j) => {
          let s = 0;
          for (let e = 0; e < width; e++) s += q[i * d + h * width + e] * k[j * d + h * width + e];
          return Math.exp(s / Math.sqrt(width));
        });
        const total = scores.reduce((a, b) => a + b);
        for (let e = 0; e < width; e++)
          for (let j = 0; j < tokens; j++)
            mixed[i * d + h * width + e] += (scores[j] / total) * v[j * d + h * width + e];
      }
    const expected = project(values['to_out.0.weight'].values, mixed).map((y, i) => y + bias[i % d]);
    expectClose(await run(w, [[[1, tokens, d], x]], t => attention.forward(t)), expected, 2e-6);
  });
});
