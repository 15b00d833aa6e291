import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Gpu } from '../../../src/gpu/device.ts';
import { DeviceMemory } from '../../../src/pipeline/runtime/device-memory.ts';
import { DeviceProgram, type Recording, runOnce } from '../../../src/pipeline/runtime/device-program.ts';
import type { DeviceTensor } from '../../../src/tensor/device-tensor.ts';
import { type Counter, countDevice } from '../../support/counting.ts';
import { freshGpu } from '../../support/gpu.ts';

let gpu: Gpu;
let counter: Counter;
let memory: DeviceMemory;
beforeEach(async () => {
  gpu = await freshGpu();
  counter = countDevice(gpu);
  memory = new DeviceMemory(gpu);
});
afterEach(() => {
  counter.stop();
  gpu.dispose();
});

interface Doubling {
  readonly x: DeviceTensor;
  readonly y: DeviceTensor;
}

/** y = 2x */
const doubling: Recording<Doubling> = (graph, scope) => {
  const x = scope.tensor([2, 3], 'float32', 'x');
  return { x, y: scope.store(graph, graph.input(x).scale(2), 'y') };
};

const nothing = () => expect([memory.bytes, counter.liveBytes]).toEqual([0, 0]);

describe('a program', () => {
  test('reads and writes its tensors at each run, and counts every byte that it holds', async () => {
    const program = await DeviceProgram.compile(memory, 'doubling', doubling);
    expect(memory.bytes).toBe(counter.liveBytes);
    for (const first of [1, 10]) {
      program.io.x.write([first, 2, 3, 4, 5, 6]);
      await program.run();
      expect([...(await program.io.y.read())]).toEqual([2 * first, 4, 6, 8, 10, 12]);
    }
    program.dispose();
    program.dispose();
    nothing();
    expect(() => program.run()).toThrow('disposed');
  });

  test('that cannot be recorded leaves nothing behind', async () => {
    const reason = new TypeError('no');
    const broken: Recording<void> = (graph, scope) => {
      doubling(graph, scope);
      throw reason;
    };
    await expect(DeviceProgram.compile(memory, 'broken', broken)).rejects.toBe(reason);
    nothing();
    expect(memory.peak).toBeGreaterThan(0);
  });

  test('that the device refuses leaves nothing behind', async () => {
    const { device } = gpu;
    const { createComputePipelineAsync } = device;
    const reason = new TypeError('no pipeline');
    device.createComputePipelineAsync = () => Promise.reject(reason);
    await expect(DeviceProgram.compile(memory, 'refused', doubling)).rejects.toThrow();
    device.createComputePipelineAsync = createComputePipelineAsync;
    nothing();
  });

  test('that nobody wants any more once it is there leaves nothing behind', async () => {
    const reason = new TypeError('too late');
    const check = () => {
      throw reason;
    };
    await expect(DeviceProgram.compile(memory, 'late', doubling, check)).rejects.toBe(reason);
    nothing();
  });
});

describe('a program for one use', () => {
  const six: Recording<DeviceTensor> = (graph, scope) =>
    scope.store(graph, graph.constant([1, 2, 3], [1, 3]).scale(6), 'six');

  test('gives its values and leaves nothing behind', async () => {
    const { data, shape } = await runOnce(memory, 'once', six);
    expect([[...data], shape]).toEqual([
      [6, 12, 18],
      [1, 3],
    ]);
    nothing();
    expect(memory.peak).toBeGreaterThan(0);
  });

  test('does not run where the check says no', async () => {
    const reason = new TypeError('enough');
    counter.take();
    await expect(
      runOnce(memory, 'once', six, () => {
        throw reason;
      }),
    ).rejects.toBe(reason);
    expect(counter.take().submits).toBe(0);
    nothing();
  });
});

describe('a scope', () => {
  test('frees its tensors once, and takes no more then', () => {
    const scope = memory.scope();
    const tensor = scope.tensor([4, 4]);
    expect(memory.bytes).toBe(tensor.bytes);
    scope.dispose();
    scope.dispose();
    nothing();
    expect(memory.peak).toBe(tensor.bytes);
    expect(() => scope.tensor([4, 4], 'float32', 'late')).toThrow(
      'TensorScope.tensor: the scope was disposed: got late',
    );
  });
});
