import { describe, expect, it } from 'vitest';
import { alignUp } from '../../src/core/shape.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import { type PackProblem, packedColumns, packWeight } from '../../src/kernels/pack-weight.ts';
import { testGpu } from '../support/gpu.ts';
import { fromHalf, toHalf } from '../support/half.ts';
import { packPanels } from '../support/pack.ts';
import { runBothWays } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';

const gpu = await testGpu();

function words(values: Float32Array, from: PackProblem['from']): Uint32Array {
  if (from === 'F32') return new Uint32Array(values.buffer.slice(0));
  const bits = from === 'F16' ? toHalf(values) : Uint16Array.from(new Uint32Array(values.buffer), w => w >>> 16);
  const even = new Uint16Array(alignUp(bits.length, 2));
  even.set(bits);
  return new Uint32Array(even.buffer);
}

async function pack(p: PackProblem, values: Float32Array, size: number, chunks = 1): Promise<Uint32Array> {
  const total = p.to === 'f32' ? size : Math.ceil(size / 2);
  let packed = new Uint32Array(total);
  const step = Math.ceil(p.outputs / chunks);
  for (let first = 0; first < p.outputs; first += step) {
    const rows: [number, number] = [first, Math.min(p.outputs, first + step)];
    const part = values.slice(rows[0] * p.inputs * p.taps, rows[1] * p.inputs * p.taps);
    const result = await runBothWays(gpu, packWeight({ ...p, rows }), {
      source: { words: words(part, p.from) },
      packed: { words: packed },
    });
    packed = Uint32Array.from(result['packed']);
  }
  return packed;
}

const asFloats = (packed: Uint32Array, to: Storage): Float32Array =>
  to === 'f32' ? new Float32Array(packed.buffer) : fromHalf(new Uint16Array(packed.buffer));

