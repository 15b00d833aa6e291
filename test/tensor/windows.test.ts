import { describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import { Conv2d } from '../../src/nn/conv2d.ts';
import { concat, silu, upsampleNearest } from '../../src/nn/functional.ts';
import { GroupNorm, LayerNorm } from '../../src/nn/norm.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { countDevice } from '../support/counting.ts';
import { testGpu } from '../support/gpu.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
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

  it('says so where even one tile does not fit', async () => {
    await expect(run(await testGpu({ maxBindingBytes: 4096 }), true)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: group-norm-stats: one tile needs more than a binding may hold: expected at most 4096 bytes, got [x1: 18688, x2: 18688]. Use a smaller picture, VAE tiling, or an adapter with a larger maxStorageBufferBindingSize.]`,
    );
  });
});
