import { describe, expect, it } from 'vitest';
import { firstNonFinite, NONE_FOUND } from '../../src/kernels/first-nonfinite.ts';
import { packStep } from '../../src/kernels/step.ts';
import { testGpu } from '../support/gpu.ts';
import { runBothWays, SETTINGS, settingOf } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';

/** Rows of 8: 35 of them are no whole number of tiles, 1 is less than one. */
async function look(values: ArrayLike<number>, o: { step: number; before?: number; bare?: boolean }): Promise<number> {
  const gpu = await testGpu(o.bare ? { bare: true } : {});
  const { found } = await runBothWays(gpu, firstNonFinite({ rows: values.length / 8, pitch: 8 }), {
    x: { storage: 'f32', values },
    step: { words: new Uint32Array(packStep({ stepNumber: o.step })) },
    found: { words: Uint32Array.of(o.before ?? NONE_FOUND) },
  });
  return found[0];
}

function withValue(rows: number, at: number, value: number): Float32Array {
  const x = randoms(rows * 8, 1);
  x[at] = value;
  return x;
}

describe('first-nonfinite', () => {
  it.each([
    ['the first value', 35, 0, Number.NaN],
    ['the last value', 35, 279, Number.POSITIVE_INFINITY],
    ['in the middle', 35, 131, Number.NEGATIVE_INFINITY],
    ['one row', 1, 5, Number.NaN],
  ])('notices what is not finite: %s', async (_, rows, at, value) => {
    expect(await look(withValue(rows, at, value), { step: 7 })).toBe(7);
    expect(await look(withValue(rows, at, value), { step: 0, bare: true })).toBe(0);
  });

  it('takes every finite number for what it is: the largest, the smallest, zeros of both signs', async () => {
    const edges = [3.4028234663852886e38, -3.4028234663852886e38, 1e-45, -1e-45, 0, -0, 1, -1];
    expect(await look(edges, { step: 3 })).toBe(NONE_FOUND);
    expect(await look(randoms(35 * 8, 2), { step: 3 })).toBe(NONE_FOUND);
  });

  it.each(SETTINGS)('looks through values in %s', async name => {
    const { gpu, storage } = await settingOf(name);
    for (const [at, value, expected] of [
      [0, 65504, NONE_FOUND],
      [131, Number.POSITIVE_INFINITY, 5],
      [279, Number.NaN, 5],
    ]) {
      const { found } = await runBothWays(gpu, firstNonFinite({ rows: 35, pitch: 8, storage }), {
        x: { storage, values: withValue(35, at, value) },
        step: { words: new Uint32Array(packStep({ stepNumber: 5 })) },
        found: { words: Uint32Array.of(NONE_FOUND) },
      });
      expect(found[0]).toBe(expected);
    }
  });

  it('keeps the earliest step', async () => {
    expect(await look(withValue(35, 9, Number.NaN), { step: 7, before: 4 })).toBe(4);
    expect(await look(withValue(35, 9, Number.NaN), { step: 4, before: 7 })).toBe(4);
    expect(await look(randoms(35 * 8, 1), { step: 2, before: 7 })).toBe(7);
  });

  it('refuses a pitch that is no multiple of 8', () => {
    expect(() => firstNonFinite({ rows: 1, pitch: 6 })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: first-nonfinite: a row of 6 needs a pitch that holds it: expected a multiple of 8, at least 6, got 6 (x.pitch). Pad the rows to multiples of 8 elements.]`,
    );
  });
});