describe('pack-weight', () => {
  it.each([
    { outputs: 1, inputs: 1, taps: 1 },
    { outputs: 33, inputs: 17, taps: 9 },
    { outputs: 64, inputs: 8, taps: 1 },
    { outputs: 31, inputs: 23, taps: 1 },
  ])('lays $outputs x $inputs x $taps into panels, from and to every type', async ({ outputs, inputs, taps }) => {
    const values = fromHalf(toHalf(randoms(outputs * inputs * taps, 3)));
    const k = alignUp(inputs, 8);
    const columns = alignUp(outputs, 8);
    const expected = packPanels(values, outputs, inputs, taps);
    for (const from of ['F32', 'F16'] as const) {
      for (const to of ['f32', 'f16-packed'] as const) {
        const p: PackProblem = { from, to, layout: 'panels', outputs, inputs, taps, rows: [0, outputs], k, columns };
        expect(asFloats(await pack(p, values, expected.length), to)).toEqual(expected);
      }
    }
    const p: PackProblem = {
      from: 'F32',
      to: 'f32',
      layout: 'panels',
      outputs,
      inputs,
      taps,
      rows: [0, outputs],
      k,
      columns,
    };
    expect(asFloats(await pack(p, values, expected.length, 3), 'f32')).toEqual(expected);
  });

  it('keeps bfloat16 bits and widens them exactly', async () => {
    const values = Float32Array.from(
      new Uint32Array(randoms(8 * 8, 5).buffer),
      w => new Float32Array(new Uint32Array([w & 0xffff0000]).buffer)[0],
    );
    const base = {
      layout: 'panels',
      outputs: 8,
      inputs: 8,
      taps: 1,
      rows: [0, 8],
      k: 8,
      columns: 8,
      from: 'BF16',
    } as const;
    const expected = packPanels(values, 8, 8);
    expect(asFloats(await pack({ ...base, to: 'f32' }, values, 256), 'f32')).toEqual(expected);
    const kept = new Uint16Array((await pack({ ...base, to: 'bf16-packed' }, values, 256)).buffer);
    expect(Float32Array.from(kept, b => new Float32Array(new Uint32Array([b << 16]).buffer)[0])).toEqual(expected);
  });

  it('rounds f32 to f16 to nearest even, subnormals, overflow and specials included', async () => {
    const bits = Array.from({ length: 4096 }, (_, i) => (Math.imul(i, 0x9e3779b1) ^ (i << 7)) >>> 0);
    const values = new Float32Array(new Uint32Array(bits).buffer);
    const hard = [
      0,
      -0,
      65504,
      65519.99,
      65520,
      -65536,
      1e-8,
      2 ** -25,
      2 ** -24,
      3 * 2 ** -25,
      2 ** -14,
      6.1e-5,
      Infinity,
      -Infinity,
      1 + 2 ** -11,
      1 + 3 * 2 ** -11,
    ];
    values.set(hard);
    for (let i = hard.length; i < 2000; i++) values[i] = (values[i] % 7) * 2 ** -(i % 30);
    for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) values[i] = i;
    const base = { layout: 'rows', outputs: 512, inputs: 8, taps: 1, rows: [0, 512], k: 8, from: 'F32' } as const;
    const packed = new Uint16Array((await pack({ ...base, to: 'f16-packed' }, values, 4096)).buffer);
    expect([...packed]).toEqual([...toHalf(values)]);
  });

  it('widens every finite f16 exactly', async () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => ((i & 0x7c00) === 0x7c00 ? 0 : i));
    const base = { layout: 'rows', outputs: 8192, inputs: 8, taps: 1, rows: [0, 8192], k: 8, from: 'F16' } as const;
    const result = await runBothWays(gpu, packWeight({ ...base, to: 'f32' }), {
      source: { words: new Uint32Array(all.buffer) },
      packed: { words: new Uint32Array(65536) },
    });
    expect(new Float32Array(Uint32Array.from(result.packed).buffer)).toEqual(fromHalf(all));
  });

  it('spreads heads of odd width on either side', async () => {
    const outputs = 18;
    const inputs = 12;
    const w = randoms(outputs * inputs, 7);
    const outHeads = { width: 6, padded: 8 };
    const inHeads = { width: 3, padded: 8 };
    const columns = packedColumns(outputs, outHeads);
    const spread = new Float32Array(24 * 32);
    for (let o = 0; o < outputs; o++)
      for (let i = 0; i < inputs; i++) {
        const row = Math.floor(o / 6) * 8 + (o % 6);
        const column = Math.floor(i / 3) * 8 + (i % 3);
        spread[row * 32 + column] = w[o * inputs + i];
      }
    const p: PackProblem = {
      from: 'F32',
      to: 'f32',
      layout: 'panels',
      outputs,
      inputs,
      taps: 1,
      rows: [0, outputs],
      k: 32,
      columns,
      outHeads,
      inHeads,
    };
    expect(asFloats(await pack(p, w, 32 * 32), 'f32')).toEqual(packPanels(spread, 24, 32));
  });

  it('alternates panels of values and gates', async () => {
    const w = randoms(80 * 8, 9);
    const columns = packedColumns(80, undefined, true);
    expect(columns).toBe(128);
    const p: PackProblem = {
      from: 'F32',
      to: 'f32',
      layout: 'panels',
      outputs: 80,
      inputs: 8,
      taps: 1,
      rows: [0, 80],
      k: 8,
      columns,
      geglu: true,
    };
    const packed = asFloats(await pack(p, w, 128 * 8), 'f32');
    for (let column = 0; column < 128; column++) {
      const value = Math.floor(column / 64) * 32 + (column % 32);
      const o = value + (column % 64 < 32 ? 0 : 40);
      for (let k = 0; k < 8; k++) {
        const at = (Math.floor(column / 32) * 8 + k) * 32 + (column % 32);
        expect(packed[at]).toBe(value < 40 ? w[o * 8 + k] : 0);
      }
    }
  });
});
