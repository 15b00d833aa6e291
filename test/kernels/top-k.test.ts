import { describe, expect, it } from 'vitest';
import { argmax } from '../../src/kernels/argmax.ts';
import { topK } from '../../src/kernels/top-k.ts';
import { topKIds } from '../reference/top-k.ts';
import { testGpu } from '../support/gpu.ts';
import { padRows, pitchOf, runBothWays, SETTINGS, settingOf, unpadRows } from '../support/rows.ts';
import { type Operand, randoms } from '../support/run-kernel.ts';
import { topKCases } from './top-k.cases.ts';

function operands(x: Operand, rows: number, k: number): Record<string, Operand> {
  const size = rows * pitchOf(k);
  return { x, ids: { words: new Uint32Array(size).fill(7) }, values: { storage: 'f32', size } };
}

describe('top-k and argmax', () => {
  for (const name of SETTINGS) {
    for (const { rows, width, k, levels } of topKCases) {
      it(`${name}: ${k} of ${width}, ${rows} rows`, async () => {
        const { gpu, storage } = await settingOf(name);
        // Quarters below 512 are exact in f16.
        const x = randoms(rows * width, width).map(v => Math.round((v * levels) / 2) / 4 - 3);
        const { ids, values } = await runBothWays(
          gpu,
          topK({ rows, width, pitch: pitchOf(width), storage, k }),
          operands({ storage, values: padRows(x, width) }, rows, k),
        );
        const expected = topKIds(x, width, k);
        expect([...unpadRows(ids, k)]).toEqual(expected);
        expect([...unpadRows(values, k)]).toEqual(expected.map((id, i) => x[Math.floor(i / k) * width + id]));
      });
    }
  }

  it('takes the first maximum, also among infinities, and never a NaN', async () => {
    const gpu = await testGpu();
    const low = Number.NEGATIVE_INFINITY;
    const x = [low, low, low, 1, 7, 7, Number.NaN, low, 3, Number.NaN, Number.NaN, Number.NaN];
    const { ids, values } = await runBothWays(
      gpu,
      argmax({ rows: 4, width: 3, pitch: 8, storage: 'f32' }),
      operands({ storage: 'f32', values: padRows(x, 3) }, 1, 4),
    );
    expect([...unpadRows(ids, 4)]).toEqual([0, 1, 2, 0]);
    expect([...unpadRows(values, 4)].slice(0, 3)).toEqual([low, 7, 3]);
  });

  it('windows rows that exceed a binding', async () => {
    const gpu = await testGpu({ maxBindingBytes: 8192 });
    const x = randoms(20 * 300, 6);
    const { ids } = await runBothWays(
      gpu,
      argmax({ rows: 20, length: 10, width: 300, pitch: 304, storage: 'f32' }),
      operands({ storage: 'f32', values: padRows(x, 300) }, 2, 10),
      1000,
    );
    expect([...unpadRows(ids, 10)]).toEqual(topKIds(x, 300, 1));
  });

  it('refuses more than 64, more than there are, and part of a group', () => {
    const problem = { rows: 1, width: 100, pitch: 104, storage: 'f32' as const };
    expect(() => topK({ ...problem, k: 65 })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: top-k: k is too large: expected at most 64, got 65]`,
    );
    expect(() => argmax({ ...problem, rows: 5, length: 2 })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: top-k: the rows must be whole groups: expected a multiple of 2, got 5]`,
    );
    expect(() => topK({ ...problem, width: 9, k: 10 })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: top-k: k is too large: expected at most 9, got 10]`,
    );
  });
});
