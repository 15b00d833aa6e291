import { describe, expect, it } from 'vitest';
import { panelWindows } from '../../src/kernels/panel-windows.ts';

describe('panelWindows', () => {
  it('is one window where all panels fit', () => {
    expect(panelWindows(100 * 64 * 4, { columns: 72, k: 64, storage: 'f32' })).toEqual([
      { first: 0, columns: 72, offset: 0, size: 96 * 64 * 4 },
    ]);
  });

  it('has no columns behind the last where each lies in a row of its own', () => {
    const rows = { columns: 200, k: 64, storage: 'f16', layout: 'rows' } as const;
    expect(panelWindows(200 * 128, rows)).toEqual([{ first: 0, columns: 200, offset: 0, size: 200 * 128 }]);
    expect(panelWindows(130 * 128, rows)).toEqual([
      { first: 0, columns: 128, offset: 0, size: 128 * 128 },
      { first: 128, columns: 72, offset: 128 * 128, size: 72 * 128 },
    ]);
  });

  it('cuts at multiples of 64 columns, so that biases too start at multiples of 256 bytes', () => {
    const windows = panelWindows(130 * 64 * 4, { columns: 200, k: 64, storage: 'f32' });
    expect(windows).toEqual([
      { first: 0, columns: 128, offset: 0, size: 128 * 256 },
      { first: 128, columns: 72, offset: 128 * 256, size: 96 * 256 },
    ]);
  });

  it("splits Flan-T5 xl's head in f32 in two and in f16 not at all", () => {
    const limit = 128 * 2 ** 20;
    const f32 = panelWindows(limit, { columns: 32128, k: 2048, storage: 'f32' });
    expect(f32.map(w => w.columns)).toEqual([16384, 15744]);
    for (const w of f32) expect(w.size).toBeLessThanOrEqual(limit);
    expect(panelWindows(limit, { columns: 32128, k: 2048, storage: 'f16' })).toHaveLength(1);
  });

  it('covers every column once, whatever the limit', () => {
    for (const limit of [1, 9000, 20000, 70000, 1e6]) {
      const windows = panelWindows(limit, { columns: 328, k: 24, storage: 'f16-packed' });
      expect(windows.map(w => w.first)).toEqual(
        windows.map((_, i) => windows.slice(0, i).reduce((s, w) => s + w.columns, 0)),
      );
      expect(windows.reduce((sum, w) => sum + w.columns, 0)).toBe(328);
      for (const w of windows) expect(w.offset % 256).toBe(0);
    }
  });
});
