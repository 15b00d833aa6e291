/** Products and convolutions of Stable Diffusion, of T5's decoding and of the embedded family. */
import { CONV2D, type Conv2dProblem } from '../../src/kernels/conv2d.ts';
import type { GemmProblem } from '../../src/kernels/gemm.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import { LINEAR } from '../../src/kernels/linear.ts';
import { layoutOfWeight } from '../../src/kernels/weight-layout.ts';
import { type Choosing, type KernelCase, opCase } from './kernel-case.ts';

/** How values lie in memory. */
interface Forms {
  readonly weights: Storage;
  readonly activations: Storage;
}

/** [rows, k] times weights [k, columns]. Rows of a picture's layers belong together; few rows are those of a text that grows. */
function matmulCase(how: Choosing, rows: number, k: number, columns: number, storage: Forms): KernelCase {
  const { weights, activations } = storage;
  const rowCounts = rows <= 16 ? [rows, 64] : [rows];
  const weight = { columns, k, taps: 1, storage: weights, input: activations, geglu: false };
  const problem: GemmProblem = {
    ...{ batch: 1, rows, columns, k },
    a: { pitch: k, storage: activations },
    b: { layout: layoutOfWeight(how.caps, weight, rowCounts, how.tuning), storage: weights },
    y: { pitch: columns, storage: activations },
    epilogue: { bias: false },
  };
  return opCase(how, LINEAR, problem, {
    name: `matmul ${rows}x${k}x${columns} weights ${weights} activations ${activations}`,
    op: 'matmul',
    shape: { rows, k, columns },
    storage: { ...storage },
  });
}

/** A 3 x 3 convolution with padding 1. */
function convCase(how: Choosing, images: number, side: number, cin: number, cout: number, storage: Forms): KernelCase {
  const { weights, activations } = storage;
  const weight = { columns: cout, k: cin, taps: 9, storage: weights, input: activations, geglu: false };
  const problem: Conv2dProblem = {
    ...{ images, height: side, width: side, channels: cin, outChannels: cout, kernel: [3, 3], stride: 1 },
    padding: { top: 1, right: 1, bottom: 1, left: 1 },
    ...{ input: activations, weight: weights, output: activations },
    layout: layoutOfWeight(how.caps, weight, [images * side * side], how.tuning),
    epilogue: { bias: false },
  };
  return opCase(how, CONV2D, problem, {
    name: `conv3x3 ${images}x${side}x${side}x${cin} -> ${cout} weights ${weights} activations ${activations}`,
    op: 'conv3x3',
    shape: { images, height: side, width: side, cin, cout },
    storage: { ...storage },
  });
}

/** Products and convolutions. */
export function productCases(how: Choosing): KernelCase[] {
  const { half } = how.caps;
  const [single, mixed, halves] = [
    { weights: 'f32', activations: 'f32' },
    { weights: half, activations: 'f32' },
    { weights: half, activations: half },
  ] as const satisfies readonly Forms[];
  const matmul = (rows: number, k: number, columns: number, ...forms: readonly Forms[]) =>
    forms.map(storage => matmulCase(how, rows, k, columns, storage));
  const conv = (images: number, side: number, cin: number, cout: number, ...forms: readonly Forms[]) =>
    forms.map(storage => convCase(how, images, side, cin, cout, storage));
  return [
    // What every benchmark shows.
    ...matmul(512, 512, 512, single, mixed, halves),
    ...matmul(1024, 1024, 1024, single, mixed, halves),
    ...matmul(4096, 4096, 4096, single, halves),
    // Stable Diffusion at 512 x 512: attention's and feed-forward's products by levels.
    ...matmul(4096, 320, 320, single, halves),
    ...matmul(1024, 640, 640, single, halves),
    ...matmul(256, 1280, 1280, single, halves),
    ...matmul(4096, 1280, 320, single, halves),
    // Flan-T5 large, a token of one text and of sixteen.
    ...matmul(1, 1024, 2816, single, mixed),
    ...matmul(16, 1024, 2816, single, mixed),
    // The embedded family.
    ...matmul(512, 64, 512, mixed),
    ...matmul(32, 768, 192, mixed),
    // Stable Diffusion's convolutions by levels, and its VAE's.
    ...conv(1, 32, 320, 320, single, mixed, halves),
    ...conv(1, 64, 320, 320, single, halves),
    ...conv(1, 32, 640, 640, single, halves),
    ...conv(1, 16, 1280, 1280, single, halves),
    ...conv(1, 256, 128, 128, single, halves),
    ...conv(2, 16, 64, 64, single, mixed),
    ...conv(2, 8, 128, 128, single, mixed),
    ...conv(2, 4, 192, 192, single, mixed),
  ];
}
