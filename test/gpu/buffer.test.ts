import { describe, expect, it } from 'vitest';
import { createMapped, createStorage, readSlice, writeSlice } from '../../src/gpu/buffer.ts';
import { freshGpu, testGpu } from '../support/gpu.ts';

const gpu = await testGpu();

describe('buffers', () => {
  it('are zeros, of at least one binding, in whole vec4s', async () => {
    for (const [bytes, size] of [
      [0, 16],
      [16, 16],
      [17, 32],
    ]) {
      const slice = createStorage(gpu, bytes, 'y');
      expect([slice.size, slice.buffer.size, slice.offset]).toEqual([size, size, 0]);
      expect(new Uint8Array(await readSlice(gpu, slice)).every(byte => byte === 0)).toBe(true);
      slice.buffer.destroy();
    }
  });

  it('are refused beyond the limit of the device before it is asked, uploads too', () => {
    const small = Object.create(gpu, {
      caps: { value: { ...gpu.caps, maxBufferBytes: 1024 } },
      check: { value: () => {} },
    });
    for (const create of [createStorage, createMapped])
      expect(() => create(small, 1025, 'activations')).toThrowErrorMatchingInlineSnapshot(
        `[DeviceError: activations: a buffer would exceed the device limit maxBufferSize: expected at most 1024 bytes, got 1040. Use an adapter with a larger maxBufferSize.]`,
      );
    createStorage(small, 1024, 'y').buffer.destroy();
  });

  it('take no more bytes than they have', async () => {
    const slice = createStorage(gpu, 32, 'y');
    writeSlice(gpu, slice, Uint32Array.of(1, 2, 3, 4), 16);
    expect([...new Uint32Array(await readSlice(gpu, slice))]).toEqual([0, 0, 0, 0, 1, 2, 3, 4]);
    expect(() => writeSlice(gpu, slice, new Uint32Array(4), 20)).toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: writeSlice: data is larger than the buffer: expected 32, got 36]`,
    );
    slice.buffer.destroy();
  });

  it('of a disposed device are told apart from any other failure', async () => {
    const own = await freshGpu();
    const slice = createStorage(own, 32, 'y');
    own.dispose();
    await expect(readSlice(own, slice)).rejects.toThrow('readSlice: the device was disposed');
    expect(() => writeSlice(own, slice, new Uint32Array(4))).toThrow('writeSlice: the device was disposed');
    expect(() => createStorage(own, 32, 'y')).toThrow('y: the device was disposed');
  });
});
