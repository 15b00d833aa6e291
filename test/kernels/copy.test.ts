import { describe, expect, it } from 'vitest';
import { type CopyProblem, copy } from '../../src/kernels/copy.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import { copy as reference } from '../reference/copy.ts';
import { testGpu } from '../support/gpu.ts';
import { padRows, pitchOf, runBothWays, SETTINGS, settingOf, stored } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import { type CopyCase, copyCases } from './copy.cases.ts';

const BEFORE = 0.5;

/** Problem, operands and the whole of y for a case; y is BEFORE wherever the call does not write. */
function prepare(c: CopyCase, storage: Storage, output: Storage) {
  const rows = c.items * c.itemRows;
  const source = c.source ?? { first: 0, stride: c.itemRows };
  const target = c.target ?? { first: 0, stride: c.itemRows };
  const before = c.before ?? 0;
  const width = c.width ?? before + c.parts.reduce((sum, p) => sum + p.channels, 0);
  const sourceItems = c.repeat?.items ?? c.items;
  const times = c.repeat?.order === 'consecutive' ? c.items / sourceItems : 1;
  const sourceRows = source.first + (sourceItems - 1) * source.stride + c.itemRows;
  const parts = c.parts.map((p, i) => ({ ...p, values: stored(randoms(sourceRows * p.width, i + 1), storage) }));
  const pitch = pitchOf(width);
  const y = new Float32Array((target.first + (c.items - 1) * target.stride + c.itemRows) * pitch).fill(BEFORE);
  const expected = y.slice();
  const written = reference({
    rows,
    itemRows: c.itemRows,
    place: i => Math.floor(i / times) % sourceItems,
    source,
    target,
    parts,
  });
  for (const [row, values] of written) {
    expected.fill(0, row * pitch + before, (row + 1) * pitch);
    expected.set(stored(values, output), row * pitch + before);
  }
  const sources = parts.map(p => ({ channels: p.channels, first: p.first, pitch: pitchOf(p.width) }));
  const problem: CopyProblem = {
    rows,
    sources: sources as unknown as CopyProblem['sources'],
    storage,
    y: { pitch, storage: output, first: before },
    itemRows: c.itemRows,
    repeat: c.repeat,
    source: c.source,
    target: c.target,
  };
  const padded = parts.map(p => ({ storage, values: padRows(p.values, p.width) }));
  const operands = { x1: padded[0], x2: padded[1] ?? padded[0], y: { storage: output, values: y } };
  return { problem, operands, expected };
}

describe('copy', () => {
  for (const name of SETTINGS) {
    for (const c of copyCases) {
      it(`${name}: ${c.name}`, async () => {
        const { gpu, storage } = await settingOf(name);
        const { problem, operands, expected } = prepare(c, storage, storage);
        const { y } = await runBothWays(gpu, copy(problem), operands);
        expect(y).toEqual(expected);
      });
    }

    it(`${name}: casts to the other width`, async () => {
      const { gpu, storage } = await settingOf(name);
      const output = storage === 'f32' ? gpu.caps.half : 'f32';
      const { problem, operands, expected } = prepare(copyCases[2], storage, output);
      const { y } = await runBothWays(gpu, copy(problem), operands);
      expect(y).toEqual(expected);
    });
  }

  it('writes zeros no further than asked to', async () => {
    const gpu = await testGpu();
    const x = randoms(3 * 8, 1);
    const call = copy({
      rows: 3,
      sources: [{ channels: 5, pitch: 8 }],
      storage: 'f32',
      y: { pitch: 16, storage: 'f32', first: 4, end: 12 },
    });
    const operand = { storage: 'f32' as const, values: x };
    const { y } = await runBothWays(gpu, call, {
      x1: operand,
      x2: operand,
      y: { storage: 'f32', values: new Float32Array(48).fill(7) },
    });
    for (let r = 0; r < 3; r++) {
      expect([...y.slice(16 * r, 16 * r + 16)]).toEqual([
        ...[7, 7, 7, 7],
        ...x.slice(8 * r, 8 * r + 5),
        ...[0, 0, 0],
        ...[7, 7, 7, 7],
      ]);
    }
  });

  it('windows sources and target that exceed a binding', async () => {
    const gpu = await testGpu({ maxBindingBytes: 20480 });
    for (const storage of ['f32', gpu.caps.half] as const) {
      const image = { items: 1, itemRows: 1013, parts: [{ width: 24, first: 1, channels: 20 }] };
      const pair = { ...image, parts: [...image.parts, { width: 11, first: 0, channels: 11 }] };
      const repeated = { ...image, items: 12, itemRows: 61, repeat: { items: 6, order: 'consecutive' as const } };
      for (const c of [image, pair, repeated]) {
        const { problem, operands, expected } = prepare({ name: '', ...c }, storage, 'f32');
        const { y } = await runBothWays(gpu, copy(problem), operands);
        expect(y).toEqual(expected);
      }
    }
  });

  it('refuses channels that start between vec4s, and rows that are no whole items', () => {
    const problem: CopyProblem = {
      rows: 6,
      sources: [{ channels: 5, pitch: 8 }],
      storage: 'f32',
      y: { pitch: 8, storage: 'f32' },
    };
    expect(() => copy({ ...problem, y: { ...problem.y, first: 2 } })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: copy: the channels written must start and end on multiples of 4 and hold the sources: expected at least 5 channels, got [2, 8] (y.first, y.end). Pass two sources to concatenate at other channels.]`,
    );
    expect(() => copy({ ...problem, y: { ...problem.y, first: 4 } })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: copy: the channels written must start and end on multiples of 4 and hold the sources: expected at least 5 channels, got [4, 8] (y.first, y.end). Pass two sources to concatenate at other channels.]`,
    );
    expect(() => copy({ ...problem, itemRows: 4 })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: copy: rows must be whole items, each repeated as often, that do not overlap: got {"rows":6,"itemRows":4,"strides":[4,4],"items":1.5}]`,
    );
    expect(() =>
      copy({ ...problem, itemRows: 2, repeat: { items: 2, order: 'interleaved' } }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: copy: rows must be whole items, each repeated as often, that do not overlap: got {"rows":6,"itemRows":2,"strides":[2,2],"items":2}]`,
    );
  });
});
