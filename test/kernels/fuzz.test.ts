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
import { CONV_TILE } from '../../src/kernels/conv-tile.ts';
import { LINEAR } from '../../src/kernels/linear.ts';
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
const PER_BATCH = FULL ? 50 : 12;
const PROBLEMS = 10_000;
/** Every day one text of each kernel that compiles in a fraction of a second, and a few defects, which take a text each. */
const QUICK = ROWS.filter(
  ({ name, kernel }) => !/-(tile|matrix|wide)$|^gemv|^attention/.test(kernel) && !/^(linear|matmul|rms)/.test(name),
);
const PLANTED = PLANTS.filter(({ kernel }) => /^(copy|softmax-broadcast|top-k|cache-gather)$/.test(kernel));

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
    const products = ROWS.map(row => row.name).filter(name => name.includes('/'));
    const rows = products.filter(name => !/ (measured|normalized|split)$/.test(name));
    // It takes packed weights alone, which matmul has none of.
    expect(new Set([...rows, 'matmul/gemm-matrix-panels'])).toEqual(new Set(variants));
    const also = [...LINEAR.variants, CONV_TILE].flatMap(({ measures, normalizes, split, ...variant }) => {
      const ops = variant.stem === CONV_TILE.stem ? ['conv2d'] : ['linear', 'conv2d'];
      const able = { measured: measures, normalized: normalizes, split };
      const kinds = Object.entries(able).flatMap(([kind, can]) => (can ? [kind] : []));
      return ops.flatMap(op => kinds.map(kind => `${op}/${nameOf(variant)} ${kind}`));
    });
    expect(products.filter(name => !rows.includes(name)).sort()).toEqual(also.sort());
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

describe(`no kernel leaves its buffers, seed ${SEED}`, () => {
  const [, asked, batch] = /^(.*):(\d+)$/.exec(only ?? '') ?? [];
  const rows = (FULL || only !== undefined ? ROWS : QUICK).filter(row => runsOn(gpu, row));
  // Forms of storage, of which there are four, take turns from batch to batch.
  const batches = FULL ? Math.max(4, Math.ceil(PROBLEMS / PER_BATCH / rows.length)) : 1;
  let ran = 0;
  const libs = new Set<string>();
  afterAll(() => console.log(`fuzz of the kernels' indices: ${ran} random problems, PENTIMENTO_FUZZ=${SEED}`));

  for (const row of rows.filter(({ name }) => asked === undefined || name === asked)) {
    it(row.name, async () => {
      const series = {
        seed: SEED,
        batches,
        perBatch: PER_BATCH,
        only: batch === undefined ? undefined : Number(batch),
      };
      const { findings, problems, libs: own } = await runSeries(gpu, row, series);
      expect(findings).toEqual([]);
      expect(problems).toBe((batch === undefined ? batches : 1) * PER_BATCH);
      ran += problems;
      for (const lib of own) libs.add(lib);
    });
  }

  if (!FULL || only !== undefined) return;
  it('in 10,000 problems and with every lib', () => {
    expect(ran).toBeGreaterThanOrEqual(PROBLEMS);
    // Fragments of singles, and the other entry, are of devices that this one is not.
    const { matrix } = gpu.caps;
    const elsewhere = matrix
      ? ['matrix-f32', matrix.pinned ? 'matrix-entry' : 'matrix-entry-pinned']
      : namesIn('lib/').filter(name => name.startsWith('matrix'));
    if (!gpu.device.features.has('shader-f16')) elsewhere.push('input-f16', 'output-f16', 'weight-f16');
    const missed = namesIn('lib/').filter(name => !elsewhere.includes(name) && !libs.has(textOf(`lib/${name}.wgsl`)));
    expect(missed).toEqual([]);
  });
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
