/** Which of an engine's forms runs a row, and what a row's operands and result are. */
import { describe, expect, it } from 'vitest';
import type { Form, PeerProblem } from '../../../bench/peers/engine.ts';
import { openRow, sampleOf } from '../../../bench/peers/open-row.ts';
import { permuted } from '../../../bench/peers/permuted.ts';
import { problemOf } from '../../../bench/peers/problem.ts';

const asked = { name: 'softmax', op: 'softmax', shape: { rows: 4, width: 30 }, storage: { activations: 'f32' } };
const problem = problemOf(asked) as PeerProblem;

/** A form that takes so many steps a run and is off by a factor. */
function planted(name: string, steps: number, factor = 1) {
  const calls = { runs: 0, disposed: 0 };
  const form: Form = {
    name,
    prepare: async () => ({
      run: async times => {
        calls.runs += times;
        let x = 1;
        for (let i = 0; i < times * steps; i++) x = Math.sin(x);
        if (x > 2) throw new RangeError();
      },
      result: async () => Float32Array.from({ length: problem.elements }, (_, at) => problem.expected(at) * factor),
      dispose: () => void calls.disposed++,
    }),
  };
  return { form, calls };
}

const failing = (name: string, message: string): Form => ({ name, prepare: () => Promise.reject(new Error(message)) });

describe('a row', () => {
  it('is run by the fastest form that is right; the others give their memory back', async () => {
    const [slow, fast] = [planted('slow', 300_000), planted('fast', 30_000)];
    const wrong = planted('wrong', 10, 1.01);
    const open = await openRow([slow.form, wrong.form, failing('none', 'no kernel'), fast.form], problem);
    expect(open).toMatchObject({ form: 'fast', wrong: false });
    expect([slow, wrong, fast].map(({ calls }) => calls.disposed)).toEqual([1, 1, 0]);
    if ('missing' in open) expect.unreachable();
    expect(open.error).toBeLessThan(1e-6);
    const before = fast.calls.runs;
    expect(await sampleOf(open)).toEqual({ ms: expect.any(Number), cpu: expect.any(Number) });
    expect(fast.calls.runs - before).toBe(open.times);
  });

  it('is wrong where no form is right, and missing where none runs', async () => {
    expect(
      await openRow([planted('off', 10, 1.5).form, planted('nothing', 10, Number.NaN).form], problem),
    ).toMatchObject({
      form: 'off',
      wrong: true,
      error: expect.closeTo(0.5),
    });
    expect(await openRow([failing('a', 'no kernel\nat line 3'), failing('b', 'no f16')], problem)).toEqual({
      missing: 'a: no kernel; b: no f16',
    });
  });

  it('has seeded operands, rounded to halves where it is one of halves, and rows that nobody else has are told', () => {
    const single = problemOf({ ...asked, op: 'rms-norm' }) as PeerProblem;
    expect(single.operands.x).toEqual((problemOf({ ...asked, op: 'layer-norm' }) as PeerProblem).operands.x);
    expect(single.operands.weight).not.toEqual(single.operands.x.subarray(0, 30));
    const half = problemOf({ ...asked, storage: { activations: 'f16-packed' } }) as PeerProblem;
    const step = half.operands.x.map(value => Math.abs(value) * 2 ** (10 - Math.floor(Math.log2(Math.abs(value)))));
    expect([...step].filter(value => !Number.isInteger(value))).toEqual([]);
    expect(problemOf({ ...asked, op: 'fft' })).toEqual({ missing: 'no peer was taught fft' });
    expect(problemOf({ ...asked, storage: { activations: 'f32', weights: 'f16' } })).toEqual({
      missing: 'f16 weights beside f32 activations are ours alone',
    });
  });
});

describe('permuted', () => {
  it('is what numpy calls transpose', () => {
    const values = Float32Array.from({ length: 24 }, (_, i) => i);
    const at = (i: number, j: number, k: number): number => values[(i * 3 + j) * 4 + k];
    const out = permuted(values, [2, 3, 4], [2, 0, 1]);
    expect([...out]).toEqual(Array.from({ length: 24 }, (_, n) => at(Math.floor(n / 3) % 2, n % 3, Math.floor(n / 6))));
    expect(permuted(out, [4, 2, 3], [1, 2, 0])).toEqual(values);
  });
});
