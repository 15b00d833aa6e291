/** What products measure of their results for a group norm behind them, against f64 loops over what they stored. */
import { describe, expect, it } from 'vitest';
import { CONV2D, type Conv2dProblem, conv2d } from '../../src/kernels/conv2d.ts';
import { GEMM_TILE, type GemmProblem, type GemmTile, MOMENT_ROWS, momentsPitch } from '../../src/kernels/gemm.ts';
import { GEMM_MATRIX } from '../../src/kernels/gemm-matrix.ts';
import { groupNormFinalize } from '../../src/kernels/group-norm-finalize.ts';
import { groupNormMerge } from '../../src/kernels/group-norm-merge.ts';
import type { KernelCall } from '../../src/kernels/kernel.ts';
import { LINEAR, linear } from '../../src/kernels/linear.ts';
import { measures } from '../../src/kernels/op.ts';
import { splitCalls } from '../../src/kernels/split-k.ts';
import { groupStatistics } from '../reference/group-norm.ts';
import { testGpu } from '../support/gpu.ts';
import { packColumns, packPanels } from '../support/pack.ts';
import {
  FAMILY_SETTINGS,
  force,
  MATRIX_SETTINGS,
  padRows,
  runBothWays,
  type Setting,
  settingOf,
  unpadRows,
} from '../support/rows.ts';
import { type Operand, randoms, runKernel } from '../support/run-kernel.ts';

const gpu = await testGpu();
const NOTHING: Operand = { storage: 'f32', values: [0] };
/** Subgroups of four make eight rows, which are no slab. */
const FAMILIES = FAMILY_SETTINGS.filter(name => gpu.caps.subgroupSize >= 8 || !name.endsWith('broadcast'));
const SETTINGS = [...FAMILIES, ...(gpu.caps.matrix ? MATRIX_SETTINGS : [])];

interface Case {
  readonly images: number;
  readonly pixels: number;
  readonly width: number;
  readonly groups: number;
  /** Slabs that are merged before the norm's second call. */
  readonly together?: number;
  /** Lines and pixels of the map that a convolution reads. */
  readonly map?: readonly [height: number, width: number];
}

/** Values of a case, made into y as a storage form keeps it, and what was measured of it. */
type Producer = (c: Case, setting: Setting, x: Float32Array) => Promise<Record<'y' | 'moments', Float32Array>>;

function problemOf({ images, pixels, width }: Case, { storage, family, gpu }: Setting): GemmProblem {
  const pitch = Math.ceil(width / 8) * 8;
  const weight = storage === 'f16-packed' || family?.startsWith('matrix') ? gpu.caps.half : storage;
  const b = { layout: family?.startsWith('matrix') ? 'rows' : 'panels', storage: weight } as const;
  const rows = { batch: 1, rows: images * pixels, itemRows: pixels, columns: pitch, k: pitch };
  return { ...rows, a: { pitch, storage }, b, y: { pitch, storage }, epilogue: { bias: false }, moments: true };
}

/** The product of x and 0.7, which halves do not keep as it is: measured is what is stored. */
function operandsOf(c: Case, p: GemmProblem, x: Float32Array): Record<string, Operand> {
  const scale = Float32Array.from({ length: c.width ** 2 }, (_, i) => (i % (c.width + 1) === 0 ? 0.7 : 0));
  const pack = p.b.layout === 'rows' ? packColumns : packPanels;
  const padded = new Float32Array(p.rows * p.k);
  x.forEach((v, i) => {
    padded[Math.floor(i / c.width) * p.k + (i % c.width)] = v;
  });
  return {
    a: { storage: p.a.storage, values: padded },
    b: { storage: p.b.storage, values: pack(scale, c.width, c.width) },
    ...{ bias: NOTHING, channel_add: NOTHING, residual: NOTHING },
    y: { storage: p.y.storage, size: p.rows * p.columns },
    moments: { storage: 'f32', size: (p.rows / MOMENT_ROWS) * momentsPitch(p.columns) },
  };
}

/** A linear layer by one call. */
const byProduct: Producer = async (c, setting, x) => {
  const problem = problemOf(c, setting);
  const tuning = force(setting.family);
  expect(measures(LINEAR, { ...setting.gpu.caps, software: false }, problem, tuning)).toBe(true);
  const call = linear(setting.gpu.caps, problem, tuning);
  return (await runBothWays(setting.gpu, call, operandsOf(c, problem, x))) as Awaited<ReturnType<Producer>>;
};

