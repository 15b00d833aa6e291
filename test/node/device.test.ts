import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
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

/** What an index two behind the end of an array in workgroup memory finds: 107 is its last element. */
async function behindTheEnd({ device }: Gpu): Promise<number> {
  const code = `
    @group(0) @binding(0) var<storage, read_write> found: array<u32>;
    var<workgroup> first: array<u32, 8>;
    var<workgroup> second: array<u32, 8>;
    @compute @workgroup_size(1)
    fn main(@builtin(workgroup_id) id: vec3u) {
      for (var i = 0u; i < 8u; i++) { first[i] = 100u + i; second[i] = 200u + i; }
      workgroupBarrier();
      found[0] = first[9u + found[1]] + 0u * second[found[1]];
    }`;
  const module = device.createShaderModule({ code });
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
  const buffer = device.createBuffer({ size: 256, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
  const layout = pipeline.getBindGroupLayout(0);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer } }] }));
  pass.dispatchWorkgroups(1);
  pass.end();
  device.queue.submit([encoder.finish()]);
  const staging = device.createBuffer({ size: 256, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const copy = device.createCommandEncoder();
  copy.copyBufferToBuffer(buffer, 0, staging, 0, 256);
  device.queue.submit([copy.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  return new Uint32Array(staging.getMappedRange())[0];
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

  it('adds features of such flags to its own', async () => {
    const gpu = await requestGpu({ dawnFlags: ['backend=null', 'enable-dawn-features=skip_validation'] });
    const plain = await requestGpu({ dawnFlags: ['backend=null'] });
    expect([...gpu.device.features].sort()).toEqual([...plain.device.features].sort());
    plain.dispose();
    gpu.dispose();
  });

  it('leaves out checks of indices where trusted, and nowhere else', async () => {
    const checked = await requestGpu();
    expect(await behindTheEnd(checked)).toBe(107);
    checked.dispose();
    for (const dawnFlags of [[], ['enable-dawn-features=skip_validation']]) {
      const trusted = await requestGpu({ trusted: true, dawnFlags });
      expect(await behindTheEnd(trusted)).not.toBe(107);
      trusted.dispose();
    }
  });

  it('takes no word for trust', async () => {
    const trusted = 'no' as unknown as boolean;
    await expect(requestGpu({ trusted, dawnFlags: ['backend=null'] })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: requestGpu: not a statement of trust: expected true or false, got "no" (trusted). Leave it out to keep the checks.]`,
    );
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
