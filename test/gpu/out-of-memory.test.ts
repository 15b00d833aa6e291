/** Memory that runs out: an error with the numbers, and a machine that is asked before the driver is. */
import { expect, it } from 'vitest';
import { createMapped, createStorage, destroySlice, readSlice } from '../../src/gpu/buffer.ts';
import type { GpuOptions } from '../../src/gpu/device.ts';
import { DeviceError, OutOfMemoryError } from '../../src/index.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { countDevice } from '../support/counting.ts';
import { freshGpu } from '../support/gpu.ts';

/** A device whose memory is at an end: its scopes say so of whatever is made. */
async function exhausted() {
  const gpu = await freshGpu();
  const { device } = gpu;
  const scopes: string[] = [];
  device.pushErrorScope = filter => {
    scopes.push(filter);
  };
  device.popErrorScope = async () =>
    scopes.pop() === 'out-of-memory' ? new GPUOutOfMemoryError('no memory of type 1') : null;
  return gpu;
}

it('what a scope catches tells what was asked for, for what, and what was held', async () => {
  const gpu = await exhausted();
  createStorage(gpu, 1024, 'there before');
  const error = await gpu
    .guarded('Plan.compile', () => [createStorage(gpu, 2e6, 'arena 0'), createStorage(gpu, 3e6, 'arena 1')])
    .catch((e: unknown) => e);
  expect(error).toBeInstanceOf(OutOfMemoryError);
  expect(error).toBeInstanceOf(DeviceError);
  expect(error).toMatchInlineSnapshot(
    `[OutOfMemoryError: Plan.compile: the device is out of memory: got 5000000 bytes (5 MB) for arena 1, arena 0, beside 1024 (0 MB) that are held. Use dtype float16, enableModelCpuOffload, enableVaeSlicing, fewer images at a time, or a smaller picture. Give maxBytes, and the model saves memory of itself.]`,
  );
  expect((error as OutOfMemoryError).toJSON()).toMatchObject({
    class: 'OutOfMemoryError',
    code: 'device',
    bytes: { asked: 5e6, held: 1024 },
    cause: 'no memory of type 1',
  });
  gpu.dispose();
});

it('what no scope catches is told by the next call, once, with the buffer that was made last', async () => {
  const gpu = await freshGpu();
  createStorage(gpu, 4096, 'a tensor');
  const error = new GPUOutOfMemoryError('no memory of type 1');
  gpu.device.dispatchEvent(new GPUUncapturedErrorEvent('uncapturederror', { error }));
  const told = await gpu.idle().catch((e: unknown) => e);
  expect(told).toMatchObject({ name: 'OutOfMemoryError', bytes: { asked: 4096, held: 0 } });
  expect((told as Error).message).toMatch(/^Gpu\.idle: the device is out of memory: got 4096 bytes .* for a tensor/);
  await gpu.idle();
  gpu.dispose();
});

it('a device in software asks the machine before a larger buffer is made, and not for small ones', async () => {
  const asked: number[] = [];
  const availableBytes = (heldBytes: number): number => {
    asked.push(heldBytes);
    return 5e6 - heldBytes;
  };
  const gpu = await freshGpu({ availableBytes } as GpuOptions);
  expect(gpu.caps.software).toBe(true);
  const counter = countDevice(gpu);
  const small = createStorage(gpu, 1000, 'small');
  const first = createStorage(gpu, 3e6, 'first');
  await expect(gpu.guarded('WeightSet', () => createMapped(gpu, 2.5e6, 'staging'))).rejects.toMatchObject({
    message: expect.stringMatching(
      /^WeightSet: the machine has too little memory left: expected at most \d+ bytes \(2 MB\), got 2500000 bytes/,
    ),
    bytes: { asked: 2.5e6, held: small.size + first.size, available: 5e6 - small.size - first.size },
  });
  expect(counter.take().buffers).toBe(2);
  expect(asked).toEqual([small.size, small.size + first.size]);
  [small, first].forEach(destroySlice);
  createMapped(gpu, 2.5e6, 'staging').unmap();
  gpu.dispose();
});

it('counts what the device holds, to the byte', async () => {
  const gpu = await freshGpu();
  const counter = countDevice(gpu);
  const x = DeviceTensor.from(gpu, new Float32Array(5000), [50, 100]);
  const graph = new Graph(gpu, { dtype: 'float32' });
  const y = DeviceTensor.create(gpu, [50, 100], 'float32');
  graph.store(graph.input(x).add(graph.input(x)), y);
  const plan = await graph.compile();
  plan.run();
  await readSlice(gpu, y.slice);
  expect(gpu.memory.bytes).toBe(counter.liveBytes);
  expect(counter.liveBytes).toBeGreaterThan(40_000);
  plan.dispose();
  for (const tensor of [x, y, x]) tensor.dispose();
  expect([gpu.memory.bytes, counter.liveBytes]).toEqual([0, 0]);
  gpu.dispose();
});