/** What adds up a linear layer's parts of K: three, of which the first is x. */
const byParts: Producer = async (c, setting, x) => {
  const problem = problemOf(c, setting);
  const { a: _, b: __, ...behind } = operandsOf(c, problem, x);
  const calls = splitCalls(problem, 3, part => linear(setting.gpu.caps, part, force('tile')));
  const { width } = calls.scratch;
  const first = padRows(x, c.width);
  const small = randoms(first.length, 5);
  const partials = new Float32Array(calls.scratch.rows * width);
  first.forEach((v, i) => {
    const [row, column] = [Math.floor(i / problem.k), i % problem.k];
    const inside = column < c.width ? (small[i] ?? 0) : 0;
    [v, inside, inside / 3].forEach((part, p) => {
      partials[row * width + p * problem.k + column] = part;
    });
  });
  const operands = { partials: { storage: 'f32', values: partials } as const, ...behind };
  return (await runBothWays(setting.gpu, calls.sum, operands)) as Awaited<ReturnType<Producer>>;
};

/** A convolution of which each pixel is 0.7 of one of the map, which the taps `centres` meet. */
async function byConvolution(
  c: Case,
  { gpu, storage, family }: Setting,
  x: Float32Array,
  more: Pick<Conv2dProblem, 'kernel' | 'phases'>,
  { taps, centres, variant }: { taps: number; centres: readonly number[]; variant: string | undefined },
) {
  const [height, width] = c.map as [number, number];
  const pitch = Math.ceil(c.width / 8) * 8;
  const weight = storage === 'f16-packed' ? gpu.caps.half : storage;
  const problem: Conv2dProblem = {
    ...{ images: c.images, height, width, channels: pitch, outChannels: pitch, stride: 1, ...more },
    ...{ padding: { top: 1, right: 1, bottom: 1, left: 1 }, input: storage, weight, output: storage },
    ...{ epilogue: { bias: false }, moments: true },
  };
  const tuning = variant ? { force: { conv2d: variant } } : force(family);
  expect(measures(CONV2D, { ...gpu.caps, software: false }, problem, tuning)).toBe(true);
  const w = new Float32Array(c.width ** 2 * taps);
  for (let i = 0; i < c.width; i++) for (const tap of centres) w[i * (c.width + 1) * taps + tap] = 0.7;
  const rows = c.images * c.pixels;
  const results = await runBothWays(gpu, conv2d(gpu.caps, problem, tuning), {
    a: { storage, values: padRows(x, c.width) },
    b: { storage: weight, values: packPanels(w, c.width, c.width, taps) },
    ...{ bias: NOTHING, channel_add: NOTHING, residual: NOTHING },
    y: { storage, size: rows * pitch },
    moments: { storage: 'f32', size: (rows / MOMENT_ROWS) * momentsPitch(pitch) },
  });
  return results as Awaited<ReturnType<Producer>>;
}

/** A doubling: `centres` are the taps of each parity that meet the pixel itself. */
const byDoubling: Producer = (c, setting, x) =>
  byConvolution(
    c,
    setting,
    x,
    { kernel: [2, 2], phases: 'all' },
    { taps: 16, centres: [3, 6, 9, 12], variant: undefined },
  );

const byPatches: Producer = (c, setting, x) =>
  byConvolution(c, setting, x, { kernel: [3, 3] }, { taps: 9, centres: [4], variant: 'conv-tile' });

/** Scale and shift of the norm behind a product, and the rows that it normalises. */
async function statisticsOf(c: Case, setting: Setting, x: Float32Array, by: Producer) {
  const { caps } = setting.gpu;
  const problem = problemOf(c, setting);
  const { y, moments } = await by(c, setting, x);
  const slabs = c.pixels / MOMENT_ROWS;
  const { images, together = 1 } = c;
  let partials = moments;
  if (together > 1) {
    const merge = groupNormMerge({ images, slabs, together, values: 2 * MOMENT_ROWS, pitch: problem.columns });
    const size = images * Math.ceil(slabs / together) * momentsPitch(problem.columns);
    ({ y: partials } = await runBothWays(setting.gpu, merge, {
      x: { storage: 'f32', values: moments },
      y: { storage: 'f32', size },
    }));
  }
  const source = { channels: c.width, pitch: problem.columns };
  const finalize = groupNormFinalize(
    caps,
    {
      images,
      pixels: c.pixels,
      sources: [source],
      groups: c.groups,
      eps: 1e-5,
      measuredPixels: MOMENT_ROWS * together,
    },
    setting.family?.startsWith('matrix') ? undefined : force(setting.family),
  );
  const { scale_shift } = await runBothWays(setting.gpu, finalize, {
    partials: { storage: 'f32', values: partials },
    partials2: { storage: 'f32', values: partials },
    weight: { storage: 'f32', values: new Float32Array(c.width).fill(1) },
    bias: { storage: 'f32', values: new Float32Array(c.width) },
    scale_shift: { storage: 'f32', size: images * 2 * problem.columns },
  });
  return { rows: unpadRows(y, c.width), scaleShift: unpadRows(scale_shift, c.width), moments };
}

