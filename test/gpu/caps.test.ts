import { describe, expect, it } from 'vitest';
import { type CapsOptions, readCaps } from '../../src/gpu/caps.ts';

function half(features: readonly string[], description: string, options: CapsOptions = {}): string {
  const device = { features: new Set(features), limits: {} } as unknown as GPUDevice;
  const info = { vendor: 'v', architecture: 'a', device: 'd', description } as GPUAdapterInfo;
  return readCaps(device, info, options).half;
}

describe('the form of halves', () => {
  it('is f16 on a GPU that has it, and packed on software that has it', () => {
    expect(half(['shader-f16'], 'NVIDIA H100')).toBe('f16');
    expect(half(['shader-f16'], 'llvmpipe (LLVM 15)')).toBe('f16-packed');
  });

  it('is packed wherever the feature is absent, whatever was asked for', () => {
    expect(half([], 'NVIDIA H100', { half: 'f16' })).toBe('f16-packed');
  });

  it('is the other where that is asked for', () => {
    expect(half(['shader-f16'], 'llvmpipe', { half: 'f16' })).toBe('f16');
    expect(half(['shader-f16'], 'NVIDIA H100', { half: 'f16-packed' })).toBe('f16-packed');
  });
});

describe('the largest binding', () => {
  const limits = { maxStorageBufferBindingSize: 2 ** 31 };
  const device = { features: new Set(), limits } as unknown as GPUDevice;
  const info = { description: 'NVIDIA H100' } as GPUAdapterInfo;
  const most = (options: CapsOptions = {}) => readCaps(device, info, options).maxBindingBytes;

  it('is what the device allows, or less where that is asked for', () => {
    expect(most()).toBe(2 ** 31);
    expect(most({ maxBindingBytes: 2 ** 27 })).toBe(2 ** 27);
    expect(most({ maxBindingBytes: 2 ** 40 })).toBe(2 ** 31);
    expect(readCaps(device, info, { maxBindingBytes: 2 ** 27 }).grantedBindingBytes).toBe(2 ** 31);
  });

  it.each([0, -1, 4095, 8192.5, Number.NaN, Number.POSITIVE_INFINITY])('is refused where it is %d', maxBindingBytes => {
    expect(() => most({ maxBindingBytes })).toThrow(/Gpu\.request: no size of a binding.*maxBindingBytes/);
  });
});
