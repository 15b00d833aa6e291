import { describe, expect, it } from 'vitest';
import { alignUp } from '../../src/core/shape.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { asGemm, conv2d } from '../../src/kernels/conv2d.ts';
import type { GemmProblem } from '../../src/kernels/gemm.ts';
import { GEMM_MATRIX } from '../../src/kernels/gemm-matrix.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import { linear } from '../../src/kernels/linear.ts';
import type { PackedLayout } from '../../src/kernels/op.ts';
import * as reference from '../reference/gemm.ts';
import { expectClose, relativeL2 } from '../support/close.ts';
import { FULL } from '../support/full.ts';
import { testGpu } from '../support/gpu.ts';
import { packColumns, packPanels, padRows, unpadRows } from '../support/pack.ts';
import { distinct, type Family, force, runBothWays, stored } from '../support/rows.ts';
import { type Operand, randoms, runKernel } from '../support/run-kernel.ts';
import { CONV_CASES, type ConvShape, MATMUL_CASES, type MatmulCase } from './gemm.cases.ts';

const gpu = await testGpu();
const bare = await testGpu({ bare: true });
const NOTHING: Operand = { storage: 'f32', values: [0] };

interface Variant {
  name: string;
  gpu: Gpu;
  family: Family;
  activations: Storage;
  weights: Storage;
}

const half = gpu.caps.half;
/** Where there is no f16, the kernels of 'tile packed' on their device. */
const halfTiles = half === 'f16' ? gpu : bare;
const named: Variant[] = [
  { name: 'broadcast f32', gpu, family: 'broadcast', activations: 'f32', weights: 'f32' },
  { name: 'broadcast f32 x half', gpu, family: 'broadcast', activations: 'f32', weights: half },
  { name: 'broadcast half', gpu, family: 'broadcast', activations: half, weights: half },
  { name: 'broadcast packed', gpu, family: 'broadcast', activations: 'f16-packed', weights: 'f16-packed' },
  { name: 'broadcast packed x bfloat16', gpu, family: 'broadcast', activations: 'f16-packed', weights: 'bf16-packed' },
  { name: 'tile f32', gpu: bare, family: 'tile', activations: 'f32', weights: 'f32' },
  { name: 'tile packed', gpu: bare, family: 'tile', activations: 'f16-packed', weights: 'f16-packed' },
  { name: 'tile half', gpu: halfTiles, family: 'tile', activations: half, weights: half },
];
const units: Variant[] = [
  { name: 'matrix half', gpu, family: 'matrix', activations: 'f16', weights: 'f16' },
  { name: 'matrix panels half', gpu, family: 'matrix-panels', activations: 'f16', weights: 'f16' },
  { name: 'matrix f32', gpu, family: 'matrix', activations: 'f32', weights: 'f32' },
  { name: 'matrix panels f32 x half', gpu, family: 'matrix-panels', activations: 'f32', weights: 'f16' },
];
// LLVM takes a second for a text of theirs: every day each layout and each form of activations once.
const asked = units.filter(({ name }) => FULL || name === 'matrix half' || name === 'matrix panels f32 x half');
const variants = [...distinct(named), ...(gpu.caps.matrix ? asked : [])];
/** Matrix units round both factors to halves. */
const isSingle = (v: Variant) => v.activations === 'f32' && v.weights === 'f32' && v.family !== 'matrix';
const layoutOf = (v: Variant): PackedLayout => (v.family === 'matrix' ? 'rows' : 'panels');
const packed = (v: Variant, ...w: Parameters<typeof packPanels>) =>
  v.family === 'matrix' ? packColumns(...w) : packPanels(...w);

// Against sums in f64 of what is stored. Half: what is written is rounded to 11 bits; for matrix units both factors too.
const tolerance = (v: Variant) => (v.activations === 'f32' && !v.family.startsWith('matrix') ? 2e-6 : 1e-3);

