import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Caps } from '../src/gpu/caps.ts';
import { chooseVariant, REGISTRY, type Registry } from '../src/kernels/registry.ts';

const base = { half: 'f16', maxBindingBytes: 2 ** 27, maxBufferBytes: 2 ** 30, maxWorkgroups: 65535 } as Caps;
const devices: Record<string, Caps> = {
  lavapipe: { ...base, software: true, subgroupSize: 8 },
  swiftshader: { ...base, software: true, subgroupSize: 4, half: 'f16-packed' },
  'software without subgroups': { ...base, software: true, subgroupSize: 0 },
  nvidia: { ...base, software: false, subgroupSize: 32 },
  intel: { ...base, software: false, subgroupSize: 0 },
};
const side = { pitch: 64, storage: 'f32' } as const;
const rows = (count: number) => ({
  ...{ batch: 1, rows: count, columns: 64, k: 64, a: side, y: side },
  b: { layout: 'panels', storage: 'f32' } as const,
});
const padding = { top: 1, right: 1, bottom: 1, left: 1 };
const PROBLEMS: { [Op in keyof Registry]: Parameters<Registry[Op]['call']>[1] } = {
  linear: rows(64),
  conv2d: {
    ...{ images: 1, height: 8, width: 8, channels: 64, outChannels: 64, kernel: [3, 3], stride: 1, padding },
    ...({ input: 'f32', weight: 'f32', output: 'f32' } as const),
  },
  matmul: { ...{ batch: 1, rows: 8, columns: 64, k: 64 }, ...({ a: 'f32', b: 'f32', y: 'f32' } as const) },
  attention: {
    ...{ batch: 1, heads: 1, queries: 8, keys: 8, headWidth: 64, scale: 1 },
    ...{ q: side, k: side, v: side, out: side },
  },
  layerNorm: { rows: 8, width: 64, eps: 1e-5, x: side, y: side },
  rmsNorm: { rows: 8, width: 64, eps: 1e-5, x: side, y: side },
  groupNormFinalize: {
    ...{ images: 1, pixels: 64, sources: [{ channels: 64, pitch: 64 }], storage: 'f32', groups: 8, eps: 1e-5 },
  },
  softmax: { rows: 8, width: 64, x: side, y: side },
};
const ops = Object.keys(REGISTRY) as (keyof Registry)[];

describe('the registry', () => {
  it.each(ops)('gives %s a broadcast kernel on software with subgroups, and a tiled one elsewhere', op => {
    const chosen = Object.entries(devices).map(([name, caps]) => [name, chooseVariant(op, caps, PROBLEMS[op])]);
    for (const [name, variant] of chosen) {
      expect(REGISTRY[op].variants).toContain(variant);
      expect(variant, name).toMatch(name === 'lavapipe' || name === 'swiftshader' ? /-broadcast$/ : /-tile$/);
    }
  });

  it('gives few rows of a linear layer a gemv: up to 4 on software, up to 16 on a GPU', () => {
    const of = (count: number, caps: Caps) => chooseVariant('linear', caps, rows(count));
    expect([1, 4, 5].map(n => of(n, devices.lavapipe))).toEqual(['gemv-broadcast', 'gemv-broadcast', 'gemm-broadcast']);
    expect([1, 16, 17].map(n => of(n, devices.nvidia))).toEqual(['gemv-tile', 'gemv-tile', 'gemm-tile']);
  });

  it('knows every kernel that exists twice', () => {
    const twice = readdirSync('wgsl')
      .map(name => name.replace('.wgsl', ''))
      .filter(stem => /-(broadcast|tile)$/.test(stem));
    expect(new Set(ops.flatMap(op => REGISTRY[op].variants))).toEqual(new Set(twice));
  });
});
