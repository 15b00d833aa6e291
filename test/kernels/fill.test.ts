import { describe, expect, it } from 'vitest';
import { fill } from '../../src/kernels/fill.ts';
import { testGpu } from '../support/gpu.ts';
import { pitchOf, runBothWays, SETTINGS, settingOf, unpadRows } from '../support/rows.ts';
import { elementwiseCases } from './elementwise.cases.ts';

describe('fill', () => {
  for (const name of SETTINGS) {
    for (const { rows, width } of elementwiseCases) {
      it(`${name}: ${rows} rows of ${width}`, async () => {
        const { gpu, storage } = await settingOf(name);
        const pitch = pitchOf(width);
        const { y } = await runBothWays(gpu, fill({ rows, width, pitch, storage, value: -1.5 }), {
          y: { storage, size: rows * pitch },
        });
        const values = unpadRows(y, width);
        expect(values.length).toBe(rows * width);
        expect(values.every(v => v === -1.5)).toBe(true);
      });
    }
  }

  it('writes zeros by default, in windows where the buffer exceeds a binding', async () => {
    const gpu = await testGpu({ maxBindingBytes: 32768 });
    const { y } = await runBothWays(
      gpu,
      fill({ rows: 3001, width: 3, pitch: 8, storage: 'f32' }),
      { y: { storage: 'f32', size: 3001 * 8 } },
      1000,
    );
    expect(y.every(v => v === 0)).toBe(true);
  });

  it('refuses a pitch that does not hold the row', () => {
    expect(() => fill({ rows: 1, width: 9, pitch: 12, storage: 'f32' })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: fill: a row of 9 needs a pitch that holds it: expected a multiple of 8, at least 9, got 12 (y.pitch). Pad the rows to multiples of 8 elements.]`,
    );
  });
});
