/** What a device that was granted may still lack. */
import { afterEach, expect, it, vi } from 'vitest';

afterEach(() => {
  vi.doUnmock('../../src/gpu/measure-speed.ts');
  vi.resetModules();
});

it('a part of the library that does not come is no refusal of the adapter, and the device is given back', async () => {
  vi.resetModules();
  vi.doMock('../../src/gpu/measure-speed.ts', () => {
    throw new TypeError('Failed to fetch dynamically imported module');
  });
  const { LoadError } = await import('../../src/core/errors.ts');
  const { Gpu } = await import('../../src/gpu/device.ts');
  const destroy = vi.fn();
  const device = { features: new Set(), limits: {}, destroy };
  const info = { vendor: '', architecture: '', device: '', description: '' };
  const adapter = { info, features: new Set(), limits: {}, requestDevice: async () => device };
  const gpu = { requestAdapter: async () => adapter } as unknown as GPU;
  const error = await Gpu.request({ gpu }).catch(e => e);
  expect(error).toBeInstanceOf(LoadError);
  expect(error.message).toContain('could not load what measures devices');
  expect(destroy).toHaveBeenCalledOnce();
});
