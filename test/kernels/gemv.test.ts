import { describe, expect, it } from 'vitest';
import { alignUp } from '../../src/core/shape.ts';
import type { Caps } from '../../src/gpu/caps.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { GemmProblem } from '../../src/kernels/gemm.ts';
import type { KernelCall, Storage } from '../../src/kernels/kernel.ts';
import { linear } from '../../src/kernels/linear.ts';
import * as reference from '../reference/gemm.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { packPanels, padRows, unpadRows } from '../support/pack.ts';
import { distinct, type Family, force, stored } from '../support/rows.ts';
import { type Operand, randoms, runKernel } from '../support/run-kernel.ts';
import { GEMV_CASES, GEMV_FEW, type GemvCase } from './gemv.cases.ts';

const gpu = await testGpu();
const bare = await testGpu({ bare: true });
const half = gpu.caps.half;
/** Where there is no f16, the kernels of 'tile packed' on their device. */
const halfTiles = half === 'f16' ? gpu : bare;
const packed = 'f16-packed';

interface Variant {
  name: string;
  gpu: Gpu;
  family: Family;
  input: Storage;
  weights: Storage;
  output: Storage;
}

const named: Variant[] = [
  { name: 'broadcast f32', gpu, family: 'broadcast', input: 'f32', weights: 'f32', output: 'f32' },
  { name: 'broadcast half', gpu, family: 'broadcast', input: half, weights: half, output: half },
  { name: 'broadcast half into f32 rows', gpu, family: 'broadcast', input: half, weights: half, output: 'f32' },
  { name: 'broadcast packed', gpu, family: 'broadcast', input: packed, weights: packed, output: packed },
  { name: 'broadcast f32 x bfloat16', gpu, family: 'broadcast', input: 'f32', weights: 'bf16-packed', output: 'f32' },
  { name: 'tile f32', gpu: bare, family: 'tile', input: 'f32', weights: 'f32', output: 'f32' },
  { name: 'tile packed', gpu: bare, family: 'tile', input: packed, weights: packed, output: packed },
  { name: 'tile half', gpu: halfTiles, family: 'tile', input: half, weights: half, output: 'f32' },
];
const variants = distinct(named);

// Against sums in f64 of what is stored. Half: what is written is rounded to 11 bits.
const tolerance = (v: Variant) => (v.output === 'f32' ? 2e-6 : 1e-3);

function problemOf(c: GemvCase, v: Variant): GemmProblem {
  const columns = alignUp(c.n, 8);
  return {
    batch: 1,
    rows: c.rows,
    columns,
    k: alignUp(c.k, 8),
    a: { pitch: alignUp(c.k, 8), storage: v.input },
    b: { layout: 'panels', storage: v.weights },
    y: { pitch: columns, storage: v.output },
    epilogue: { bias: c.bias === true, activation: c.activation, residual: c.residual },
  };
}

/** The call of gemv, or of gemm, in the variant's family. */
function gemv(caps: Caps, problem: GemmProblem, { family }: { family: Family }): KernelCall {
  return linear(caps, problem, force(family, 'gemv'));
}
function gemm(caps: Caps, problem: GemmProblem, { family }: { family: Family }): KernelCall {
  return linear(caps, problem, force(family, 'gemm'));
}

function dataOf(c: GemvCase, v: Variant) {
  const a = stored(randoms(c.rows * c.k, 1), v.input);
  const b = stored(randoms(c.n * c.k, 2), v.weights);
  const bias = randoms(c.n, 3);
  const extra = stored(randoms(c.rows * c.n, 4), v.output);
  const expected = reference.matmul(a, b, c.rows, c.n, c.k).map((sum, i) => {
    const value = reference.activate(c.activation ?? 'none', sum + (c.bias ? bias[i % c.n] : 0));
    return c.residual === 'multiply' ? value * extra[i] : c.residual ? value + extra[i] : value;
  });
  const operands: Record<string, Operand> = {
    a: { storage: v.input, values: padRows(a, c.rows, c.k) },
    b: { storage: v.weights, values: packPanels(b, c.n, c.k) },
    bias: { storage: 'f32', values: padRows(bias, 1, c.n) },
    channel_add: { storage: 'f32', values: [0] },
    residual: { storage: v.output, values: padRows(extra, c.rows, c.n) },
    y: { storage: v.output, size: c.rows * alignUp(c.n, 8) },
  };
  return { expected, operands };
}

