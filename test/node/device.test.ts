import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { listAdapters, requestGpu } from '../../src/node/device.ts';

/** What requestGpu says in a process of its own: Dawn chooses drivers, and Node finds the package, once a process. */
async function inProcess(env: Record<string, string>, webgpu?: string): Promise<string> {
  const hook = `export const resolve = async (name, context, next) => {
    if (name !== 'webgpu') return next(name, context);
    ${webgpu}
  };`;
  const script = `
    const { register } = await import('node:module');
    if (${webgpu !== undefined}) register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hook)}));
    const { requestGpu } = await import('./src/node/device.ts');
    await requestGpu().then(() => console.log('a device'), e => console.log(e.name + ' ' + e.message));
    process.exit(0);`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', './test/support/run-typescript.mjs', '--input-type=module', '--eval', script],
    { env: { ...process.env, ...env }, cwd: new URL('../..', import.meta.url) },
  );
  return stdout.trim();
}

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
  it('names the drivers that are of no use, and how to get one', async () => {
    expect(await inProcess({ VK_DRIVER_FILES: '/nowhere/too-old.json' })).toMatchInlineSnapshot(
      `"DeviceError requestGpu: no graphics driver on this machine can run WebGPU: expected a Vulkan 1.1, Metal or D3D12 driver that Dawn accepts, got drivers that are too old, or whose device is out of reach: /nowhere/too-old.json. Install a driver for the graphics card, or the software driver of Mesa 25 or newer (Debian and Ubuntu: package mesa-vulkan-drivers; on Debian 12 from bookworm-backports, which the repository's scripts/setup-debian.sh does)."`,
    );
  });
});

describe('without the package', () => {
  it('says whether it is absent or cannot be loaded', async () => {
    const absent = `throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });`;
    expect(await inProcess({}, absent)).toMatchInlineSnapshot(
      `"DeviceError requestGpu: the package 'webgpu' is not installed. Run: npm install webgpu"`,
    );
    const broken = `return { url: 'data:text/javascript,throw new Error("invalid ELF header")', shortCircuit: true };`;
    expect(await inProcess({}, broken)).toMatchInlineSnapshot(
      `"DeviceError requestGpu: the package 'webgpu' cannot be loaded: got invalid ELF header. It has binaries for Linux and Windows (x64, arm64) and macOS: check that yours is among them, then reinstall it."`,
    );
  });
});

describe('with a package that finds no adapter', () => {
  afterEach(() => {
    for (const name of ['webgpu', 'node:fs']) vi.doUnmock(name);
    vi.unstubAllEnvs();
    vi.resetModules();
  });

  /** The message where the folders of drivers hold these files; undefined: there are no such folders. */
  const message = async (files?: string[]): Promise<string> => {
    for (const name of ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES']) vi.stubEnv(name, '');
    vi.resetModules();
    vi.doMock('webgpu', () => ({ create: () => ({ requestAdapter: async () => null }), globals: {} }));
    const readdirSync = () => {
      if (!files) throw new Error('ENOENT');
      return files;
    };
    vi.doMock('node:fs', () => ({ readdirSync }));
    const fresh = await import('../../src/node/device.ts');
    return fresh.requestGpu().then(
      () => 'a device',
      (e: unknown) => `${e}`,
    );
  };

  it('tells a machine without drivers from one whose drivers are refused', async () => {
    expect(await message()).toMatchInlineSnapshot(
      `"DeviceError: requestGpu: no Vulkan driver is installed: expected a Vulkan 1.1, Metal or D3D12 driver that Dawn accepts. Install a driver for the graphics card, or the software driver of Mesa 25 or newer (Debian and Ubuntu: package mesa-vulkan-drivers; on Debian 12 from bookworm-backports, which the repository's scripts/setup-debian.sh does)."`,
    );
    expect(await message(['lvp_icd.json', 'README'])).toContain('whose device is out of reach: lvp_icd.json, lvp_icd');
  });
});
