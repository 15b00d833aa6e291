/** A row is measured only where it is right: in every element, and in every run. */
import { describe, expect, it } from 'vitest';
import type { KernelCase } from '../../bench/kernels/kernel-case.ts';
import { boundOf, errorsOf, prepareRow, spread } from '../../bench/measure.ts';
import { runKernels } from '../../bench/run-kernels.ts';
import type { Ceilings, KernelRow } from '../../bench/schema.ts';
import { Meter } from '../../src/tuning/meter.ts';
import { testGpu } from '../support/gpu.ts';

const CEILINGS: Ceilings = { fmaF32: 100, fmaF16: null, matrix: 400, copy: 10, copyBytes: 2 ** 20 };
const ELEMENTS = 4096;

/** y = 2 x, by a text of which `statement` stores. */
function doubling(statement: string, change: Partial<KernelCase> = {}): KernelCase {
  const source = `struct Params { first_tile: u32, end_tile: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = (p.first_tile + wid.x) * 64u + lane;
  ${statement}
}`;
  return {
    ...{ name: 'doubling', op: 'doubling', shape: { elements: ELEMENTS }, storage: { activations: 'f32' } },
    ...{ variant: 'planted', tiles: { ROWS: 64 }, output: 'y' },
    calls: [
      {
        ...{ kernel: 'doubling', source, libs: [], values: {}, params: {}, tiles: ELEMENTS / 64 },
        bindings: [
          { name: 'x', access: 'read' },
          { name: 'y', access: 'update' },
        ],
        cost: { flops: ELEMENTS, bytes: 8 * ELEMENTS },
      },
    ],
    buffers: { x: [ELEMENTS, 'f32'], y: [ELEMENTS, 'f32'] },
    expected: (values, at) => 2 * (values('x')[at] ?? Number.NaN),
    ...change,
  };
}

async function measured(row: KernelCase): Promise<KernelRow> {
  const gpu = await testGpu();
  const meter = Meter.create(gpu);
  const [made] = await runKernels(gpu, meter, [row], { ceilings: CEILINGS, samples: 2 });
  meter.dispose();
  return made;
}

describe('a row', () => {
  it('that is right has times, rates, its share, its variant and its error', async () => {
    const row = await measured(doubling('y[at] = 2.0 * x[at];'));
    expect(row).toMatchObject({ variant: 'planted', tiles: { ROWS: 64 }, intensity: 1 / 8, bound: 'copy', error: 0 });
    expect(row.wrong).toBeUndefined();
    const { minMs, medianMs, p90Ms, gflops, share } = row;
    expect([minMs, medianMs, p90Ms].every(ms => Number(ms) > 0)).toBe(true);
    expect(Number(gflops) * Number(medianMs)).toBeCloseTo(ELEMENTS / 1e6, 9);
    expect(Number(share) * Number(medianMs)).toBeCloseTo((8 * ELEMENTS) / 10 / 1e6, 9);
    expect(row.compileMs).toBeGreaterThan(0);
  });

  it.each([
    ['of other values', 'y[at] = 2.001 * x[at];'],
    ['with an element that is not written', 'if (at != 1717u) { y[at] = 2.0 * x[at]; }'],
    ['with an element that is not finite', 'y[at] = 2.0 * x[at] / select(1.0, 0.0 * x[at], at == 1717u);'],
    ['that is right in the first run alone', 'y[at] = select(2.0, 2.5, abs(y[at]) >= abs(2.0 * x[at])) * x[at];'],
  ])('%s is wrong and has no speed', async (_, statement) => {
    const row = await measured(doubling(statement));
    expect(row.wrong).toBe(true);
    const { minMs, medianMs, p90Ms, cpuMs, gflops, gbs, share } = row;
    expect([minMs, medianMs, p90Ms, cpuMs, gflops, gbs, share]).toEqual(Array(7).fill(null));
  });

  it('compiles anew, whatever was compiled before', async () => {
    const gpu = await testGpu();
    const meter = Meter.create(gpu);
    const built = gpu.pipelines.size;
    for (let i = 0; i < 2; i++) (await prepareRow(gpu, meter, doubling('y[at] = 2.0 * x[at];'))).dispose();
    expect(gpu.pipelines.size - built).toBe(2);
    meter.dispose();
  });
});

describe('figures', () => {
  it('are compared at places of every stretch, first and last among them', () => {
    const asked: number[] = [];
    const expected = (_: unknown, at: number): number => {
      asked.push(at);
      return 1;
    };
    const row = doubling('', { expected, hostFlops: 2 ** 20 });
    const errors = errorsOf(row, new Float32Array(ELEMENTS).fill(1.5), new Map());
    expect(errors).toEqual({ error: 0.5, maxError: 0.5 });
    expect(asked).toHaveLength(64);
    expect([asked[0], asked.at(-1)]).toEqual([0, ELEMENTS - 1]);
    expect(asked.map(at => Math.floor(at / 64))).toEqual(Array.from({ length: 64 }, (_, i) => i));
    expect(new Set(asked.map(at => at % 64)).size).toBeGreaterThan(24);
  });

  it('bind by what takes longest at the ceilings', () => {
    const by = (flops: number, kernel: string) => {
      const [call] = doubling('').calls;
      return boundOf(doubling('', { calls: [{ ...call, kernel, cost: { flops, bytes: 8 * ELEMENTS } }] }), CEILINGS);
    };
    expect(by(ELEMENTS, 'doubling').bound).toBe('copy');
    expect(by(1000 * ELEMENTS, 'doubling').bound).toBe('fmaF32');
    expect(by(1000 * ELEMENTS, 'gemm-matrix')).toEqual({ bound: 'matrix', leastMs: (1000 * ELEMENTS) / 400 / 1e6 });
  });

  it('are spread from the least to nine tenths, and nothing where nothing was taken', () => {
    const ms = [5, 1, 4, 2, 3, 9, 8, 7, 6, 10];
    expect(spread(ms)).toEqual({ minMs: 1, medianMs: 6, p90Ms: 10 });
    expect(spread([])).toEqual({ minMs: null, medianMs: null, p90Ms: null });
  });
});