describe.each(variants)('gemv, $name', variant => {
  it.each(/ f32$/.test(variant.name) ? GEMV_CASES : GEMV_FEW)(
    'rows $rows, columns $n, k $k, bias $bias $activation residual $residual',
    async c => {
      const call = gemv(variant.gpu.caps, problemOf(c, variant), variant);
      const { expected, operands } = dataOf(c, variant);
      const whole = (await runKernel(variant.gpu, call, operands)).y;
      expectClose(unpadRows(whole, c.rows, c.n), expected, tolerance(variant));
      expect((await runKernel(variant.gpu, call, operands, 1)).y).toEqual(whole);
    },
  );
});

describe('gemv', () => {
  it.each(['broadcast', 'tile'] as const)('%s reads a part of K and writes a part of the columns', async family => {
    const variant = { name: '', gpu, family, input: 'f32', weights: 'f32', output: 'f32' } as const;
    const a = randoms(2 * 16, 1);
    const w = randoms(40 * 48, 2);
    const problem: GemmProblem = {
      ...problemOf({ rows: 2, n: 40, k: 16 }, variant),
      b: { layout: 'panels', storage: 'f32', kTotal: 48, kOffset: 24 },
      y: { pitch: 64, offset: 16, storage: 'f32' },
    };
    const operands: Record<string, Operand> = {
      ...dataOf({ rows: 2, n: 40, k: 16 }, variant).operands,
      a: { storage: 'f32', values: a },
      b: { storage: 'f32', values: packPanels(w, 40, 48) },
      y: { storage: 'f32', size: 2 * 64 },
    };
    const part = Float32Array.from({ length: 40 * 16 }, (_, i) => w[Math.floor(i / 16) * 48 + 24 + (i % 16)]);
    const expected = reference.matmul(a, part, 2, 40, 16);
    const { y } = await runKernel(gpu, gemv(gpu.caps, problem, variant), operands);
    for (const row of [0, 1]) {
      expectClose(y.slice(row * 64 + 16, row * 64 + 56), expected.slice(row * 40, row * 40 + 40), 2e-6);
      expect(new Set(new Uint32Array(y.slice(row * 64, row * 64 + 16).buffer))).toEqual(new Set([0x7e007e00]));
    }
  });

  it('makes 16 rows in one tile on a GPU', async () => {
    const variant = variants.find(v => v.name === 'tile f32') as Variant;
    const c: GemvCase = { rows: 16, n: 33, k: 140, bias: true, residual: true };
    const call = gemv({ ...bare.caps, software: false }, problemOf(c, variant), variant);
    expect(call.values).toMatchObject({ ROWS: 16 });
    expect(call.tiles).toBe(2);
    const { expected, operands } = dataOf(c, variant);
    expectClose(unpadRows((await runKernel(bare, call, operands)).y, c.rows, c.n), expected, 2e-6);
  });

  // 1096 values of K are two blocks of sums and a part of one.
  it.each([40, 1096])('gives the bits of gemm on software, whatever the number of rows beside a row, k %i', async k => {
    const variant = variants[0] as Variant;
    const c: GemvCase = { rows: 9, n: 65, k, bias: true, activation: 'geluTanh', residual: true };
    const { operands } = dataOf(c, variant);
    const problem = problemOf(c, variant);
    const { y } = await runKernel(gpu, gemv(gpu.caps, problem, variant), operands);
    expect((await runKernel(gpu, gemm(gpu.caps, problem, variant), operands)).y).toEqual(y);
    const first = gemv(gpu.caps, { ...problem, rows: 1 }, variant);
    const alone = await runKernel(gpu, first, { ...operands, y: { storage: 'f32', size: 72 } });
    expect(alone.y).toEqual(y.slice(0, 72));
  });

  it.each(['broadcast', 'tile'] as const)('gemm %s multiplies by the residual too', async family => {
    const variant = { ...(variants[0] as Variant), gpu: family === 'tile' ? bare : gpu, family };
    const c: GemvCase = { rows: 21, n: 33, k: 17, bias: true, activation: 'relu', residual: 'multiply' };
    const { expected, operands } = dataOf(c, variant);
    const { y } = await runKernel(variant.gpu, gemm(variant.gpu.caps, problemOf(c, variant), variant), operands);
    expectClose(unpadRows(y, c.rows, c.n), expected, 2e-6);
  });

  it('reads lines ahead in plain loads where the driver makes them, and gives the same bits where not', async () => {
    const variant = variants.find(v => v.name === 'broadcast f32') as Variant;
    const driver = (version: string) => ({ ...gpu.caps, software: true, description: `llvmpipe: Mesa ${version}` });
    const half = { ...variant, weights: packed } as const;
    const c: GemvCase = { rows: 16, n: 97, k: 72, bias: true, residual: true };
    const cut = (version: string, v: Variant) => gemv(driver(version), problemOf(c, v), v).values;
    const old = { ROWS: 8, LINES: 0 };
    for (const v of [variant, half]) expect(cut('25.0.7-2~bpo12+1 (LLVM 15.0.6)', v)).toMatchObject(old);
    if (gpu.caps.subgroupSize > 8) return expect(cut('26.1.6', variant)).toMatchObject(old);
    expect(cut('26.1.6', variant)).toMatchObject({ ROWS: 16, LINES: 2 });
    expect(cut('30.0.0', half)).toMatchObject({ ROWS: 16, LINES: 1 });
    for (const v of [variant, half]) {
      const { operands, expected } = dataOf(c, v);
      const [plain, gathered] = await Promise.all(
        ['26.1.6', '25.0.7'].map(version => runKernel(gpu, gemv(driver(version), problemOf(c, v), v), operands)),
      );
      expect(plain?.y).toEqual(gathered?.y);
      expectClose(unpadRows(plain?.y as Float32Array, c.rows, c.n), expected, tolerance(v));
    }
  });

  it('is chosen for few rows of a plain linear layer: up to 16, on software of 4 lanes up to 4', () => {
    const problem = problemOf({ rows: 4, n: 64, k: 64 }, variants[0] as Variant);
    const kernel = (change: Partial<GemmProblem>, caps = gpu.caps) => linear(caps, { ...problem, ...change }).kernel;
    const [wide, narrow] = [8, 4].map(subgroupSize => ({ ...gpu.caps, software: true, subgroupSize }));
    expect([kernel({ rows: 16 }, wide), kernel({ rows: 17 }, wide)]).toEqual(['gemv-broadcast', 'gemm-broadcast']);
    expect([kernel({}, narrow), kernel({ rows: 5 }, narrow)]).toEqual(['gemv-broadcast', 'gemm-broadcast']);
    const hardware = { ...gpu.caps, software: false };
    expect([kernel({ rows: 16 }, hardware), kernel({ rows: 17 }, hardware)]).toEqual(['gemv-tile', 'gemm-tile']);
    const other: Partial<GemmProblem>[] = [
      { batch: 2 },
      { b: { layout: 'plain', storage: 'f32', pitch: 64 } },
      { a: { ...problem.a, offset: 8 } },
      { epilogue: { geglu: true } },
      { epilogue: { channelAdd: { rowsPerImage: 4, pitch: 64 } } },
    ];
    for (const change of other)
      expect([kernel(change), kernel(change, hardware)]).toEqual(['gemm-broadcast', 'gemm-tile']);
  });

  it('refuses what belongs to gemm, and sizes that do not fit', () => {
    const problem = problemOf({ rows: 16, n: 64, k: 64 }, variants[0] as Variant);
    const [{ family }] = variants as [Variant];
    const refused: Partial<GemmProblem>[] = [
      { rows: 17 },
      { batch: 2 },
      { b: { layout: 'plain', storage: 'f32', pitch: 64 } },
      { a: { ...problem.a, offset: 8 } },
      { epilogue: { geglu: true } },
      { epilogue: { channelAdd: { rowsPerImage: 4, pitch: 64 } } },
    ];
    for (const change of refused) {
      expect(() => gemv(gpu.caps, { ...problem, ...change }, { family })).toThrow(
        'linear: the forced variant cannot run this problem on this device',
      );
    }
    const plain = { ...gpu.caps, matrix: undefined };
    expect(() => gemv(plain, { ...problem, rows: 17 }, { family })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: linear: the forced variant cannot run this problem on this device: expected [gemm-broadcast, gemm-tile], got "gemv-broadcast" (tuning.force.linear). Force one of these, or leave it out.]`,
    );
    expect(() => gemv(gpu.caps, { ...problem, k: 12 }, { family })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: linear: must be a multiple of 8: got 12 (k). Pad the rows.]`,
    );
  });
});