describe.each(variants)('matmul, $name', variant => {
  // Each activation is a pipeline of its own, and compiling costs seconds: other storage forms try one.
  const plain = isSingle(variant);
  const cases = MATMUL_CASES.filter(c => plain || !c.activation || c.activation === 'silu');
  it.each(cases)('rows $rows, columns $n, k $k, $activation residual $residual channelAdd $channelAdd', async c => {
    const { a, b, bias, add, extra, expected } = matmulData(c, variant);
    const columns = alignUp(c.n, 8);
    const problem: GemmProblem = {
      batch: 1,
      rows: c.rows,
      columns,
      k: alignUp(c.k, 8),
      a: { pitch: alignUp(c.k, 8), storage: variant.activations },
      b: { layout: layoutOf(variant), storage: variant.weights },
      y: { pitch: columns, storage: variant.activations },
      epilogue: {
        activation: c.activation,
        residual: c.residual,
        channelAdd: c.channelAdd ? { rowsPerImage: c.channelAdd, pitch: columns } : undefined,
      },
    };
    const call = linear(variant.gpu.caps, problem, force(variant.family));
    const operands: Record<string, Operand> = {
      a: { storage: variant.activations, values: padRows(a, c.rows, c.k) },
      b: { storage: variant.weights, values: packed(variant, b, c.n, c.k) },
      bias: { storage: 'f32', values: padRows(bias, 1, c.n) },
      channel_add: add ? { storage: variant.activations, values: padRows(add, add.length / c.n, c.n) } : NOTHING,
      residual: extra ? { storage: variant.activations, values: padRows(extra, c.rows, c.n) } : NOTHING,
      y: { storage: variant.activations, size: c.rows * columns },
    };
    const whole = (await runKernel(variant.gpu, call, operands)).y;
    expectClose(unpadRows(whole, c.rows, c.n), expected, tolerance(variant));
    const parts = (await runKernel(variant.gpu, call, operands, c.rows < 66 ? 1 : 7)).y;
    expect(parts).toEqual(whole);
  });
});

it.each(variants.filter(isSingle))('matmul, $name: geluTanh of large sums is 0 or the sum', async ({ gpu, family }) => {
  const x = [50, 1e4, 1e12, -50, -1e4, -1e12];
  const side = { pitch: 8, storage: 'f32' as const };
  const size = { batch: 1, rows: x.length, columns: 8, k: 8 };
  const b = { layout: 'panels', storage: 'f32' } as const;
  const problem: GemmProblem = { ...size, a: side, b, y: side, epilogue: { activation: 'geluTanh' } };
  const call = linear(gpu.caps, problem, force(family));
  const { y } = await runKernel(gpu, call, {
    a: { storage: 'f32', values: padRows(x, x.length, 1) },
    b: { storage: 'f32', values: packPanels([1], 1, 1) },
    bias: { storage: 'f32', values: new Float32Array(8) },
    channel_add: NOTHING,
    residual: NOTHING,
    y: { storage: 'f32', size: x.length * 8 },
  });
  expect([...unpadRows(y, x.length, 1)].map(Math.abs)).toEqual([50, 1e4, Math.fround(1e12), 0, 0, 0]);
});

function matmulData(c: MatmulCase, { activations, weights }: Variant) {
  const a = stored(randoms(c.rows * c.k, 1), activations);
  const b = stored(randoms(c.n * c.k, 2), weights);
  const bias = randoms(c.n, 3);
  const images = c.channelAdd ? Math.ceil(c.rows / c.channelAdd) : 0;
  const add = c.channelAdd ? stored(randoms(images * c.n, 4), activations) : undefined;
  const extra = c.residual ? stored(randoms(c.rows * c.n, 5), activations) : undefined;
  const product = reference.matmul(a, b, c.rows, c.n, c.k);
  const expected = product.map((sum, i) => {
    const row = Math.floor(i / c.n);
    const y = reference.activate(c.activation ?? 'none', sum + bias[i % c.n]);
    const image = c.channelAdd ? Math.floor(row / c.channelAdd) : 0;
    return y + (add?.[image * c.n + (i % c.n)] ?? 0) + (extra?.[i] ?? 0);
  });
  return { a, b, bias, add, extra, expected };
}

describe.each(variants)('conv2d, $name', variant => {
  it.each(CONV_CASES)(
    '$images x $height x $width x $cin -> $cout, kernel $kernel stride $stride pad $padding up $upsample',
    async c => {
      const { call, operands, expected, rows } = convCall(c, variant);
      const { y } = await runBothWays(variant.gpu, call, operands);
      expectClose(unpadRows(y, rows, c.cout), expected, tolerance(variant));
    },
  );
});

it('several fragments a subgroup, as cards get them, make what one makes', async () => {
  const variant = variants.find(v => v.name === 'matrix half');
  if (!variant) return expect(gpu.caps.matrix).toBeUndefined();
  const { call, operands, expected, rows } = convCall(CONV_CASES[1], variant);
  const [units] = GEMM_MATRIX;
  // 2 x 2 fragments of 8 x 8: LLVM's time grows with them.
  const tiles = { ROWS: 32, COLUMNS: 32, DEPTH: 16, TALL: 2, WIDE: 2 };
  const { cout } = CONV_CASES[1];
  const problem = asGemm(convProblem(CONV_CASES[1], variant));
  const { y } = await runKernel(gpu, units.call(gpu.caps, problem, tiles), operands);
  expectClose(unpadRows(y, rows, cout), expected, tolerance(variant));
  expect([...y]).toEqual([...(await runKernel(gpu, call, operands)).y]);
});

