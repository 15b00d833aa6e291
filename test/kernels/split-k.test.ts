/** Products whose K axis is cut: what is cut, and that parts make what the whole makes. */
import { describe, expect, it } from 'vitest';
import { alignUp } from '../../src/core/shape.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { asGemm, CONV2D, type Conv2dProblem } from '../../src/kernels/conv2d.ts';
import { type Epilogue, GEMM_TILE, type GemmProblem } from '../../src/kernels/gemm.ts';
import { GEMM_MATRIX } from '../../src/kernels/gemm-matrix.ts';
import type { KernelCall, Storage } from '../../src/kernels/kernel.ts';
import { LINEAR } from '../../src/kernels/linear.ts';
import { callOf, callsOf, type PackedLayout } from '../../src/kernels/op.ts';
import { partsOf, splitCalls } from '../../src/kernels/split-k.ts';
import * as reference from '../reference/gemm.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { packColumns, packPanels, padRows, unpadRows } from '../support/pack.ts';
import { force, runBothWays, stored } from '../support/rows.ts';
import { type Operand, randoms, runKernel } from '../support/run-kernel.ts';
import type { ConvShape } from './gemm.cases.ts';

const gpu = await testGpu();
const bare = await testGpu({ bare: true });
const NOTHING: Operand = { storage: 'f32', values: new Float32Array(64) };

interface Variant {
  readonly name: string;
  readonly gpu: Gpu;
  readonly activations: Storage;
  readonly weights: Storage;
  /** The matrix units' variant, which takes weights in rows, in place of the tiles. */
  readonly matrix?: boolean;
}
const units: Variant = { name: 'half by matrix units', gpu, activations: 'f16', weights: 'f16', matrix: true };
const variants: readonly Variant[] = [
  { name: 'f32', gpu: bare, activations: 'f32', weights: 'f32' },
  { name: 'packed', gpu: bare, activations: 'f16-packed', weights: 'f16-packed' },
  ...(gpu.caps.matrix ? [units] : []),
];
// As the products that are not cut: f32, or inputs and outputs rounded to 11 bits.
const tolerance = (v: Variant) => (v.activations === 'f32' ? 2e-6 : 1e-3);
const CUT: Pick<GemmProblem, 'columns' | 'k'> = { columns: 1280, k: 5120 };

const [IN_ROWS] = GEMM_MATRIX;
const callOfVariant =
  (v: Variant) =>
  (p: GemmProblem): KernelCall =>
    v.matrix
      ? IN_ROWS.call(v.gpu.caps, p, IN_ROWS.tiles(v.gpu.caps, p))
      : GEMM_TILE.call(v.gpu.caps, p, GEMM_TILE.tiles(v.gpu.caps, p));
const layoutOf = (v: Variant): PackedLayout => (v.matrix ? 'rows' : 'panels');
const packed = (v: Variant, ...w: Parameters<typeof packPanels>) => (v.matrix ? packColumns(...w) : packPanels(...w));

/** Both calls, each whole, in single tiles, and with windows. */
async function runSplit(v: Variant, p: GemmProblem, parts: number, operands: Record<string, Operand>) {
  const { partials, sum, scratch } = splitCalls(p, parts, callOfVariant(v));
  const { a, b, y, ...behind } = operands;
  const between: Operand = { storage: 'f32', size: scratch.rows * scratch.width };
  const unread = { bias: NOTHING, channel_add: NOTHING, residual: NOTHING };
  const first = await runBothWays(v.gpu, partials, { a, b, ...unread, y: between });
  const values: Operand = { storage: 'f32', values: first.y };
  return (await runBothWays(v.gpu, sum, { partials: values, ...behind, y })).y;
}

const side = (pitch: number, storage: Storage) => ({ pitch, storage });