/** Largest relative error of deviation and mean of any group. */
async function errorOf(c: Case, setting: Setting, x: Float32Array, by = byProduct): Promise<number> {
  const { rows, scaleShift } = await statisticsOf(c, setting, x, by);
  const { mean, rstd } = groupStatistics(rows, { ...c, channels: c.width, eps: 1e-5 });
  const errors = scaleShift.map((value, i) => {
    const [row, channel] = [Math.floor(i / c.width), i % c.width];
    const group = Math.floor(row / 2) * c.groups + Math.floor((channel * c.groups) / c.width);
    const [m, r] = [mean[group] as number, rstd[group] as number];
    return Math.abs(row % 2 === 0 ? value / r - 1 : (value + m * r) / Math.max(1, Math.abs(m * r)));
  });
  return Math.max(...errors);
}

describe.each(SETTINGS)('%s', name => {
  it.each<Case>([
    { images: 2, pixels: 16, width: 8, groups: 4 },
    { images: 3, pixels: 144, width: 20, groups: 2 },
    { images: 2, pixels: 272, width: 70, groups: 7, together: 4 },
  ])('$images maps of $pixels pixels and $width channels in $groups groups', async c => {
    const setting = await settingOf(name);
    const length = c.images * c.pixels * c.width;
    expect(
      await errorOf(
        c,
        setting,
        randoms(length, 3).map(v => 3 * v + 1),
      ),
    ).toBeLessThan(1e-6);
  });

  it('a mean that is a thousand deviations away', async () => {
    const c = { images: 2, pixels: 1504, width: 24, groups: 6 };
    const setting = await settingOf(name);
    const x = randoms(c.images * c.pixels * c.width, 9).map((v, i) => Math.fround(v + (i % 24) + 600));
    expect(await errorOf(c, setting, x)).toBeLessThan(1e-6);
  });

  const map = [12, 20] as const;
  const others: [string, Producer, Case][] = [
    ['parts of K', byParts, { images: 3, pixels: 144, width: 284, groups: 2 }],
    ['a doubling', byDoubling, { images: 2, pixels: 4 * 240, width: 40, groups: 4, together: 7, map }],
    ['patches of a map', byPatches, { images: 2, pixels: 24 * 16, width: 72, groups: 6, map: [24, 16] }],
    [
      'patches of a map with fewer lines than a tile',
      byPatches,
      { images: 3, pixels: 96, width: 8, groups: 2, map: [6, 16] },
    ],
  ];
  const able = others.filter(([, by]) => name.endsWith('tile') || (name.endsWith('broadcast') && by === byDoubling));
  it.each(able)('of %s', async (_, by, c) => {
    const setting = await settingOf(name);
    const pixels = c.map ? c.map[0] * c.map[1] : c.pixels;
    const x = randoms(c.images * pixels * c.width, 11);
    const errors = [
      await errorOf(
        c,
        setting,
        x.map(v => 3 * v + 1),
        by,
      ),
      await errorOf(
        c,
        setting,
        x.map((v, i) => Math.fround(v + (i % c.width) / 8 + 600)),
        by,
      ),
    ];
    for (const error of errors) expect(error).toBeLessThan(1e-6);
  });
});

