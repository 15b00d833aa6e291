import { describe, expect, it } from 'vitest';
import { Conv2d } from '../../src/nn/conv2d.ts';
import { silu } from '../../src/nn/functional.ts';
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
const w = Weights.open(
  memoryCheckpoint({
    'linear.weight': { shape: [16, 16], values: randoms(256, 1) },
    'linear.bias': { shape: [16], values: randoms(16, 2) },
    'norm.weight': { shape: [16], values: randoms(16, 3) },
    'norm.bias': { shape: [16], values: randoms(16, 4) },
    'conv.weight': { shape: [16, 16, 1, 1], values: randoms(256, 5) },
    'conv.bias': { shape: [16], values: randoms(16, 6) },
  }),
);
const linear = new Linear(w.at('linear'), { in: 16, out: 16 });
const norm = new GroupNorm(w.at('norm'), { channels: 16, groups: 4, eps: 1e-5 });
const conv = new Conv2d(w.at('conv'), { in: 16, out: 16, kernel: 1 });
await w.load(gpu);

async function run(fuse: boolean, inputs: readonly number[][], record: (...inputs: Tensor[]) => Tensor) {
  const graph = new Graph(gpu);
  const devices = inputs.map((shape, i) => {
    const count = shape.reduce((a, b) => a * b, 1);
    return DeviceTensor.from(gpu, randoms(count, 20 + i), shape);
  });
  const result = record(...devices.map(d => graph.input(d)));
  const out = DeviceTensor.create(gpu, result.shape, result.dtype);
  graph.store(result, out);
  const plan = await graph.compile({ fuse });
  plan.run();
  const values = await out.read();
  for (const d of [plan, out, ...devices]) d.dispose();
  return values;
}

/** Recordings in which a view, or a sum of another kind, stands where a fusion usually does. */
const CASES: Record<string, { inputs: number[][]; record: (...inputs: Tensor[]) => Tensor }> = {
  'an activation of some rows of a product': {
    inputs: [[4, 16]],
    record: (x: Tensor) => silu(linear.forward(x).slice(0, 1, 3)),
  },
  'an activation of one picture of a normalised batch': {
    inputs: [[3, 16, 2, 2]],
    record: (x: Tensor) => silu(norm.forward(x).slice(0, 1, 2)),
  },
  'a sum with some rows of a product': {
    inputs: [
      [4, 16],
      [2, 16],
    ],
    record: (x: Tensor, y: Tensor) => linear.forward(x).slice(0, 2, 4).add(y),
  },
  'one map added to all pictures, with as many pixels as there are pictures': {
    inputs: [
      [4, 16, 2, 2],
      [1, 16, 2, 2],
    ],
    record: (x: Tensor, y: Tensor) => conv.forward(x).add(y),
  },
  'a product added to itself': {
    inputs: [[4, 16]],
    record: (x: Tensor) => {
      const h = linear.forward(x);
      return h.add(h);
    },
  },
};

describe('fusion leaves alone', () => {
  it.each(Object.entries(CASES))('%s', async (_, { inputs, record }) => {
    const [fused, plain] = [await run(true, inputs, record), await run(false, inputs, record)];
    expectClose(fused, plain, 1e-6);
  });
});

describe('whole numbers', () => {
  it.each(['int32', 'uint32'] as const)('reach the device as they are, beyond what float32 holds: %s', async dtype => {
    const big = dtype === 'int32' ? [-16777217, 16777217, 2147483647] : [16777217, 4294967295, 0];
    const tensor = DeviceTensor.from(gpu, big, [3], dtype);
    const { buffer } = tensor.slice;
    const staging = gpu.device.createBuffer({ size: 12, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    const encoder = gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, 12);
    gpu.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const words = staging.getMappedRange();
    expect([...(dtype === 'int32' ? new Int32Array(words) : new Uint32Array(words))]).toEqual(big);
    staging.destroy();
    tensor.dispose();
  });
});