describe('which products are cut', () => {
  const problem = (rows: number, change: Partial<GemmProblem> = {}): GemmProblem => ({
    ...{ batch: 1, rows, ...CUT, a: side(5120, 'f16'), y: side(1280, 'f16') },
    ...{ b: { layout: 'panels', storage: 'f16' }, ...change },
  });
  const map = (images: number, size: number, change: Partial<Conv2dProblem> = {}): GemmProblem =>
    asGemm({
      ...{ images, height: size, width: size, channels: 1280, outChannels: 1280, kernel: [3, 3], stride: 1 },
      ...{ padding: { top: 1, right: 1, bottom: 1, left: 1 }, input: 'f16', weight: 'f16', output: 'f16', ...change },
    });

  it('columns and K decide, and no number of rows', () => {
    for (const rows of [1, 77, 288, 1152, 1e6]) expect(partsOf(problem(rows)), `${rows} rows`).toBe(2);
    for (const [images, size] of [
      [1, 1],
      [2, 12],
      [16, 24],
      [64, 128],
    ] as const) {
      expect(partsOf(map(images, size)), `${images} x ${size}`).toBe(3);
    }
  });

  it('windows of columns are cut as all columns are', () => {
    expect(partsOf(problem(9, { columns: 64 }))).toBe(2);
    expect(partsOf(map(2, 12, { window: { first: 1216, columns: 64 } }))).toBe(3);
  });

  it('few columns, a short K, gates, doublings and products of activations stay whole', () => {
    const sizes = { columns: 640, y: side(640, 'f16') };
    expect(partsOf(problem(9, sizes))).toBe(1);
    expect(partsOf(problem(9, { k: 1280, a: side(1280, 'f16') }))).toBe(1);
    expect(partsOf(problem(9, { epilogue: { geglu: true } }))).toBe(1);
    expect(partsOf(problem(9, { b: { layout: 'plain', pitch: 1280, storage: 'f16' } }))).toBe(1);
    expect(partsOf(map(2, 12, { kernel: [2, 2], phases: 'all' }))).toBe(1);
    expect(partsOf(map(2, 12, { channels: 320 }))).toBe(1);
    expect(partsOf(map(2, 12, { kernel: [1, 1], padding: { top: 0, right: 0, bottom: 0, left: 0 } }))).toBe(1);
  });

  it('where K is summed in blocks it is cut between them', () => {
    const singles = (k: number) => partsOf(problem(9, { k, a: side(k, 'f32') }));
    expect([5120, 5120 + 512, 4096].map(singles)).toEqual([2, 1, 2]);
  });

  it('kernels of the tile family do it; broadcasts, and calls where no memory for sums is at hand, do not', () => {
    const p = problem(288);
    expect('partials' in callsOf(LINEAR, bare.caps, p, force('tile'))).toBe(true);
    expect('partials' in callOf(LINEAR, bare.caps, p, force('tile'))).toBe(false);
    if (gpu.caps.subgroupSize === 0) return;
    const packed = problem(288, { a: side(5120, 'f16-packed'), y: side(1280, 'f16-packed') });
    expect('partials' in callsOf(LINEAR, gpu.caps, packed, force('broadcast'))).toBe(false);
  });

  it('their flops and words of the parts add up to those of the whole', () => {
    for (const p of [problem(300), map(2, 12)]) {
      const parts = partsOf(p);
      const { partials, sum } = splitCalls(p, parts, callOfVariant(variants[0]));
      const whole = callOfVariant(variants[0])(p);
      expect(partials.cost.flops).toBe(whole.cost.flops);
      expect(sum.cost.flops).toBe(p.rows * p.columns * (parts - 1));
    }
  });
});

