import { describe, expect, test } from 'vitest';
import {
  argmax,
  kthLargest,
  logSoftmax,
  maximum,
  softmax,
  sortedIndices,
  topIndices,
} from '../../src/generation/numerics.ts';
import { Generator } from '../../src/schedulers/generator.ts';

const SEED = 21;
/** Seeded rows with many equal values and some -Infinity. */
const rows = [1, 2, 7, 64, 65, 200].map(n => {
  const generator = new Generator(SEED + n);
  return Float32Array.from({ length: n }, () => {
    const value = generator.randint(n < 64 ? 5 : 40);
    return value === 0 ? Number.NEGATIVE_INFINITY : value / 4;
  });
});

describe('rows of scores', () => {
  test.each(rows)('the largest come first, equal ones in their order (row %#)', (...values) => {
    const row = Float32Array.from(values);
    const byHand = [...row.keys()].sort((a, b) => (row[a] === row[b] ? a - b : row[b] > row[a] ? 1 : -1));
    for (const k of [1, 2, 3, row.length]) if (k <= row.length) expect(topIndices(row, k)).toEqual(byHand.slice(0, k));
    for (let k = 1; k <= row.length; k++) expect(kthLargest(row, k)).toBe(row[byHand[k - 1]]);
    expect(kthLargest(row, row.length + 3)).toBe(row[byHand[row.length - 1]]);
    expect([...sortedIndices(row, true)]).toEqual(byHand);
    expect([...sortedIndices(row)].map(i => row[i])).toEqual(byHand.map(i => row[i]).reverse());
    expect(argmax(row)).toBe(byHand[0]);
    expect(maximum(row)).toBe(row[byHand[0]]);
  });

  test('probabilities sum to 1, ignore a shift, and are the exponentials of their logarithms', () => {
    const row = rows[3];
    const p = softmax(row);
    expect(p.reduce((sum, x) => sum + x, 0)).toBeCloseTo(1, 6);
    softmax(row.map(x => x + 100)).forEach((x, i) => {
      expect(x).toBe(p[i]);
    });
    logSoftmax(row).forEach((log, i) => {
      expect(Math.exp(log)).toBeCloseTo(p[i], 6);
    });
    expect(p[row.indexOf(Number.NEGATIVE_INFINITY)]).toBe(0);
  });

  test('NaN is the largest value, as in torch', () => {
    const row = Float32Array.of(1, Number.NaN, 9);
    expect(argmax(row)).toBe(1);
    expect(maximum(row)).toBeNaN();
    expect(softmax(Float32Array.of(Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY))).toEqual(
      Float32Array.of(Number.NaN, Number.NaN),
    );
  });
});