// Each is two pipelines of its own: one variant of each family and storage form.
const FOLLOWED = ['broadcast f32', 'broadcast packed', 'tile f32', 'tile packed', 'matrix half'];
describe.each(variants.filter(v => FOLLOWED.includes(v.name)))('conv2d with all that may follow it, $name', variant => {
  it.each([
    { images: 2, height: 5, width: 4, cin: 8, cout: 33, kernel: 3, stride: 1, padding: [1, 1, 1, 1] },
    { images: 2, height: 4, width: 6, cin: 9, cout: 16, kernel: 1, stride: 1, padding: [0, 0, 0, 0] },
  ] satisfies ConvShape[])('kernel $kernel', async c => {
    const { call: plain, operands, expected, rows } = convCall(c, variant);
    const columns = alignUp(c.cout, 8);
    const bias = randoms(c.cout, 5);
    const [add, residual] = [randoms(c.images * c.cout, 6), randoms(rows * c.cout, 7)];
    const kept = (values: Float32Array) => stored(values, variant.activations);
    const wanted = Array.from(expected, (sum, i) => {
      const [row, column] = [Math.floor(i / c.cout), i % c.cout];
      const image = Math.floor((row * c.images) / rows);
      const activated = reference.activate('silu', sum + bias[column]);
      return activated + kept(add)[image * c.cout + column] + kept(residual)[i];
    });
    const epilogue = {
      activation: 'silu' as const,
      residual: true,
      channelAdd: { rowsPerImage: rows / c.images, pitch: columns },
    };
    const call = conv2d(variant.gpu.caps, { ...convProblem(c, variant), epilogue }, force(variant.family));
    expect(call.tiles).toBe(plain.tiles);
    const { y } = await runKernel(variant.gpu, call, {
      ...operands,
      bias: { storage: 'f32', values: [...bias, ...new Float32Array(alignUp(c.cout, 32) - c.cout)] },
      channel_add: { storage: variant.activations, values: padRows(add, c.images, c.cout) },
      residual: { storage: variant.activations, values: padRows(residual, rows, c.cout) },
    });
    expectClose(unpadRows(y, rows, c.cout), wanted, tolerance(variant));
  });
});

function convProblem(c: ConvShape, variant: Variant) {
  return {
    images: c.images,
    height: c.height,
    width: c.width,
    channels: alignUp(c.cin, 8),
    outChannels: alignUp(c.cout, 8),
    kernel: [c.kernel, c.kernelWidth ?? c.kernel] as const,
    stride: c.stride,
    padding: { top: c.padding[0], left: c.padding[1], bottom: c.padding[2], right: c.padding[3] },
    upsample: c.upsample === true,
    input: variant.activations,
    weight: variant.weights,
    layout: layoutOf(variant),
    output: variant.activations,
  };
}

function convCall(c: ConvShape, variant: Variant) {
  const taps = c.kernel * (c.kernelWidth ?? c.kernel);
  const x = stored(randoms(c.images * c.height * c.width * c.cin, 1), variant.activations);
  const w = stored(randoms(c.cout * c.cin * taps, 2), variant.weights);
  const { data: expected, height, width } = reference.conv2d(x, w, c);
  const columns = alignUp(c.cout, 8);
  const rows = c.images * height * width;
  const call = conv2d(variant.gpu.caps, convProblem(c, variant), force(variant.family));
  const operands: Record<string, Operand> = {
    a: { storage: variant.activations, values: padRows(x, c.images * c.height * c.width, c.cin) },
    b: { storage: variant.weights, values: packed(variant, w, c.cout, c.cin, taps) },
    bias: { storage: 'f32', values: new Float32Array(alignUp(c.cout, 32)) },
    channel_add: NOTHING,
    residual: NOTHING,
    y: { storage: variant.activations, size: rows * columns },
  };
  return { call, operands, expected, rows };
}

