import { describe, expect, it } from 'vitest';
import { geglu } from '../../src/kernels/geglu.ts';
import { geglu as reference } from '../reference/elementwise.ts';
import { expectRows, padRows, pitchOf, runBothWays, SETTINGS, settingOf, stored } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';

describe('geglu', () => {
  for (const name of SETTINGS) {
    for (const [rows, width] of [
      [1, 1],
      [3, 2],
      [5, 7],
      [2, 13],
      [4, 32],
      [129, 30],
      [3, 1023],
    ] as const) {
      it(`${name}: ${rows} rows of ${width}`, async () => {
        const { gpu, storage, tolerance } = await settingOf(name);
        const x = stored(
          randoms(rows * width * 2, width).map(v => 3 * v),
          storage,
        );
        const call = geglu({
          rows,
          width,
          x: { pitch: pitchOf(2 * width), storage },
          y: { pitch: pitchOf(width), storage },
        });
        const { y } = await runBothWays(gpu, call, {
          x: { storage, values: padRows(x, 2 * width) },
          y: { storage, size: rows * pitchOf(width) },
        });
        expectRows(y, reference(x, width), width, tolerance);
      });
    }
  }

  it('refuses a pitch that does not hold both halves', () => {
    const y = { pitch: 8, storage: 'f32' as const };
    expect(() => geglu({ rows: 1, width: 8, x: y, y })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: geglu: a row of 16 needs a pitch that holds it: expected a multiple of 8, at least 16, got 8 (x.pitch). Pad the rows to multiples of 8 elements.]`,
    );
  });
});
