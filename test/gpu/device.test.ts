import { describe, expect, it, vi } from 'vitest';
import { createStorage, readSlice } from '../../src/gpu/buffer.ts';
import { Gpu } from '../../src/gpu/device.ts';
import { DispatchList } from '../../src/kernels/dispatch.ts';
import { historyStore } from '../../src/kernels/history-store.ts';
import { countDevice } from '../support/counting.ts';
import { dawn, freshGpu, testGpu } from '../support/gpu.ts';

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
    const x = createStorage(gpu, 256, 'x');
    const list = new DispatchList(gpu);
    const call = historyStore(gpu.caps, { rows: 1, pitch: 8, entries: 1 });
    list.add({ ...call, source: call.source.replace('fn main', 'fn main_') }, { x, step: x, history: x });
    await expect(list.build()).rejects.toThrow('the device refused the kernel');
    list.dispose();
    x.buffer.destroy();
    expect(counter.liveBytes).toBe(0);
    gpu.dispose();
  });
});

describe('trusted kernels', () => {
  it('are refused where Dawn is not made here, as in a page, before an adapter is asked for', async () => {
    await expect(Gpu.request({ trusted: true })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: Gpu.request: whether kernels check their indices is decided where Dawn is made; in a page they always do: got true (trusted). Leave trusted out; in Node, requestGpu({ trusted: true }) of 'pentimento/node' makes such a device.]`,
    );
    await expect(Gpu.request({ gpu: dawn, trusted: true })).rejects.toThrow('Leave trusted out; in Node');
  });
});

describe('a lost device', () => {
  it('is told by every later call, with what to do', async () => {
    const gpu = await freshGpu();
    gpu.device.destroy();
    await gpu.device.lost;
    expect(() => gpu.check('DeviceTensor.write')).toThrowErrorMatchingInlineSnapshot(
      `[DeviceLostError: DeviceTensor.write: the device was lost: got destroyed: device was destroyed. Request a new device and load the models again; a driver reset or a time-out is the usual cause.]`,
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

describe('asking for an adapter', () => {
  /** A WebGPU entry that writes down what it is asked for. */
  function entry(adapter: object | null) {
    const asked: unknown[] = [];
    const requestAdapter = async (options: unknown) => {
      asked.push(options);
      return adapter;
    };
    return { asked, gpu: { requestAdapter } as unknown as GPU };
  }
  const info = { vendor: 'acme', architecture: 'roadrunner', device: '', description: 'Acme 1' };

  it('hands on power preference and fallback', async () => {
    const { asked, gpu } = entry(null);
    const options = { gpu, powerPreference: 'low-power', forceFallbackAdapter: true } as const;
    await expect(Gpu.request(options)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: Gpu.request: no WebGPU adapter was found: expected a Vulkan, Metal or D3D12 driver. On Linux install a Vulkan driver (a software one: Mesa 25 or newer, package mesa-vulkan-drivers; older ones are refused by Dawn) and set XDG_RUNTIME_DIR.]`,
    );
    expect(asked).toEqual([{ powerPreference: 'low-power', forceFallbackAdapter: true }]);
  });

  it('refuses an adapter of another name, and one that gives no device', async () => {
    const { gpu } = entry({ info, features: new Set(), limits: {} });
    await expect(Gpu.request({ gpu, adapterName: 'Voodoo' })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: Gpu.request: the adapter on offer has another name: expected Voodoo, got acme roadrunner Acme 1. Run \`pentimento devices\` to see the names, or set powerPreference.]`,
    );
    const requestDevice = async () => {
      throw new Error('busy');
    };
    const broken = entry({ info, features: new Set(), limits: {}, requestDevice });
    await expect(Gpu.request({ gpu: broken.gpu, adapterName: 'acme' })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: Gpu.request: the adapter refused a device: got acme roadrunner Acme 1. Update the graphics driver, or choose another adapter by adapterName.]`,
    );
  });

  it('tells visitors of a page what they can do, and nothing of drivers and commands', async () => {
    const { navigator } = globalThis;
    const refusal = (options: object) => Gpu.request(options as never).catch((error: Error) => error.message);
    const requestDevice = () => Promise.reject(new Error('busy'));
    const found = { gpu: entry({ info, features: new Set(), limits: {}, requestDevice }).gpu };
    Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
    vi.stubGlobal('document', {});
    try {
      const told = [
        await refusal({}),
        await refusal({ gpu: entry(null).gpu }),
        await refusal(found),
        await refusal({ ...found, adapterName: 'x' }),
      ];
      expect(told).toMatchInlineSnapshot(`
        [
          "Gpu.request: this JavaScript runtime has no WebGPU: got navigator.gpu is undefined. Use a browser with WebGPU (Chrome or Edge 113, Safari 26, Firefox 141, or newer), and open the page over https or from localhost.",
          "Gpu.request: no WebGPU adapter was found: expected a graphics card that the browser uses. Update browser and graphics driver, and turn hardware acceleration on in the settings of the browser; chrome://gpu or about:support says what is missing.",
          "Gpu.request: the adapter refused a device: got acme roadrunner Acme 1. Close other tabs that use the graphics card, then reload the page; update browser and graphics driver.",
          "Gpu.request: the adapter on offer has another name: expected x, got acme roadrunner Acme 1. Leave adapterName out: a page gets what the browser chooses.",
        ]
      `);
      expect(told.join()).not.toMatch(/Mesa|Node|pentimento devices|XDG/);
    } finally {
      vi.unstubAllGlobals();
      Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
    }
  });

  it('asks for what exceeds the defaults alone, and for nothing where there is nothing', async () => {
    const asked: unknown[] = [];
    const adapterOf = (limits: object, features: readonly string[] = []) =>
      entry({
        ...{ info, limits, features: new Set(features) },
        requestDevice: async (wishes: unknown) => {
          asked.push(wishes);
          throw new Error('enough');
        },
      });
    const defaults = {
      ...{ maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27, maxComputeWorkgroupStorageSize: 16_384 },
      ...{ maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256, maxComputeWorkgroupSizeY: 256 },
      maxStorageBuffersPerShaderStage: 8,
    };
    for (const { gpu } of [adapterOf(defaults), adapterOf({ ...defaults, maxBufferSize: 2 ** 30 }, ['shader-f16'])])
      await expect(Gpu.request({ gpu })).rejects.toThrow('the adapter refused a device');
    const requiredFeatures = ['shader-f16'];
    const limits = { requiredLimits: { maxBufferSize: 2 ** 30 } };
    expect(asked).toEqual([{}, { requiredFeatures, ...limits }, { requiredFeatures }]);
  });

  it('takes a device of the default limits where those are refused that the adapter told', async () => {
    const requestDevice = async (wishes: GPUDeviceDescriptor) => {
      if (wishes.requiredLimits) throw new Error('Value must be between 0 and 0, got 8');
      return (await dawn.requestAdapter())?.requestDevice(wishes);
    };
    const real = (await dawn.requestAdapter()) as GPUAdapter;
    const gpu = await Gpu.request({
      gpu: entry({ info, features: real.features, limits: real.limits, requestDevice }).gpu,
    });
    expect([gpu.caps.maxBufferBytes, gpu.caps.maxStorageBuffers]).toEqual([2 ** 28, 8]);
    gpu.dispose();
  });

  it('measures whether it is software where the adapter tells nothing', async () => {
    const real = (await dawn.requestAdapter()) as GPUAdapter;
    const blank = { vendor: '', architecture: '', device: '', description: '' };
    const adapter = {
      ...{ info: blank, features: real.features, limits: real.limits },
      // An adapter gives one device.
      requestDevice: async (wishes: GPUDeviceDescriptor) => (await dawn.requestAdapter())?.requestDevice(wishes),
    };
    const gpu = await Gpu.request({ gpu: entry(adapter).gpu });
    expect(gpu.caps.software).toBe((await freshGpu()).caps.software);
    const named = await Gpu.request({ gpu: entry(adapter).gpu, software: !gpu.caps.software });
    expect(named.caps.software).toBe(!gpu.caps.software);
    for (const one of [gpu, named]) one.dispose();
  });

  it('says where there is no WebGPU at all', async () => {
    const { navigator } = globalThis;
    Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
    await expect(Gpu.request()).rejects.toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: Gpu.request: this JavaScript runtime has no WebGPU: got navigator.gpu is undefined. In Node and Bun import { requestGpu } from 'pentimento/node' and install the 'webgpu' package; elsewhere use a runtime with WebGPU.]`,
    );
    Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  });

  it("takes the adapter's own maxima and every useful feature that it offers", async () => {
    const adapter = await dawn.requestAdapter();
    const gpu = await freshGpu();
    for (const limit of [
      'maxBufferSize',
      'maxStorageBufferBindingSize',
      'maxComputeWorkgroupStorageSize',
      'maxComputeInvocationsPerWorkgroup',
      'maxComputeWorkgroupSizeX',
      'maxComputeWorkgroupSizeY',
      'maxStorageBuffersPerShaderStage',
    ] as const)
      expect(gpu.device.limits[limit], limit).toBe(adapter?.limits[limit]);
    for (const feature of ['shader-f16', 'subgroups', 'subgroup-size-control', 'timestamp-query'] as GPUFeatureName[])
      expect(gpu.device.features.has(feature), feature).toBe(adapter?.features.has(feature));
    const bare = await testGpu({ bare: true });
    expect(bare.device.features.has('subgroups' as GPUFeatureName)).toBe(false);
    expect(bare.device.limits.maxStorageBufferBindingSize).toBe(128 * 2 ** 20);
    expect([bare.caps.half, bare.caps.subgroupSize, bare.caps.timestamps]).toEqual(['f16-packed', 0, false]);
    gpu.dispose();
  });

  it("leaves a device of the caller's alone", async () => {
    const adapter = (await dawn.requestAdapter()) as GPUAdapter;
    const device = await adapter.requestDevice();
    const gpu = await Gpu.request({ device });
    const y = createStorage(gpu, 256, 'y');
    expect((await readSlice(gpu, y)).byteLength).toBe(256);
    gpu.dispose();
    device.createBuffer({ size: 16, usage: GPUBufferUsage.COPY_DST }).destroy();
    await device.queue.onSubmittedWorkDone();
    device.destroy();
  });
});
