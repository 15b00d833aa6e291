import { describe, expect, it } from 'vitest';
import { createStorage, readSlice } from '../../src/gpu/buffer.ts';
import { DispatchList } from '../../src/kernels/dispatch.ts';
import { fill } from '../../src/kernels/fill.ts';
import { countDevice } from '../support/counting.ts';
import { freshGpu, testGpu } from '../support/gpu.ts';

const invalid = { label: 'wrong', size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE };

describe('errors of the device', () => {
  it('reach the call that caused them, and no other that runs at the same time', async () => {
    const gpu = await testGpu();
    const good = (name: string) => gpu.guarded(name, () => name);
    const bad = gpu.guarded('bad', () => gpu.device.createBuffer(invalid));
    const settled = await Promise.allSettled([good('first'), bad, good('second')]);
    expect(settled.map(s => s.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    await expect(bad).rejects.toThrow(/^bad: the device reported an error: got .*wrong/s);
  });

  it('leave the scopes closed where the work itself throws', async () => {
    const gpu = await testGpu();
    const fails = () => {
      throw new Error('mine');
    };
    await expect(gpu.guarded('a', fails)).rejects.toThrow('mine');
    await expect(gpu.guarded('b', () => gpu.device.createBuffer(invalid))).rejects.toThrow('b: the device reported');
    await expect(gpu.guarded('c', () => 1)).resolves.toBe(1);
  });

  it('outside of any call are told by the next one, once', async () => {
    const gpu = await freshGpu();
    gpu.device.createBuffer(invalid);
    await gpu.device.queue.onSubmittedWorkDone();
    await expect(gpu.idle()).rejects.toThrow(/^Gpu\.idle: the device reported an error earlier: got .*wrong/s);
    await gpu.idle();
    gpu.dispose();
  });

  it('leave no uniform buffer where a kernel is refused', async () => {
    const gpu = await freshGpu();
    const counter = countDevice(gpu);
    const y = createStorage(gpu, 256, 'y');
    const list = new DispatchList(gpu);
    const call = fill({ rows: 1, width: 8, pitch: 8, storage: 'f32' });
    list.add({ ...call, source: call.source.replace('fn main', 'fn main_') }, { y });
    await expect(list.build()).rejects.toThrow('the device refused the kernel');
    list.dispose();
    y.buffer.destroy();
    expect(counter.liveBytes).toBe(0);
    gpu.dispose();
  });
});

describe('a lost device', () => {
  it('is told by every later call, with what to do', async () => {
    const gpu = await freshGpu();
    gpu.device.destroy();
    await gpu.device.lost;
    expect(() => gpu.check('DeviceTensor.write')).toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: DeviceTensor.write: the device was lost: got destroyed: device was destroyed. Request a new device and load the models again; a driver reset or a time-out is the usual cause.]`,
    );
    await expect(gpu.guarded('Plan.compile', () => 1)).rejects.toThrow('the device was lost');
  });

  it('ends a read that waits for it', async () => {
    const gpu = await freshGpu();
    const values = readSlice(gpu, createStorage(gpu, 256, 'y'));
    gpu.device.destroy();
    await expect(values).rejects.toThrow(/^readSlice: (the device was lost|the device gave no values back)/);
  });

  it('is another thing than one that was given up', async () => {
    const gpu = await freshGpu();
    gpu.dispose();
    await gpu.device.lost;
    expect(() => gpu.check('run')).toThrow('run: the device was disposed. Request a new one with Gpu.request().');
  });
});
