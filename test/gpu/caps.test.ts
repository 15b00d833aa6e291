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