describe('no tile changes a bit', () => {
  const c = { images: 2, pixels: 144, width: 80, groups: 2 };
  const x = randoms(c.images * c.pixels * c.width, 4);

  async function expectSame(setting: Setting, calls: (p: GemmProblem) => readonly KernelCall[]) {
    const problem = problemOf(c, setting);
    const operands = operandsOf(c, problem, x);
    const [first, ...others] = calls(problem) as [KernelCall, ...KernelCall[]];
    const { moments } = await runKernel(setting.gpu, first, operands);
    expect(others.length).toBeGreaterThan(0);
    for (const call of others) expect((await runKernel(setting.gpu, call, operands)).moments).toEqual(moments);
  }

  it('of gemm-tile', async () => {
    const setting = await settingOf('f32 tile');
    const sizes: readonly GemmTile[] = [
      { ROWS: 32, COLUMNS: 32, SPAN: 4, DEPTH: 8, UNROLL: 1 },
      { ROWS: 64, COLUMNS: 64, SPAN: 4, DEPTH: 8, UNROLL: 1 },
      { ROWS: 128, COLUMNS: 64, SPAN: 8, DEPTH: 8, UNROLL: 1 },
      { ROWS: 128, COLUMNS: 128, SPAN: 8, DEPTH: 16, UNROLL: 1 },
    ];
    await expectSame(setting, p => sizes.map(tiles => GEMM_TILE.call(setting.gpu.caps, p, tiles)));
  });

  it.runIf(gpu.caps.matrix)('of gemm-matrix', async () => {
    const setting = await settingOf('f16 matrix');
    const sizes = [
      { ROWS: 16, COLUMNS: 16, DEPTH: 16, TALL: 1, WIDE: 1 },
      { ROWS: 32, COLUMNS: 32, DEPTH: 16, TALL: 2, WIDE: 2 },
    ];
    await expectSame(setting, p => sizes.map(tiles => GEMM_MATRIX[0].call(setting.gpu.caps, p, tiles)));
  });
});

describe('products that measure nothing', () => {
  const caps = { ...gpu.caps, software: false };
  const setting: Setting = { gpu, storage: 'f32', family: 'tile', tolerance: 0 };
  const problem = problemOf({ images: 1, pixels: 32, width: 16, groups: 2 }, setting);
  it.each<[string, Partial<GemmProblem>]>([
    ['have rows left behind their last slab', { rows: 40 }],
    ['have gates', { epilogue: { geglu: true } }],
    ['are several', { batch: 2 }],
  ])('%s', (_, more) => {
    expect(measures(LINEAR, caps, problem, force('tile'))).toBe(true);
    expect(measures(LINEAR, caps, { ...problem, ...more }, force('tile'))).toBe(false);
  });

  it('are convolutions of images with rows left behind their last slab, or maps that patches cut across slabs', () => {
    const around = { stride: 1, padding: { top: 1, right: 1, bottom: 1, left: 1 }, weight: 'f32' } as const;
    const map = { images: 2, channels: 16, outChannels: 16, ...around, input: 'f32', output: 'f32' } as const;
    const measured = (variant: string, size: readonly [number, number], phases?: 'all' | 'even') => {
      const kernel = phases ? ([2, 2] as const) : ([3, 3] as const);
      const [height, width] = size;
      return measures(CONV2D, caps, { ...map, height, width, kernel, phases }, { force: { conv2d: variant } });
    };
    expect([measured('gemm-tile', [4, 4]), measured('gemm-tile', [4, 4], 'all')]).toEqual([true, true]);
    // 8 pixels of each parity: 32 of y, and no whole slab.
    expect(measured('gemm-tile', [4, 2])).toBe(true);
    expect([measured('gemm-tile', [4, 2], 'all'), measured('gemm-tile', [4, 2], 'even')]).toEqual([false, false]);
    expect(measured('conv-tile', [2, 8])).toBe(true);
    expect([measured('conv-tile', [4, 4]), measured('conv-tile', [1, 16])]).toEqual([false, false]);
  });

  it('have a subgroup that makes eight rows', () => {
    expect(measures(LINEAR, { ...caps, subgroupSize: 8 }, problem, force('broadcast'))).toBe(true);
    expect(measures(LINEAR, { ...caps, subgroupSize: 4 }, problem, force('broadcast'))).toBe(false);
  });

  it('are too small an image for software, however many there are', () => {
    const large = { ...problem, k: 2 ** 13, itemRows: 2 ** 12, rows: 2 ** 12 };
    expect(measures(LINEAR, gpu.caps, large, force('tile'))).toBe(true);
    expect(measures(LINEAR, gpu.caps, { ...large, itemRows: 2 ** 11 }, force('tile'))).toBe(!gpu.caps.software);
  });
});
