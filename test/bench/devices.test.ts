/** The benchmark as a whole, on devices that lack one feature after another: the file that it makes is what the schema says. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { benchmark } from '../../bench/benchmark.ts';
import { isLarge, kernelRows } from '../../bench/kernel-rows.ts';
import { flopsOf, opCase } from '../../bench/kernels/kernel-case.ts';
import { prepareRow } from '../../bench/measure.ts';
import { NETWORKS, runNetworks } from '../../bench/networks.ts';
import { type BenchFile, FEATURES, type Feature, parseBench } from '../../bench/schema.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { LINEAR } from '../../src/kernels/linear.ts';
import { loadTexts } from '../../src/kernels/load-texts.ts';
import { Meter } from '../../src/tuning/meter.ts';
import { freshGpu } from '../support/gpu.ts';

const MODELS = new URL('../../models/orchard', import.meta.url).pathname;
const QUICK = { samples: 1, leastMs: 1, copyBytes: 2 ** 20, chains: [2] } as const;

async function measured(gpu: Gpu, filter: string, without: readonly Feature[]): Promise<[BenchFile, string]> {
  const lines: string[] = [];
  const file = await benchmark(gpu, {
    ...{ part: 'kernels', filter, samples: 2, large: false, against: [], models: MODELS, tuning: null, toggles: [] },
    ...{ without, ceilings: QUICK, say: line => lines.push(line), note: () => {} },
  });
  return [parseBench(JSON.stringify(file)), lines.join('\n')];
}

/** A row of each operation, and its form in halves. */
const EACH = /^(matmul 32x|conv3x3 2x4|attention 256 |group-norm \+ silu 2x16|layer-norm 256x|rms-norm|softmax 1024x)/;

describe.each<readonly [string, readonly Feature[]]>([
  ['everything that the adapter has', []],
  ...FEATURES.map((feature): [string, Feature[]] => [`all but ${feature}`, [feature]]),
  ['none of it', FEATURES],
])('a device with %s', (_, without) => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await freshGpu({ half: 'f16-packed', without });
    await loadTexts(gpu.caps);
  });
  afterAll(() => gpu.dispose());

  it('lacks what it shall lack', () => {
    const { caps, device } = gpu;
    if (without.includes('timestamps')) expect(caps.timestamps).toBe(false);
    if (without.includes('subgroups'))
      expect([caps.subgroupSize, device.features.has('subgroups')]).toEqual([0, false]);
    if (without.includes('f16')) expect(device.features.has('shader-f16')).toBe(false);
    if (without.length > 0 && !without.includes('timestamps')) expect(caps.matrix).toBeUndefined();
  });

  it('is measured, right in every operation', async () => {
    const [file, text] = await measured(gpu, 'norm 64x1024', without);
    expect(file).toMatchObject({ version: 1, kind: 'pentimento-bench', without, samples: 2, networks: [], peers: [] });
    expect(file.ceilings.fmaF16 === null).toBe(!gpu.device.features.has('shader-f16'));
    expect(file.rows.map(({ name }) => name)).toEqual(
      ['f32', 'f16-packed'].map(form => `rms-norm 64x1024 activations ${form}`),
    );
    for (const row of file.rows) {
      expect(row.wrong).toBeUndefined();
      expect(Number(row.medianMs)).toBeGreaterThan(0);
      expect(text).toContain(row.name);
    }
    expect(text).toContain('ceilings: FMA f32');
  });
});

it.each<[string, readonly Feature[]]>([
  ['nothing', []],
  ['everything', FEATURES],
])('rows of every operation are right where %s is taken away', async (_, without) => {
  const gpu = await freshGpu({ half: 'f16-packed', without });
  await loadTexts(gpu.caps);
  const meter = Meter.create(gpu);
  const rows = kernelRows({ caps: gpu.caps }).filter(({ name }) => EACH.test(name));
  expect(new Set(rows.map(({ op }) => op)).size).toBe(7);
  for (const row of rows) {
    const prepared = await prepareRow(gpu, meter, row);
    expect([row.name, prepared.wrong, prepared.errors.error < 3e-3]).toEqual([row.name, false, true]);
    prepared.dispose();
  }
  meter.dispose();
  gpu.dispose();
});

it('products that plans cut along K are measured in two calls, as one operation', async () => {
  const gpu = await freshGpu({ without: FEATURES });
  const sizes = { rows: 32, k: 4096, columns: 1024 };
  const problem = {
    ...{ batch: 1, ...sizes, epilogue: { bias: false } },
    a: { pitch: sizes.k, storage: 'f32' },
    b: { layout: 'panels', storage: 'f32' },
    y: { pitch: sizes.columns, storage: 'f32' },
  } as const;
  const words = { name: 'cut', op: 'matmul', shape: sizes, storage: { activations: 'f32' } } as const;
  const row = opCase({ caps: gpu.caps }, LINEAR, problem, words);
  expect(row.calls.map(({ kernel }) => kernel)).toEqual(['gemm-tile', 'sum-parts']);
  expect(flopsOf(row)).toBe(2 * sizes.rows * sizes.k * sizes.columns);
  const meter = Meter.create(gpu);
  const prepared = await prepareRow(gpu, meter, row);
  expect([prepared.wrong, prepared.errors.error < 1e-5]).toEqual([false, true]);
  prepared.dispose();
  meter.dispose();
  gpu.dispose();
});

it('a feature that there is not is refused before a device is asked for', async () => {
  await expect(freshGpu({ without: ['speed' as Feature] })).rejects.toThrow(
    'Gpu.request: there is no such optional feature: expected timestamps, subgroups, f16, matrix, got "speed" (without).',
  );
});

it('has a name for every row, and leaves large ones to who asks', async () => {
  const gpu = await freshGpu();
  await loadTexts(gpu.caps);
  const rows = kernelRows({ caps: gpu.caps });
  expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
  const large = rows.filter(isLarge).map(({ name }) => name);
  expect(large).toContain('matmul 4096x4096x4096 weights f32 activations f32');
  expect(large).not.toContain('matmul 1024x1024x1024 weights f32 activations f32');
  expect(rows.length - large.length).toBeGreaterThan(40);
  gpu.dispose();
});

it('networks are measured, and have no speed where their result is not finite', async () => {
  const gpu = await freshGpu({ half: 'f16-packed' });
  const meter = Meter.create(gpu);
  const ceilings = { fmaF32: 40, fmaF16: null, matrix: null, copy: 20, copyBytes: 1024 };
  const cases = NETWORKS.filter(({ name }) => name === 'orchard T5 encoder, 64 ids, float32');
  const options = { models: MODELS, ceilings, samples: 2, exported: MODELS };
  const [row] = await runNetworks(gpu, meter, cases, options);
  expect(row).toMatchObject({ name: 'orchard T5 encoder, 64 ids, float32' });
  expect(row.dispatches).toBeGreaterThan(20);
  expect(Number(row.share)).toBeCloseTo(Number(row.gflops) / 40, 9);
  const broken = cases.map(one => ({
    ...one,
    open: async (...how: Parameters<typeof one.open>) => {
      const network = await one.open(...how);
      return { ...network, result: { read: async () => Float32Array.of(1, Number.NaN) } as typeof network.result };
    },
  }));
  const [wrong] = await runNetworks(gpu, meter, broken, options);
  expect(wrong).toMatchObject({ wrong: true, medianMs: null, gflops: null, share: null });
  meter.dispose();
  gpu.dispose();
});
