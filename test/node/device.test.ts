import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { listAdapters, requestGpu } from '../../src/node/device.ts';

describe('requestGpu', () => {
  it('gives a device that can compute', async () => {
    const gpu = await requestGpu();
    expect(gpu.caps.maxBindingBytes).toBeGreaterThanOrEqual(128 * 2 ** 20);
    await gpu.idle();
    gpu.dispose();
  });

  it('takes any part of an adapter name, whatever its case', async () => {
    const [first] = await listAdapters();
    const part = first.name.slice(0, 6).toUpperCase();
    const gpu = await requestGpu({ adapterName: part });
    expect(gpu.caps.description).toBe(first.info.description);
    gpu.dispose();
  });

  it('names the adapters that there are when asked for another', async () => {
    const [first] = await listAdapters();
    await expect(requestGpu({ adapterName: 'Voodoo' })).rejects.toThrow(
      `requestGpu: no adapter has this name: expected part of '${first.name}'`,
    );
    await expect(requestGpu({ adapterName: 'Voodoo' })).rejects.toThrow(
      'Run `pentimento devices` to see the adapters.',
    );
  });

  it('hands flags on to Dawn', async () => {
    const gpu = await requestGpu({ dawnFlags: ['backend=null'] });
    expect(gpu.caps.device).toBe('null-backend');
    gpu.dispose();
  });
});

describe('listAdapters', () => {
  it('describes what can be used', async () => {
    const adapters = await listAdapters();
    expect(adapters.length).toBeGreaterThan(0);
    for (const a of adapters) {
      expect(a.name).not.toBe('');
      expect(a.limits.maxBufferSize).toBeGreaterThan(2 ** 27);
      expect(a.features).toEqual([...a.features].sort());
    }
  });
});

describe('without a driver', () => {
  // Drivers are chosen when Dawn starts: each case needs a process of its own.
  const message = async (drivers: string): Promise<string> => {
    const script = `
      const { requestGpu } = await import('./src/node/device.ts');
      await requestGpu().then(() => console.log('a device'), e => console.log(e.name + ' ' + e.message));
      process.exit(0);`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', './test/support/run-typescript.mjs', '--input-type=module', '--eval', script],
      { env: { ...process.env, VK_DRIVER_FILES: drivers }, cwd: new URL('../..', import.meta.url) },
    );
    return stdout.trim();
  };

  it('names the drivers that are of no use, and how to get one', async () => {
    expect(await message('/nowhere/too-old.json')).toMatchInlineSnapshot(
      `"DeviceError requestGpu: no graphics driver on this machine can run WebGPU: expected a Vulkan 1.1, Metal or D3D12 driver that Dawn accepts, got drivers that are too old, or whose device is out of reach: /nowhere/too-old.json. Install a driver for the graphics card, or the software driver of Mesa 25 or newer (Debian and Ubuntu: package mesa-vulkan-drivers; on Debian 12 from bookworm-backports, which the repository's scripts/setup-debian.sh does)."`,
    );
  });
});
