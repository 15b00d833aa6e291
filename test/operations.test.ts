import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { OPS } from '../src/kernels/registry.ts';

it('the table of operations has every kernel that exists twice, and no name twice', () => {
  const twice = readdirSync('wgsl')
    .map(name => name.replace('.wgsl', ''))
    .filter(stem => /-(broadcast(-wide)?|tile|matrix)$/.test(stem));
  expect(new Set(OPS.flatMap(op => op.variants.map(v => v.stem)))).toEqual(new Set(twice));
  expect(new Set(OPS.map(op => op.name)).size).toBe(OPS.length);
});
