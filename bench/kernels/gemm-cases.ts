/** The shapes that the documentation's tables name, and those of the embedded model. */
import type { Caps } from '../../src/gpu/caps.ts';
import { conv2d } from '../../src/kernels/conv2d.ts';
import { PANEL } from '../../src/kernels/gemm.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import { linear } from '../../src/kernels/linear.ts';
import type { KernelBench, Values } from './bench-case.ts';

const UNUSED = { bias: [4, 'f32'], channel_add: [4, 'f32'], residual: [4, 'f32'] } as const;

/** Element (k, column) of weights in panels [N/32][K][32]. */
function panel(values: ArrayLike<number>, k: number, depth: number, column: number): number {
  return values[(Math.floor(column / PANEL) * depth + k) * PANEL + (column % PANEL)] ?? 0;
}

/** A [rows, k] times B [k, columns]. */
function matmulCase(
  caps: Caps,
  rows: number,
  columns: number,
  k: number,
  weights: Storage,
  act: Storage = 'f32',
): KernelBench {
  const call = linear(caps, {
    batch: 1,
    rows,
    columns,
    k,
    a: { pitch: k, storage: act },
    b: { layout: 'panels', storage: weights },
    y: { pitch: columns, storage: act },
    epilogue: { bias: false },
  });
  const b = [Math.ceil(columns / PANEL) * PANEL * k, weights] as const;
  const expected = (values: Values, at: number): number => {
    const [a, w] = [values('a'), values('b')];
    const [row, column] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let i = 0; i < k; i++) sum += (a[row * k + i] ?? 0) * panel(w, i, k, column);
    return sum;
  };
  return {
    name: `matmul ${rows}x${k}x${columns} weights ${weights} activations ${act}`,
    calls: [call],
    buffers: { a: [rows * k, act], b, ...UNUSED, y: [rows * columns, act] },
    output: 'y',
    expected,
    peer: { op: 'matmul', rows, k, columns },
  };
}

/** A 3x3 convolution with padding 1. */
function convCase(
  caps: Caps,
  images: number,
  side: number,
  cin: number,
  cout: number,
  weights: Storage,
  act: Storage = 'f32',
): KernelBench {
  const call = conv2d(caps, {
    images,
    height: side,
    width: side,
    channels: cin,
    outChannels: cout,
    kernel: [3, 3],
    stride: 1,
    padding: { top: 1, right: 1, bottom: 1, left: 1 },
    input: act,
    weight: weights,
    output: act,
    epilogue: { bias: false },
  });
  const pixels = images * side * side;
  const b = [Math.ceil(cout / PANEL) * PANEL * 9 * cin, weights] as const;
  const expected = (values: Values, at: number): number => {
    const [x, w] = [values('a'), values('b')];
    const [pixel, column] = [Math.floor(at / cout), at % cout];
    const [image, py, px] = [Math.floor(pixel / side ** 2), Math.floor(pixel / side) % side, pixel % side];
    let sum = 0;
    for (let tap = 0; tap < 9; tap++) {
      const [y, xx] = [py + Math.floor(tap / 3) - 1, px + (tap % 3) - 1];
      if (y < 0 || y >= side || xx < 0 || xx >= side) continue;
      const from = ((image * side + y) * side + xx) * cin;
      for (let c = 0; c < cin; c++) sum += (x[from + c] ?? 0) * panel(w, tap * cin + c, 9 * cin, column);
    }
    return sum;
  };
  return {
    name: `conv3x3 ${images}x${side}x${side}x${cin} -> ${cout} weights ${weights} activations ${act}`,
    calls: [call],
    buffers: { a: [pixels * cin, act], b, ...UNUSED, y: [pixels * cout, act] },
    output: 'y',
    expected,
    peer: { op: 'conv3x3', images, side, cin, cout },
  };
}

/** Products and convolutions. */
export function gemmCases(caps: Caps): KernelBench[] {
  return [
    matmulCase(caps, 512, 512, 512, 'f32'),
    matmulCase(caps, 512, 512, 512, caps.half),
    matmulCase(caps, 1024, 1024, 1024, 'f32'),
    matmulCase(caps, 1024, 1024, 1024, caps.half),
    convCase(caps, 1, 32, 320, 320, 'f32'),
    convCase(caps, 1, 32, 320, 320, caps.half),
    convCase(caps, 2, 16, 64, 64, caps.half),
    convCase(caps, 2, 8, 128, 128, caps.half),
    convCase(caps, 2, 4, 192, 192, caps.half),
    matmulCase(caps, 512, 512, 64, caps.half),
    matmulCase(caps, 32, 192, 768, caps.half),
  ];
}