describe.each(variants)('properties, $name', variant => {
  it('a convolution with a point of one channel each gives its picture back, to the bit', async () => {
    const c: ConvShape = {
      images: 2,
      height: 5,
      width: 6,
      cin: 11,
      cout: 11,
      kernel: 3,
      stride: 1,
      padding: [1, 1, 1, 1],
    };
    const { call, operands, rows } = convCall(c, variant);
    const x = stored(randoms(rows * c.cin, 1), variant.family.startsWith('matrix') ? 'f16' : variant.activations);
    const point = new Float32Array(c.cout * c.cin * 9);
    for (let o = 0; o < c.cout; o++) point[(o * c.cin + o) * 9 + 4] = 1;
    const b: Operand = { storage: variant.weights, values: packed(variant, point, c.cout, c.cin, 9) };
    const { y } = await runKernel(variant.gpu, call, { ...operands, b });
    expect(unpadRows(y, rows, c.cout)).toEqual(x);
  });

  it('a product is linear: exactly so in whole numbers', async () => {
    const [rows, n, k] = [13, 40, 24];
    const whole = (count: number, seed: number) => randoms(count, seed).map(v => Math.round(3 * v));
    const [first, second, weight] = [whole(rows * k, 1), whole(rows * k, 2), whole(n * k, 3)];
    const times = async (a: Float32Array) => {
      const problem: GemmProblem = {
        ...{ batch: 1, rows, columns: n, k },
        a: { pitch: k, storage: variant.activations },
        b: { layout: layoutOf(variant), storage: variant.weights },
        y: { pitch: n, storage: variant.activations },
      };
      const call = linear(variant.gpu.caps, problem, force(variant.family));
      const operands: Record<string, Operand> = {
        ...{ bias: { storage: 'f32', values: new Float32Array(64) }, channel_add: NOTHING, residual: NOTHING },
        a: { storage: variant.activations, values: a },
        b: { storage: variant.weights, values: packed(variant, weight, n, k) },
        y: { storage: variant.activations, size: rows * n },
      };
      return (await runKernel(variant.gpu, call, operands)).y;
    };
    const [one, other] = [await times(first), await times(second)];
    expect(await times(first.map((v, i) => 3 * v - 2 * second[i]))).toEqual(one.map((v, i) => 3 * v - 2 * other[i]));
    expect(one.some(v => v !== 0)).toBe(true);
  });
});

describe('a long K', () => {
  const f32 = variants.filter(isSingle);
  it.each(f32)('is summed in blocks, whose errors stay small: $name', async ({ gpu, family }) => {
    const [rows, n, k] = [9, 64, 5120];
    const [a, b] = [randoms(rows * k, 1), randoms(k * n, 2)];
    const storage = 'f32';
    const sizes = { batch: 1, rows, columns: n, k, a: { pitch: k, storage }, y: { pitch: n, storage } } as const;
    const problem: GemmProblem = {
      ...sizes,
      b: { layout: 'panels', storage },
      epilogue: { bias: false },
      itemRows: rows,
    };
    const { y } = await runKernel(gpu, linear(gpu.caps, problem, force(family)), {
      a: { storage, values: a },
      b: { storage, values: packPanels(b, n, k) },
      ...{ bias: NOTHING, channel_add: NOTHING, residual: NOTHING },
      y: { storage, size: rows * n },
    });
    // One chain over all of K is off by 1.3e-6.
    const error = relativeL2(y, reference.matmul(a, b, rows, n, k));
    expect(error).toBeLessThan(1e-6);
    expect(error).toBeGreaterThan(0);
  });
});

describe('geglu', () => {
  it.each(variants)('$name: value times gelu(gate), from panels that alternate', async variant => {
    const rows = 11;
    const n = 40;
    const k = 24;
    const a = stored(randoms(rows * k, 1), variant.activations);
    const w = stored(randoms(2 * n * k, 2), variant.weights);
    const bias = randoms(2 * n, 3);
    const product = reference.matmul(a, w, rows, 2 * n, k);
    const expected = new Float64Array(rows * n);
    for (let r = 0; r < rows; r++)
      for (let i = 0; i < n; i++) {
        const value = product[r * 2 * n + i] + bias[i];
        expected[r * n + i] = value * reference.activate('gelu', product[r * 2 * n + n + i] + bias[n + i]);
      }
    // Panel 2i: values 32i to 32i + 31; panel 2i + 1: their gates; both padded to 64 columns.
    const order = Array.from({ length: 128 }, (_, j) => {
      const column = Math.floor(j / 64) * 32 + (j % 32);
      return column < n ? column + (j % 64 < 32 ? 0 : n) : -1;
    });
    const mixed = new Float32Array(128 * k);
    const mixedBias = new Float32Array(128);
    order.forEach((from, to) => {
      if (from < 0) return;
      mixed.set(w.subarray(from * k, (from + 1) * k), to * k);
      mixedBias[to] = bias[from];
    });
    const problem: GemmProblem = {
      batch: 1,
      rows,
      columns: n,
      k,
      a: { pitch: k, storage: variant.activations },
      b: { layout: layoutOf(variant), storage: variant.weights },
      y: { pitch: n, storage: variant.activations },
      epilogue: { geglu: true },
    };
    const call = linear(variant.gpu.caps, problem, force(variant.family));
    const operands: Record<string, Operand> = {
      a: { storage: variant.activations, values: a },
      b: { storage: variant.weights, values: packed(variant, mixed, 128, k) },
      bias: { storage: 'f32', values: mixedBias },
      channel_add: NOTHING,
      residual: NOTHING,
      y: { storage: variant.activations, size: rows * n },
    };
    const whole = (await runKernel(variant.gpu, call, operands)).y;
    expectClose(whole, expected, tolerance(variant));
    expect((await runKernel(variant.gpu, call, operands, 1)).y).toEqual(whole);
  });
});
