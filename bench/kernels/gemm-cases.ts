/** The shapes that kernels.md's table names, and those of the embedded model. */
import type { Caps } from '../../src/gpu/caps.ts';
import { conv2d } from '../../src/kernels/conv2d.ts';
import { gemm } from '../../src/kernels/gemm.ts';
import type { KernelCall, Storage } from '../../src/kernels/kernel.ts';

export interface KernelBench {
  readonly name: string;
  readonly call: KernelCall;
  /** Elements and storage of each buffer, by binding name. */
  readonly buffers: Readonly<Record<string, readonly [elements: number, storage: Storage]>>;
}

export function matmulCase(caps: Caps, rows: number, columns: number, k: number, weights: Storage, act: Storage = 'f32'): KernelBench {
  const call = gemm(caps, {
    batch: 1,
    rows,
    columns,
    k,
    a: { pitch: k, storage: act },
    b: { layout: 'panels', storage: weights },
    y: { pitch: columns, storage: act },
    epilogue: { bias: false },
  });
  const b: readonly [number, Storage] = [Math.ceil(columns / 32) * 32 * k, weights];
  const buffers = { a: [rows * k, act], b, bias: [4, 'f32'], channel_add: [4, 'f32'], residual: [4, 'f32'], y: [rows * columns, act] } as const;
  return { name: `matmul ${rows}x${k}x${columns} weights ${weights} activations ${act}`, call, buffers };
}

export function convCase(caps: Caps, images: number, side: number, cin: number, cout: number, weights: Storage, act: Storage = 'f32'): KernelBench {
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
  const b: readonly [number, Storage] = [Math.ceil(cout / 32) * 32 * 9 * cin, weights];
  const buffers = { a: [pixels * cin, act], b, bias: [4, 'f32'], channel_add: [4, 'f32'], residual: [4, 'f32'], y: [pixels * cout, act] } as const;
  return { name: `conv3x3 ${images}x${side}x${side}x${cin} -> ${cout} weights ${weights} activations ${act}`, call, buffers };
}

export function gemmCases(caps: Caps): KernelBench[] {
  return [
    matmulCase(caps, 512, 512, 512, 'f32'),
    matmulCase(caps, 512, 512, 512, caps.half),
    matmulCase(caps, 1024, 1024, 1024, caps.half),
    convCase(caps, 1, 32, 320, 320, caps.half),
    convCase(caps, 2, 16, 64, 64, caps.half),
    convCase(caps, 2, 8, 128, 128, caps.half),
    convCase(caps, 2, 4, 192, 192, caps.half),
    matmulCase(caps, 512, 512, 64, caps.half),
    matmulCase(caps, 32, 192, 768, caps.half),
  ];
}