// K is a multiple of 16 everywhere: every text more is seconds of LLVM.
describe.each(variants)('a product in parts, $name', v => {
  it.each([
    { rows: 77, n: 40, k: 1024, parts: 2, epilogue: {} },
    { rows: 70, n: 69, k: 96, parts: 3, epilogue: { activation: 'silu', residual: true } },
    { rows: 9, n: 33, k: 64, parts: 4, epilogue: { residual: 'multiply', channelAdd: 4 } },
  ] as const)('rows $rows, columns $n, k $k, parts $parts', async ({ rows, n, k, parts, epilogue }) => {
    const [a, b, bias] = [randoms(rows * k, 1), randoms(n * k, 2), randoms(n, 3)];
    const columns = alignUp(n, 8);
    const { channelAdd: each = 0, ...others }: Omit<Epilogue, 'channelAdd'> & { channelAdd?: number } = epilogue;
    const add = each ? randoms(Math.ceil(rows / each) * n, 4) : undefined;
    const residual = randoms(rows * n, 5);
    const p: GemmProblem = {
      ...{ batch: 1, rows, columns, k, scale: 0.5, a: side(k, v.activations), y: side(columns, v.activations) },
      b: { layout: layoutOf(v), storage: v.weights },
      epilogue: { ...others, channelAdd: each ? { rowsPerImage: each, pitch: columns } : undefined },
    };
    const kept = (values: Float32Array) => stored(values, v.activations);
    const [added, left] = [add && kept(add), kept(residual)];
    const expected = Array.from(reference.matmul(kept(a), stored(b, v.weights), rows, n, k), (sum, i) => {
      const [row, column] = [Math.floor(i / n), i % n];
      const shift = added ? added[Math.floor(row / each) * n + column] : 0;
      const y = reference.activate(others.activation ?? 'none', 0.5 * sum + bias[column]) + shift;
      return others.residual === 'multiply' ? y * left[i] : y + (others.residual ? left[i] : 0);
    });
    const y = await runSplit(v, p, parts, {
      a: { storage: v.activations, values: padRows(a, rows, k) },
      b: { storage: v.weights, values: packed(v, b, n, k) },
      bias: { storage: 'f32', values: padRows(bias, 1, n) },
      channel_add: add ? { storage: v.activations, values: padRows(add, add.length / n, n) } : NOTHING,
      residual: others.residual ? { storage: v.activations, values: padRows(residual, rows, n) } : NOTHING,
      y: { storage: v.activations, size: rows * columns },
    });
    expectClose(unpadRows(y, rows, n), expected, tolerance(v));
  });

  it.each([
    { images: 2, height: 5, width: 7, cin: 16, cout: 33, kernel: 3, stride: 1, padding: [1, 1, 1, 1] },
    { images: 3, height: 8, width: 6, cin: 12, cout: 40, kernel: 3, stride: 2, padding: [0, 0, 1, 1] },
    { images: 1, height: 3, width: 5, cin: 32, cout: 12, kernel: 3, stride: 1, padding: [1, 1, 1, 1], upsample: true },
    { images: 1, height: 6, width: 40, cin: 9, cout: 70, kernel: 2, stride: 1, padding: [0, 0, 1, 1] },
  ] satisfies ConvShape[])(
    'lines of taps: $images x $height x $width x $cin -> $cout, kernel $kernel stride $stride',
    async c => {
      const x = stored(randoms(c.images * c.height * c.width * c.cin, 1), v.activations);
      const w = stored(randoms(c.cout * c.cin * c.kernel ** 2, 2), v.weights);
      const { data, height, width } = reference.conv2d(x, w, c);
      const rows = c.images * height * width;
      const [k, columns] = [alignUp(c.cin, 8), alignUp(c.cout, 8)];
      const [top, left, bottom, right] = c.padding;
      const p = asGemm({
        ...{ images: c.images, height: c.height, width: c.width, channels: k, outChannels: columns },
        ...{ kernel: [c.kernel, c.kernel], stride: c.stride, padding: { top, left, bottom, right } },
        ...{ upsample: 'upsample' in c, input: v.activations, weight: v.weights, output: v.activations },
        layout: layoutOf(v),
      });
      const bias = randoms(c.cout, 3);
      const y = await runSplit(v, p, c.kernel, {
        a: { storage: v.activations, values: padRows(x, c.images * c.height * c.width, c.cin) },
        b: { storage: v.weights, values: packed(v, w, c.cout, c.cin, c.kernel ** 2) },
        bias: { storage: 'f32', values: [...bias, ...new Float32Array(alignUp(c.cout, 32) - c.cout)] },
        ...{ channel_add: NOTHING, residual: NOTHING },
        y: { storage: v.activations, size: rows * columns },
      });
      expectClose(
        unpadRows(y, rows, c.cout),
        data.map((sum, i) => sum + bias[i % c.cout]),
        tolerance(v),
      );
    },
  );
});

it('parts of one block of K each give the bits of the whole', async () => {
  const [rows, n, k] = [20, 32, 1024];
  const p: GemmProblem = {
    ...{ batch: 1, rows, columns: n, k, a: side(k, 'f32'), y: side(n, 'f32') },
    ...{ b: { layout: 'panels', storage: 'f32' }, epilogue: { bias: false } },
  };
  const operands: Record<string, Operand> = {
    a: { storage: 'f32', values: randoms(rows * k, 1) },
    b: { storage: 'f32', values: packPanels(randoms(n * k, 2), n, k) },
    ...{ bias: NOTHING, channel_add: NOTHING, residual: NOTHING },
    y: { storage: 'f32', size: rows * n },
  };
  const [single] = variants;
  const { y: whole } = await runKernel(single.gpu, callOfVariant(single)(p), operands);
  expect(await runSplit(single, p, 2, operands)).toEqual(whole);
});

it('a convolution of the deepest maps becomes the two calls', () => {
  const problem: Conv2dProblem = {
    ...{ images: 2, height: 12, width: 12, channels: 1280, outChannels: 1280, kernel: [3, 3], stride: 1 },
    ...{ padding: { top: 1, right: 1, bottom: 1, left: 1 }, input: 'f32', weight: 'f32', output: 'f32' },
  };
  const calls = callsOf(CONV2D, bare.caps, problem, force('tile'));
  expect('partials' in calls && [calls.partials.kernel, calls.sum.kernel]).toEqual(['gemm-tile', 'sum-parts']);
  expect('partials' in calls && calls.scratch).toEqual({ rows: 288, width: 3 * 1280 });
});
