/**
 * The licence of `trusted: true`: on a device that checks no index, no kernel reads or writes outside of what it is given. Random problems
 * of every kernel run between guards, and again with every index watched (test/kernels/fuzz/run.ts); then defects are planted, each of
 * which must be found. Some hundreds every day, 10,000 and every defect when PENTIMENTO_FULL is set.
 *
 *     PENTIMENTO_FUZZ=SEED             another series
 *     PENTIMENTO_FUZZ=SEED:ROW:BATCH   one batch of it again, as a finding names it
 */
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { specialize } from '../../src/gpu/specialize.ts';
import { nameOf } from '../../src/kernels/op.ts';
import { OPS } from '../../src/kernels/registry.ts';
import { requestGpu } from '../../src/node/device.ts';
import { Draw } from './fuzz/draw.ts';
import { bare, findPlant, PLANTS } from './fuzz/plants.ts';
import { ROWS } from './fuzz/rows.ts';
import { runSeries, runsOn } from './fuzz/series.ts';
import { watched } from './fuzz/watched.ts';

const FULL = process.env.PENTIMENTO_FULL !== undefined;
const [asked, ...batch] = (process.env.PENTIMENTO_FUZZ ?? '').split(':');
const only = batch.length > 0 ? batch.join(':') : undefined;
const SEED = asked || (FULL ? String(Date.now() % 1_000_000) : '1');
/** Problems of a batch share what is compiled, which takes most of the time. */
const PER_BATCH = FULL ? 25 : 10;
const PROBLEMS = 10_000;
/** Every day each of the texts that compile in a fraction of a second is run once. */
const QUICK = ROWS.filter(({ kernel }) => !/^(gem[mv]|attention)-(tile|matrix)$|^gemv-broadcast$|-wide$/.test(kernel));
/** And a few defects, which take a text each. */
const PLANTED = PLANTS.filter(({ kernel }) => /^(copy|embedding|softmax-broadcast|top-k|cache-gather)$/.test(kernel));

const WGSL = new URL('../../wgsl/', import.meta.url);
const textOf = (name: string) => readFileSync(new URL(name, WGSL), 'utf8');
const namesIn = (folder: string) =>
  readdirSync(new URL(folder, WGSL))
    .filter(name => name.endsWith('.wgsl'))
    .map(name => name.slice(0, -5));

const gpu = await requestGpu({ trusted: true, half: 'f16' });
afterAll(() => gpu.dispose());

describe('every kernel', () => {
  it('has a row of the fuzz, and every variant of every operation', () => {
    expect(new Set(ROWS.map(row => row.kernel))).toEqual(new Set(namesIn('.')));
    const variants = OPS.flatMap(op => op.variants.map(variant => `${op.name}/${nameOf(variant)}`));
    const rows = ROWS.map(row => row.name).filter(name => name.includes('/'));
    // It takes packed weights alone, which matmul has none of.
    expect(new Set([...rows, 'matmul/gemm-matrix-panels'])).toEqual(new Set(variants));
  });

  it('has a defect that is planted in it, at a place that there is', () => {
    expect(new Set(PLANTS.map(plant => plant.kernel))).toEqual(new Set(namesIn('.')));
    const libs = namesIn('lib/').map(name => bare(textOf(`lib/${name}.wgsl`)));
    const gone = PLANTS.filter(
      ({ kernel, find }) => ![bare(textOf(`${kernel}.wgsl`)), ...libs].some(text => text.includes(find)),
    );
    expect(gone).toEqual([]);
  });

  it('is watched at every index, by a text that compiles', async () => {
    const dry = await requestGpu({ dawnFlags: ['backend=null'], half: 'f16' });
    const matrix = { m: 8, n: 8, k: 8, component: 'f16', lanes: 8, pinned: true, preferred: true } as const;
    const caps = {
      ...gpu.caps,
      subgroupSize: 8,
      software: true,
      matrix,
      maxWorkgroupBytes: 32768,
      maxInvocations: 256,
    };
    for (const { name, forms } of ROWS) {
      const sizes = forms(new Draw(name), { caps, storages: ['f32', 'f16', 'f16-packed'] });
      const problem = sizes?.(new Draw(name));
      if (!problem) throw new Error(`${name} draws nothing`);
      const { call, sites } = watched(problem.call);
      expect(sites.length, name).toBeGreaterThan(0);
      const code = specialize(call.kernel, call.source, call.libs, call.values);
      const { messages } = await dry.device.createShaderModule({ code }).getCompilationInfo();
      expect(messages.map(({ message }) => `${name}: ${message}`)).toEqual([]);
    }
    dry.dispose();
  });
});

it(`no kernel leaves its buffers in a series of seed ${SEED}`, async () => {
  const rows = FULL || only !== undefined ? ROWS : QUICK;
  const batches = FULL ? Math.ceil(PROBLEMS / PER_BATCH) : rows.length;
  const series = { seed: SEED, rows, batches, perBatch: PER_BATCH, only };
  const { findings, problems, ran, libs } = await runSeries(gpu, series);
  console.log(`${problems} random problems of seed ${SEED}`);
  expect(problems).toBeGreaterThan(0);
  expect(findings).toEqual([]);
  if (only !== undefined) return;
  expect(new Set(ran.keys())).toEqual(new Set(rows.filter(row => runsOn(gpu, row)).map(row => row.name)));
  if (!FULL || !gpu.caps.matrix) return;
  // Fragments of singles and an entry without a size are of devices that this one is not.
  const elsewhere = ['matrix-f32', gpu.caps.matrix.pinned ? 'matrix-entry' : 'matrix-entry-pinned'];
  const missed = namesIn('lib/').filter(name => !elsewhere.includes(name) && !libs.has(textOf(`lib/${name}.wgsl`)));
  expect(missed).toEqual([]);
});

describe('a defect', () => {
  for (const plant of FULL ? PLANTS : PLANTED) {
    if (!ROWS.some(row => row.kernel === plant.kernel && runsOn(gpu, row))) continue;
    it(`in ${plant.kernel} is found: ${plant.put}`, async () => {
      expect(await findPlant(gpu, ROWS, plant, 'watched')).not.toBe('');
      if (plant.near) expect(await findPlant(gpu, ROWS, plant, 'guarded')).not.toBe('');
    });
  }
});
