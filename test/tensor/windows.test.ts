import { describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import { Attention } from '../../src/nn/attention.ts';
import { Conv2d } from '../../src/nn/conv2d.ts';
import { concat, silu, upsampleNearest } from '../../src/nn/functional.ts';
import { GegluLinear, Linear } from '../../src/nn/linear.ts';
import { GroupNorm, LayerNorm } from '../../src/nn/norm.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { countDevice } from '../support/counting.ts';
import { testGpu } from '../support/gpu.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
import { limited } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';

const SIDE = 24;

/** Every kernel that works on maps, on maps of 18 to 147 KiB. */
async function run(gpu: Gpu, fuse: boolean) {
  const w = Weights.open(
    memoryCheckpoint({
      'norm.weight': { shape: [8], values: randoms(8, 1) },
      'norm.bias': { shape: [8], values: randoms(8, 2) },
      'rows.weight': { shape: [8], values: randoms(8, 3) },
      'rows.bias': { shape: [8], values: randoms(8, 4) },
      'conv.weight': { shape: [8, 8, 3, 3], values: randoms(576, 5) },
      'conv.bias': { shape: [8], values: randoms(8, 6) },
      'down.weight': { shape: [8, 8, 3, 3], values: randoms(576, 7) },
      'down.bias': { shape: [8], values: randoms(8, 8) },
    }),
  );
  const norm = new GroupNorm(w.at('norm'), { channels: 8, groups: 4, eps: 1e-5 });
  const rows = new LayerNorm(w.at('rows'), { width: 8, eps: 1e-5 });
  const conv = new Conv2d(w.at('conv'), { in: 8, out: 8, kernel: 3, padding: 1 });
  const down = new Conv2d(w.at('down'), { in: 8, out: 8, kernel: 3, stride: 2, padding: 1 });
  const weights = await w.load(gpu);
  const x = DeviceTensor.from(gpu, randoms(8 * SIDE * SIDE, 9), [1, 8, SIDE, SIDE]);
  const out = DeviceTensor.create(gpu, [1, 8, SIDE, SIDE]);
  const graph = new Graph(gpu);
  let h = silu(norm.forward(graph.input(x)));
  h = conv.forward(upsampleNearest(h, [2 * SIDE, 2 * SIDE])).add(upsampleNearest(graph.input(x), [2 * SIDE, 2 * SIDE]));
  h = rows.forward(h.tokens()).image(2 * SIDE, 2 * SIDE);
  h = concat([h, h.scale(0.5)], 1).slice(1, 4, 12);
  graph.store(down.forward(h), out);
  const plan = await graph.compile({ fuse });
  plan.run();
  const values = await out.read();
  const dispatches = plan.dispatches;
  for (const d of [plan, weights, x, out]) d.dispose();
  return { values, dispatches };
}

/** A convolution with a time embedding, attention over its pixels, a gated layer: weights and values of up to 100 KiB. */
async function block(gpu: Gpu): Promise<{ values: Float32Array; dispatches: number; largest: number }> {
  const [images, wide] = [3, 72];
  const values = (count: number, seed: number) => randoms(count, seed).map(x => x / 4);
  const w = Weights.open(
    memoryCheckpoint({
      'conv.weight': { shape: [wide, 24, 3, 3], values: values(wide * 24 * 9, 1) },
      'conv.bias': { shape: [wide], values: values(wide, 2) },
      'time.weight': { shape: [wide, 16], values: values(wide * 16, 3) },
      'time.bias': { shape: [wide], values: values(wide, 4) },
      ...Object.fromEntries(
        ['to_q', 'to_k', 'to_v', 'to_out.0'].map((key, i) => [
          `mix.${key}.weight`,
          { shape: [wide, wide], values: values(wide * wide, 5 + i) },
        ]),
      ),
      'mix.to_out.0.bias': { shape: [wide], values: values(wide, 9) },
      'gate.weight': { shape: [4 * wide, wide], values: values(4 * wide * wide, 10) },
      'gate.bias': { shape: [4 * wide], values: values(4 * wide, 11) },
    }),
  );
  const conv = new Conv2d(w.at('conv'), { in: 24, out: wide, kernel: 3, padding: 1 });
  const time = new Linear(w.at('time'), { in: 16, out: wide });
  const mix = new Attention(w.at('mix'), { query: wide, heads: 3 });
  const gate = new GegluLinear(w.at('gate'), { in: wide, out: 2 * wide });
  const weights = await w.load(await testGpu(gpu.caps.subgroupSize === 0 ? { bare: true } : {}));
  const x = DeviceTensor.from(gpu, values(images * 24 * 36, 12), [images, 24, 6, 6]);
  const t = DeviceTensor.from(gpu, values(images * 16, 13), [images, 16]);
  const out = DeviceTensor.create(gpu, [images, 36, 2 * wide]);
  const graph = new Graph(gpu);
  const h = conv.forward(graph.input(x)).add(time.forward(graph.input(t)).reshape([images, wide, 1, 1]));
  const tokens = h.tokens();
  graph.store(gate.forward(tokens.add(mix.forward(tokens))), out);
  const plan = await graph.compile();
  plan.run();
  const result = { values: await out.read(), dispatches: plan.dispatches, largest: weights.bytes };
  for (const d of [plan, weights, x, t, out]) d.dispose();
  return result;
}

describe('windows', () => {
  it('gives the same bits when no binding may exceed 48 KiB as when none is split', async () => {
    const whole = await run(await testGpu(), true);
    const small = await testGpu({ maxBindingBytes: 48 * 1024 });
    const counter = countDevice(small);
    const split = await run(small, true);
    counter.stop();
    expect(counter.largestBinding).toBeLessThanOrEqual(48 * 1024);
    expect(split.values).toEqual(whole.values);
    expect(split.dispatches).toBeGreaterThan(whole.dispatches);
  });

  it('does so without fusion, and with the kernels for GPUs', async () => {
    const whole = await run(await testGpu({ bare: true }), false);
    const split = await run(await testGpu({ bare: true, maxBindingBytes: 48 * 1024 }), false);
    expect(split.values).toEqual(whole.values);
    expect(split.dispatches).toBeGreaterThan(whole.dispatches);
  });

  it.each(['with broadcasts', 'on a bare device'])('gives the same bits of a block of the UNet: %s', async name => {
    const gpu = await testGpu(name === 'on a bare device' ? { bare: true } : {});
    const whole = await block(gpu);
    const limit = 56 * 1024; // 64 columns of the convolution, or 64 rows of q, k and v
    const split = await block(limited(gpu, { maxBindingBytes: limit }));
    expect(split.values).toEqual(whole.values);
    expect(split.dispatches).toBeGreaterThan(2 * whole.dispatches);
    expect(split.largest).toBeGreaterThan(2 * limit);
    expect(Math.max(...whole.values.map(Math.abs))).toBeGreaterThan(0.1);
  });

  it('says so where even one tile does not fit', async () => {
    await expect(run(await testGpu({ maxBindingBytes: 4096 }), true)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: group-norm-stats: a tile needs more of 'x1' than a binding may hold: expected at most 4096 bytes, got 18432 (x1). Use maxBindingBytes above 4096.]`,
    );
  });
});
