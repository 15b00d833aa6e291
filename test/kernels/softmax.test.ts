import { describe, expect, it } from 'vitest';
import { softmax } from '../../src/kernels/softmax.ts';
import { softmax as reference } from '../reference/softmax.ts';
import { maxError } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import {
  expectRows,
  FAMILY_SETTINGS,
  force,
  padRows,
  pitchOf,
  runBothWays,
  settingOf,
  stored,
  unpadRows,
} from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import { softmaxCases } from './softmax.cases.ts';

describe('softmax', () => {
  for (const name of FAMILY_SETTINGS) {
    for (const { rows, width, scale, spread } of softmaxCases) {
      it(`${name}: ${rows} rows of ${width}`, async () => {
        const { gpu, storage, family, tolerance } = await settingOf(name);
        const x = stored(
          randoms(rows * width, width).map(v => spread * v),
          storage,
        );
        const side = { pitch: pitchOf(width), storage };
        const { y } = await runBothWays(
          gpu,
          softmax(gpu.caps, { rows, width, scale, x: side, y: side }, force(family)),
          {
            x: { storage, values: padRows(x, width) },
            y: { storage, size: rows * side.pitch },
          },
        );
        // An exponent of up to 200 in f32 carries an error of 200 * 2^-24.
        expectRows(y, reference(x, width, scale), width, tolerance * (spread * scale > 20 ? 5 : 1));
      });
    }
  }

  it('sums to 1, ignores a shift, and skips what is masked by -inf', async () => {
    for (const family of ['broadcast', 'tile'] as const) {
      const gpu = await testGpu();
      const side = { pitch: 40, storage: 'f32' as const };
      const run = async (x: Float32Array) => {
        const call = softmax(gpu.caps, { rows: 3, width: 37, x: side, y: side }, force(family));
        const { y } = await runBothWays(gpu, call, {
          x: { storage: 'f32', values: padRows(x, 37) },
          y: { storage: 'f32', size: 120 },
        });
        return unpadRows(y, 37);
      };
      const x = randoms(3 * 37, 8).map(v => Math.round(v * 64) / 64);
      const y = await run(x);
      for (let r = 0; r < 3; r++)
        expect(Math.abs(y.slice(r * 37, r * 37 + 37).reduce((a, b) => a + b) - 1)).toBeLessThan(1e-6);
      expect(maxError(await run(x.map(v => v + 512)), y)).toBe(0);
      const masked = await run(x.map((v, i) => (i % 2 ? Number.NEGATIVE_INFINITY : v)));
      masked.forEach((v, i) => {
        expect(v > 0).toBe(i % 2 === 0);
      });
    }
  });

  it('windows rows that exceed a binding', async () => {
    const gpu = await testGpu({ maxBindingBytes: 4096 });
    const x = randoms(101 * 24, 5);
    const side = { pitch: 24, storage: 'f32' as const };
    const { y } = await runBothWays(gpu, softmax(gpu.caps, { rows: 101, width: 24, x: side, y: side }), {
      x: { storage: 'f32', values: x },
      y: { storage: 'f32', size: 101 * 24 },
    });
    expectRows(y, reference(x, 24, 1), 24, 2e-6);
  });

  it('refuses a pitch that does not hold the row', async () => {
    const { caps } = await testGpu();
    const side = { pitch: 8, storage: 'f32' as const };
    expect(() => softmax(caps, { rows: 1, width: 9, x: side, y: side })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: softmax: a row of 9 needs a pitch that holds it: expected a multiple of 8, at least 9, got 8 (x.pitch). Pad the rows to multiples of 8 elements.]`,
    );
  });
});
