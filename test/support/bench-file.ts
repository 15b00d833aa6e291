import type { BenchFile, BenchPeer, Bound, KernelRow, PeerRow } from '../../bench/schema.ts';

const CEILINGS = { fmaF32: 80, fmaF16: 75, matrix: null, copy: 10, copyBytes: 2 ** 26 };

/** A row at so many operations a byte, which reaches a part of what is possible there. */
function row(name: string, op: string, intensity: number, share: number, more: Partial<KernelRow> = {}): KernelRow {
  const bound: Bound = intensity * CEILINGS.copy < CEILINGS.fmaF32 ? 'copy' : 'fmaF32';
  const gflops = share * Math.min(CEILINGS.fmaF32, intensity * CEILINGS.copy);
  const medianMs = 100 / gflops;
  return {
    ...{
      name,
      op,
      shape: { rows: 1 },
      storage: { activations: 'f32' },
      variant: `${op}-broadcast`,
      tiles: { LANES: 8 },
    },
    ...{ minMs: 0.9 * medianMs, medianMs, p90Ms: 1.5 * medianMs, cpuMs: medianMs },
    ...{ gflops, gbs: gflops / intensity, intensity, bound, share, compileMs: 120 },
    ...{ error: 4e-7, maxError: 2e-6 },
    ...more,
  };
}

const NO_SPEED = { minMs: null, medianMs: null, p90Ms: null, cpuMs: null, gflops: null } as const;
const WRONG = { ...NO_SPEED, gbs: null, share: null, error: 0.31, maxError: 2, wrong: true } as const;

const ROWS: readonly KernelRow[] = [
  row('matmul 512x512x512 weights f32 activations f32', 'matmul', 85, 0.6),
  row('matmul 512x512x512 weights f16-packed activations f32', 'matmul', 102, 0.62),
  row('matmul 1024x1024x1024 weights f32 activations f32', 'matmul', 170, 0.7),
  row('conv3x3 1x32x32x320 -> 320 weights f32 activations f32', 'conv3x3', 299, 0.68),
  row('conv3x3 2x8x8x128 -> 128 weights f32 activations f32', 'conv3x3', 52, 0.5),
  row('attention 1024 tokens x 5 heads x 64 activations f32', 'attention', 256, 0.4),
  row('attention 4096 queries x 77 keys x 5 heads x 64 activations f32', 'attention', 38, 0.35, WRONG),
  row('group-norm + silu 1x32x32x320 activations f32', 'group-norm-silu', 0.5, 0.5),
  row('layer-norm 4096x320 activations f32', 'layer-norm', 0.9, 0.3),
  row('softmax 1024x1024 activations f32 <&">', 'softmax', 1, 0.2),
];

/** A peer that takes so many times as long as ours. */
function peer(
  name: BenchPeer['name'],
  times: number,
  other: Readonly<Record<number, Partial<PeerRow>>> = {},
): BenchPeer {
  const rows = ROWS.slice(0, 8).map((ours, i): PeerRow => {
    const ms = times * (ours.medianMs ?? 2);
    const ratio = ours.medianMs === null ? null : times;
    const spread = { minMs: ms, medianMs: ms, p90Ms: ms, cpuMs: ms, gflops: 100 / ms, firstMs: 500 };
    return { name: ours.name, ...spread, error: 5e-7, ratio, ...other[i] };
  });
  return { name, package: name, version: '1.2.3', rows };
}

/** A file of the benchmark with everything that one can have: wrong rows, missing ones, a peer that is faster, one that did not run. */
export const BENCH_FIXTURE: BenchFile = {
  ...{ version: 1, kind: 'pentimento-bench', made: '2026-11-20T10:00:00.000Z', library: '1.0.0', kernels: '00' },
  adapter: { vendor: 'mesa', architecture: 'software', device: 'llvmpipe', description: 'llvmpipe: Mesa 26.2' },
  caps: { software: true, half: 'f16-packed', subgroupSize: 8, maxBindingBytes: 2 ** 27 },
  ...{ driver: 'llvmpipe: Mesa 26.2', toggles: [], features: ['subgroups'] },
  machine: { cpu: 'AMD EPYC', cores: 2, runtime: 'Node 20.20.2' },
  ...{ without: [], clock: 'processor', tuning: null, ceilings: CEILINGS, samples: 15, rows: ROWS },
  networks: [
    {
      ...{ name: 'UNet, embedded, a guided step', minMs: 110, medianMs: 117, p90Ms: 130, cpuMs: 117 },
      ...{ gflops: 16, share: 0.2, dispatches: 240, peakBytes: 4.2e6 },
    },
  ],
  peers: [
    peer('onnxruntime', 4),
    peer('tfjs', 6, {
      2: { ...NO_SPEED, error: 0.42, wrong: true, ratio: null },
      7: { ...NO_SPEED, error: null, firstMs: null, ratio: null, missing: 'no such operation' },
    }),
    { ...peer('jax', 1.1, { 4: { medianMs: 100 / 40 / 1.25, ratio: 0.8 } }) },
  ],
};
