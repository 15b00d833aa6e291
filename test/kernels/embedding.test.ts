import { describe, expect, it } from 'vitest';
import { embedding, embeddingWindows } from '../../src/kernels/embedding.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import { embedding as reference } from '../reference/embedding.ts';
import { testGpu } from '../support/gpu.ts';
import { packPanels } from '../support/pack.ts';
import { expectRows, padRows, pitchOf, runBothWays, SETTINGS, settingOf, stored } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import { embeddingCases } from './embedding.cases.ts';

function someIds(count: number, tableRows: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => (i * 379 + tableRows - 1) % tableRows);
}

/** Rows of ids with ids that no table has behind them. */
function padIds(ids: Uint32Array, length: number): Uint32Array {
  const pitch = pitchOf(length);
  const padded = new Uint32Array((ids.length / length) * pitch).fill(0xdeadbeef);
  ids.forEach((id, i) => {
    padded[Math.floor(i / length) * pitch + (i % length)] = id;
  });
  return padded;
}

describe('embedding', () => {
  for (const name of SETTINGS) {
    for (const { items, length, tableRows, width } of embeddingCases) {
      it(`${name}: ${items} x ${length} of ${tableRows} rows of ${width}`, async () => {
        const { gpu, storage } = await settingOf(name);
        const table = stored(randoms(tableRows * width, 1), storage);
        const ids = someIds(items * length, tableRows);
        const pitch = pitchOf(width);
        const call = embedding({
          items,
          length,
          idsPitch: pitchOf(length),
          width,
          table: { rows: tableRows, pitch, storage },
          output: storage,
        });
        const { y } = await runBothWays(gpu, call, {
          ids: { words: padIds(ids, length) },
          table: { storage, values: padRows(table, width) },
          y: { storage, size: items * length * pitch },
        });
        expectRows(y, reference(ids, table, width), width, 0);
      });
    }
  }

  it('reads a bf16 table and clears rows of ids that it lacks', async () => {
    const gpu = await testGpu();
    const table = stored(randoms(5 * 12, 1), 'bf16-packed');
    const ids = Uint32Array.of(4, 5, 0, 0xffffffff);
    const bf16 = { rows: 5, pitch: 16, storage: 'bf16-packed' as const };
    const call = embedding({ items: 1, length: 4, idsPitch: 8, width: 12, table: bf16, output: 'f32' });
    const { y } = await runBothWays(gpu, call, {
      ids: { words: padIds(ids, 4) },
      table: { storage: 'bf16-packed', values: padRows(table, 12) },
      y: { storage: 'f32', size: 64 },
    });
    expectRows(y, reference(ids, table, 12), 12, 0);
  });

  it('walks over a table and into a y larger than a binding', async () => {
    const gpu = await testGpu({ maxBindingBytes: 20480 });
    const f32: Storage = 'f32';
    const table = { rows: 501, pitch: 24, storage: f32 };
    const values = randoms(501 * 20, 3);
    const padded = padRows(values, 20);
    const ids = someIds(360, 503);
    const windows = embeddingWindows(gpu.caps, table);
    expect(windows.map(w => [w.first, w.rows, w.offset % 256])).toEqual([
      [0, 208, 0],
      [208, 208, 0],
      [416, 85, 0],
    ]);
    let y: Float32Array = new Float32Array(360 * 24).fill(7);
    for (const window of windows) {
      const call = embedding({ items: 9, length: 40, idsPitch: 40, width: 20, table, window, output: f32 });
      expect(call.bindings[2]?.access).toBe('update');
      const part = padded.slice(window.offset / 4, (window.offset + window.size) / 4);
      ({ y } = await runBothWays(gpu, call, {
        ids: { words: padIds(ids, 40) },
        table: { storage: f32, values: part },
        y: { storage: f32, values: y },
      }));
    }
    expectRows(y, reference(ids, values, 20), 20, 0);
  });

  it.each(['f32', 'f16-packed', 'bf16-packed'] as const)(
    '%s: reads panels as it reads rows, in windows too',
    async storage => {
      const [tableRows, width, pitch, count] = [101, 20, 24, 60];
      const values = stored(randoms(tableRows * width, 4), storage);
      const panels = packPanels(values, tableRows, width);
      const ids = someIds(count, tableRows + 2);
      const table = { rows: tableRows, pitch, storage, layout: 'panels' } as const;
      const bytes = storage === 'f32' ? 4 : 2;
      for (const [most, firsts] of [
        [2 ** 20, [0]],
        [64 * pitch * bytes, [0, 64]],
        [32 * pitch * bytes, [0, 32, 64, 96]],
      ] as const) {
        const gpu = await testGpu();
        const windows = embeddingWindows({ ...gpu.caps, maxBindingBytes: most }, table);
        expect(windows.map(w => w.first)).toEqual(firsts);
        let y: Float32Array = new Float32Array(count * pitch).fill(7);
        for (const window of windows) {
          const call = embedding({ items: 6, length: 10, idsPitch: 16, width, table, window, output: 'f32' });
          const part = panels.slice(window.offset / bytes, (window.offset + window.size) / bytes);
          ({ y } = await runBothWays(gpu, call, {
            ids: { words: padIds(ids, 10) },
            table: { storage, values: part },
            y: { storage: 'f32', values: y },
          }));
        }
        expectRows(y, reference(ids, values, width), width, 0);
      }
    },
  );

  it('refuses a window outside the table, and ids whose pitch does not hold them', () => {
    const table = { rows: 5, pitch: 8, storage: 'f32' as const };
    const problem = { items: 1, length: 5, idsPitch: 8, width: 8, table, output: 'f32' as const };
    expect(() => embedding({ ...problem, window: { first: 3, rows: 3 } })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: embedding: the window leaves the table: expected within 5 rows, got [3, 6]. Take the windows of embeddingWindows.]`,
    );
    expect(() => embedding({ ...problem, length: 9 })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: embedding: a row of 9 needs a pitch that holds it: expected a multiple of 8, at least 9, got 8 (ids.pitch). Pad the rows to multiples of 8 elements.]`,
    );
  });
});
