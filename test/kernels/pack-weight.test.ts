import { describe, expect, it } from 'vitest';
import { alignUp, ceilDiv } from '../../src/core/shape.ts';
import { type PackProblem, packedColumns, packWeight } from '../../src/kernels/pack-weight.ts';
import { testGpu } from '../support/gpu.ts';
import { fromHalf, toHalf } from '../support/half.ts';
import { packColumns, packPanels } from '../support/pack.ts';
import { runBothWays } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';

const gpu = await testGpu();

/** Elements of 16 bits in whole words. */
function paired(bits: Uint16Array): Uint32Array {
  const even = new Uint16Array(alignUp(bits.length, 2));
  even.set(bits);
  return new Uint32Array(even.buffer);
}

const bfloats = (values: Float32Array): Uint16Array =>
  Uint16Array.from(new Uint32Array(values.buffer, values.byteOffset, values.length), w => w >>> 16);

function words(values: Float32Array, from: PackProblem['from']): Uint32Array {
  if (from === 'F32') return new Uint32Array(values.slice().buffer);
  return paired(from === 'F16' ? toHalf(values) : bfloats(values));
}

async function pack(p: PackProblem, source: Uint32Array, panels = p.panels): Promise<Uint32Array> {
  const size = 32 * p.k * p.taps * panels;
  const packed = { words: new Uint32Array(p.to === 'f32' ? size : size / 2).fill(0xdddddddd) };
  const result = await runBothWays(gpu, packWeight(p), { source: { words: source }, packed });
  return new Uint32Array(result.packed.slice().buffer);
}

describe('pack-weight', () => {
  it.each([
    { rows: 33, k: 16, taps: 9 },
    { rows: 64, k: 8, taps: 1 },
    { rows: 31, k: 72, taps: 1 },
  ])('lays $rows x $k x $taps into panels, from and to every type', async ({ rows, k, taps }) => {
    const values = fromHalf(toHalf(randoms(rows * k * taps, 3)));
    const expected = packPanels(values, rows, k, taps);
    const base = { base: 0, rows, k, taps, panel: 0, step: 1, panels: ceilDiv(rows, 32) } as const;
    for (const from of ['F32', 'F16'] as const) {
      const single = await pack({ ...base, from, to: 'f32' }, words(values, from));
      expect(new Float32Array(single.buffer)).toEqual(expected);
      const half = await pack({ ...base, from, to: 'f16-packed' }, words(values, from));
      expect(new Uint16Array(half.buffer)).toEqual(toHalf(expected));
    }
  });

  it.each([
    { rows: 33, k: 16, taps: 9, columns: 40 },
    { rows: 70, k: 72, taps: 4, columns: 72 },
    { rows: 8, k: 136, taps: 1, columns: 8 },
  ])('lays $rows x $k x $taps into rows too, and nothing behind the last of $columns', async c => {
    const { rows, k, taps, columns } = c;
    const values = fromHalf(toHalf(randoms(rows * k * taps, 4)));
    const wanted = new Float32Array(columns * taps * k);
    wanted.set(packColumns(values, rows, k, taps));
    const panels = ceilDiv(columns, 32);
    const base = { base: 0, rows, k, taps, panel: 0, step: 1, panels, layout: 'rows', columns } as const;
    for (const from of ['F32', 'F16'] as const) {
      const single = await pack({ ...base, from, to: 'f32' }, words(values, from));
      expect(new Float32Array(single.buffer, 0, wanted.length)).toEqual(wanted);
      expect(new Set(single.subarray(wanted.length))).toEqual(new Set(columns % 32 ? [0xdddddddd] : []));
      const half = await pack({ ...base, from, to: 'f16-packed' }, words(values, from));
      expect(new Uint16Array(half.buffer, 0, wanted.length)).toEqual(toHalf(wanted));
    }
  });

  it('keeps bfloat16 bits and widens them exactly', async () => {
    const values = randoms(32 * 8, 5);
    const kept = new Float32Array(Uint32Array.from(bfloats(values), b => b << 16).buffer);
    const base = { from: 'BF16', base: 0, rows: 32, k: 8, taps: 1, panel: 0, step: 1, panels: 1 } as const;
    const expected = packPanels(kept, 32, 8);
    const wide = await pack({ ...base, to: 'f32' }, words(values, 'BF16'));
    expect(new Float32Array(wide.buffer)).toEqual(expected);
    const same = await pack({ ...base, to: 'bf16-packed' }, words(values, 'BF16'));
    expect(new Uint16Array(same.buffer)).toEqual(bfloats(expected));
  });

  it('begins anywhere in the source and writes every other panel, and nothing between them', async () => {
    const values = randoms(80 * 9, 9);
    const p = { from: 'F32', to: 'f32', base: 8, rows: 40, k: 8, taps: 1, panel: 1, step: 2, panels: 2 } as const;
    const packed = await pack(p, words(values, 'F32'), 5);
    const expected = new Uint32Array(packPanels(values.subarray(8), 40, 8).buffer);
    const panel = (from: Uint32Array, i: number) => from.subarray(i * 256, (i + 1) * 256);
    expect(panel(packed, 1)).toEqual(panel(expected, 0));
    expect(panel(packed, 3)).toEqual(panel(expected, 1));
    for (const i of [0, 2, 4]) expect(new Set(panel(packed, i))).toEqual(new Set([0xdddddddd]));
  });
});

describe('columns of a packed weight', () => {
  it('are those of spread heads, of alternating panels, and a multiple of 8', () => {
    expect(packedColumns(18, { width: 6, padded: 8 })).toBe(24);
    expect(packedColumns(80, undefined, true)).toBe(128);
    expect(packedColumns(33)).toBe(40);
  });
});
