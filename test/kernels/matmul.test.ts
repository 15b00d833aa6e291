import { describe, expect, it } from 'vitest';
import { alignUp } from '../../src/core/shape.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import { type MatmulProblem, matmul } from '../../src/kernels/matmul.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { padRows, unpadRows } from '../support/pack.ts';
import { type Family, force, stored } from '../support/rows.ts';
import { type Operand, randoms, runKernel } from '../support/run-kernel.ts';
import { BATCHED_CASES, type BatchedCase } from './matmul.cases.ts';

const gpu = await testGpu();
const bare = await testGpu({ bare: true });
const named: { name: string; gpu: Gpu; family: Family; storage: Storage; tolerance: number }[] = [
  { name: 'broadcast f32', gpu, family: 'broadcast', storage: 'f32', tolerance: 2e-6 },
  { name: 'broadcast half', gpu, family: 'broadcast', storage: gpu.caps.half, tolerance: 1e-3 },
  { name: 'broadcast packed', gpu, family: 'broadcast', storage: 'f16-packed', tolerance: 1e-3 },
  { name: 'tile f32', gpu: bare, family: 'tile', storage: 'f32', tolerance: 2e-6 },
  { name: 'tile packed', gpu: bare, family: 'tile', storage: 'f16-packed', tolerance: 1e-3 },
  { name: 'matrix half', gpu, family: 'matrix', storage: 'f16', tolerance: 1e-3 },
];
const variants = named.filter(({ family }) => family !== 'matrix' || gpu.caps.matrix);

describe.each(variants)('batched matmul, $name', v => {
  it.each(BATCHED_CASES)('batch $batch, $rows x $k x $n, scale $scale shared $shared bias $bias', async c => {
    const a = stored(randoms(c.batch * c.rows * c.k, 1), v.storage);
    const b = stored(randoms((c.shared ? 1 : c.batch) * c.k * c.n, 2), v.storage);
    const bias = c.bias ? randoms(c.n, 3) : new Float32Array(c.n);
    const columns = alignUp(c.n, 8);
    const k = alignUp(c.k, 8);
    const problem: MatmulProblem = {
      batch: c.batch,
      rows: c.rows,
      columns,
      k,
      scale: c.scale,
      a: v.storage,
      b: v.storage,
      y: v.storage,
      sharedB: c.shared,
      epilogue: { bias: c.bias === true },
    };
    const call = matmul(v.gpu.caps, problem, force(v.family));
    const rowsOfB: number[] = [];
    for (let n = 0; n < (c.shared ? 1 : c.batch); n++) {
      for (let i = 0; i < k; i++) for (let j = 0; j < c.n; j++) rowsOfB.push(i < c.k ? b[(n * c.k + i) * c.n + j] : 0);
    }
    const nothing: Operand = { storage: 'f32', values: [0] };
    const operands: Record<string, Operand> = {
      a: { storage: v.storage, values: padRows(a, c.batch * c.rows, c.k) },
      b: { storage: v.storage, values: padRows(rowsOfB, rowsOfB.length / c.n, c.n) },
      bias: { storage: 'f32', values: padRows(bias, 1, c.n) },
      channel_add: nothing,
      residual: nothing,
      y: { storage: v.storage, size: c.batch * c.rows * columns },
    };
    const whole = (await runKernel(v.gpu, call, operands)).y;
    expectClose(unpadRows(whole, c.batch * c.rows, c.n), product(a, b, bias, c), v.tolerance);
    expect((await runKernel(v.gpu, call, operands, 1)).y).toEqual(whole);
  });
});

/** scale * a[n] b[n] + bias by plain loops in f64. */
function product(a: Float32Array, b: Float32Array, bias: Float32Array, c: BatchedCase): Float64Array {
  const y = new Float64Array(c.batch * c.rows * c.n);
  for (let n = 0; n < c.batch; n++)
    for (let r = 0; r < c.rows; r++)
      for (let j = 0; j < c.n; j++) {
        let sum = 0;
        for (let i = 0; i < c.k; i++)
          sum += a[(n * c.rows + r) * c.k + i] * b[((c.shared ? 0 : n) * c.k + i) * c.n + j];
        y[(n * c.rows + r) * c.n + j] = sum * (c.scale ?? 1) + bias[j];
      }
  return y;
}
