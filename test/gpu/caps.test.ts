import { describe, expect, it } from 'vitest';
import { type CapsOptions, readCaps, tellsItsKind } from '../../src/gpu/caps.ts';
import { isSlow } from '../../src/gpu/measure-speed.ts';

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

describe('software', () => {
  const software = (info: object, options: CapsOptions = {}) => {
    const device = { features: new Set(), limits: {} } as unknown as GPUDevice;
    return readCaps(device, { vendor: '', architecture: '', device: '', description: '', ...info } as never, options)
      .software;
  };

  it('is known by its name, or as a fallback adapter without one, or is what the caller says', () => {
    expect(software({ description: 'llvmpipe (LLVM 15)' })).toBe(true);
    expect(software({ isFallbackAdapter: true })).toBe(true);
    expect(software({ vendor: 'nvidia', isFallbackAdapter: false })).toBe(false);
    expect(software({}, { software: true })).toBe(true);
    expect(software({ description: 'llvmpipe' }, { software: false })).toBe(false);
  });

  it('is measured where an adapter tells nothing: a hundred thousand million operations a second are none', () => {
    const operations = 2.7e8;
    expect([isSlow(operations, 5), isSlow(operations, 2)]).toEqual([true, false]);
    const blank = { vendor: '', architecture: '', device: '', description: '' };
    expect(tellsItsKind(blank as GPUAdapterInfo)).toBe(false);
    for (const told of [{ isFallbackAdapter: false }, { vendor: 'x' }, { device: 'x' }])
      expect(tellsItsKind({ ...blank, ...told } as GPUAdapterInfo)).toBe(true);
  });
});

describe('the maker', () => {
  const maker = (vendor: string, description = '') => {
    const device = { features: new Set(), limits: {} } as unknown as GPUDevice;
    return readCaps(device, { vendor, architecture: '', device: '0', description } as GPUAdapterInfo).vendor;
  };

  it("has a name where a runtime tells its number, and the chip's where there is none", () => {
    expect([maker('nvidia'), maker('4318'), maker('32902'), maker('65541')]).toEqual([
      ...['nvidia', 'nvidia', 'intel', 'mesa'],
    ]);
    expect([maker('0', 'Apple M2'), maker('0', 'a card'), maker('77'), maker('')]).toEqual(['apple', '', '77', '']);
  });
});

describe('matrix units', () => {
  const all = ['shader-f16', 'subgroups', 'subgroup-size-control', 'chromium-experimental-subgroup-matrix'];
  type Config = readonly [component: string, result: string, m: number, n: number, k: number];
  const units = (
    configs: readonly Config[],
    sizes: readonly [number, number],
    features = all,
    options: CapsOptions = {},
    description = 'a GPU',
  ) => {
    const device = { features: new Set(features), limits: {} } as unknown as GPUDevice;
    const subgroupMatrixConfigs = configs.map(([componentType, resultComponentType, M, N, K]) => {
      return { componentType, resultComponentType, M, N, K };
    });
    const [subgroupMinSize, subgroupMaxSize] = sizes;
    const info = { description, subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs } as unknown;
    return readCaps(device, info as GPUAdapterInfo, options).matrix;
  };
  const amd: Config[] = [
    ['i8', 'i32', 16, 16, 16],
    ['f16', 'f16', 16, 16, 16],
    ['f16', 'f32', 16, 16, 16],
  ];

  it('are chosen from what the adapter lists, by their sizes and never by its name', () => {
    const half = { component: 'f16', pinned: true, preferred: true } as const;
    expect(units(amd, [32, 64])).toEqual({ ...half, m: 16, n: 16, k: 16, lanes: 32 });
    expect(units([['f16', 'f32', 16, 8, 16], ...amd], [32, 32])).toMatchObject({ n: 16 });
    expect(units([['f16', 'f32', 8, 16, 16]], [16, 32])).toEqual({ ...half, m: 8, n: 16, k: 16, lanes: 16 });
    expect(units([['f16', 'f32', 8, 8, 8]], [8, 8])).toEqual({ ...half, m: 8, n: 8, k: 8, lanes: 8 });
    const apple: Config[] = [
      ['f32', 'f32', 8, 8, 8],
      ['f16', 'f16', 8, 8, 8],
    ];
    const unpinned = all.filter(f => f !== 'subgroup-size-control');
    expect(units(apple, [32, 32], unpinned)).toEqual({
      ...{ m: 8, n: 8, k: 8, lanes: 32 },
      ...{ component: 'f32', pinned: false, preferred: true },
    });
  });

  it('are left alone where sums would be halves, sizes of subgroups cannot be said, or features lack', () => {
    expect(units(amd.slice(0, 2), [32, 32])).toBeUndefined();
    expect(
      units(
        amd,
        [32, 64],
        all.filter(f => f !== 'subgroup-size-control'),
      ),
    ).toBeUndefined();
    for (const lacking of [all[0], all[3]]) {
      expect(
        units(
          amd,
          [32, 32],
          all.filter(f => f !== lacking),
        ),
      ).toBeUndefined();
    }
  });

  it('come first on GPUs, and on software where that is asked for', () => {
    const preferred = (description: string, options?: CapsOptions) =>
      units(amd, [32, 32], all, options, description)?.preferred;
    expect([preferred('a GPU'), preferred('a GPU', { matrixUnits: false })]).toEqual([true, false]);
    expect([preferred('llvmpipe'), preferred('llvmpipe', { matrixUnits: true })]).toEqual([false, true]);
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
