/** What a device that was granted may still lack. */
import { expect, it, vi } from 'vitest';
import { LoadError } from '../../src/core/errors.ts';
import { Gpu } from '../../src/gpu/device.ts';

vi.mock('../../src/gpu/measure-speed.ts', () => {
  throw new TypeError('Failed to fetch dynamically imported module');
});

it('a part of the library that does not come is no refusal of the adapter, and the device is given back', async () => {
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
