import { describe, expect, it } from 'vitest';
import { elementwiseUnary, UNARY_FUNCTION, type UnaryFunction } from '../../src/kernels/elementwise-unary.ts';
import { functions } from '../reference/elementwise.ts';
import { testGpu } from '../support/gpu.ts';
import { expectRows, padRows, pitchOf, runBothWays, SETTINGS, settingOf, stored, unpadRows } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import { elementwiseCases } from './elementwise.cases.ts';

describe('elementwise unary', () => {
  for (const name of SETTINGS) {
    for (const { rows, width } of elementwiseCases) {
      it(`${name}: silu(2x - 1) of ${rows} rows of ${width}`, async () => {
        const { gpu, storage, tolerance } = await settingOf(name);
        const x = stored(randoms(rows * width, width), storage);
        const side = { pitch: pitchOf(width), storage };
        const call = elementwiseUnary({ rows, width, x: side, y: side, function: 'silu', alpha: 2, beta: -1 });
        const { y } = await runBothWays(gpu, call, {
          x: { storage, values: padRows(x, width) },
          y: { storage, size: rows * side.pitch },
        });
        expectRows(
          y,
          x.map(v => functions.silu(2 * v - 1)),
          width,
          tolerance,
        );
      });
    }
  }

  for (const f of Object.keys(UNARY_FUNCTION) as UnaryFunction[]) {
    it(`computes ${f}`, async () => {
      const gpu = await testGpu();
      const x = randoms(200, 7).map(v => (['log', 'sqrt', 'reciprocal'].includes(f) ? v + 1.5 : 6 * v));
      const side = { pitch: 104, storage: 'f32' as const };
      const { y } = await runBothWays(gpu, elementwiseUnary({ rows: 2, width: 100, x: side, y: side, function: f }), {
        x: { storage: 'f32', values: padRows(x, 100) },
        y: { storage: 'f32', size: 208 },
      });
      // WGSL allows sin and cos an absolute error of 2^-11, and SwiftShader makes use of it.
      expectRows(y, Float64Array.from(x, functions[f]), 100, f === 'sin' || f === 'cos' ? 5e-4 : 5e-6);
    });
  }

  it.each(SETTINGS)('%s: geluTanh of large numbers is 0 or the number', async name => {
    const { gpu, storage } = await settingOf(name);
    const large = storage === 'f32' ? [50, 1e4, 1e12, 3e38] : [50, 1e4, 6e4, 65504];
    const x = stored([...large, ...large.map(v => -v)], storage);
    const side = { pitch: 8, storage };
    const { y } = await runBothWays(
      gpu,
      elementwiseUnary({ rows: 1, width: 8, x: side, y: side, function: 'geluTanh' }),
      {
        x: { storage, values: x },
        y: { storage, size: 8 },
      },
    );
    expect([...y].map(Math.abs)).toEqual([...x.slice(0, 4), 0, 0, 0, 0]);
  });

  it.each(SETTINGS)('%s: mish of large numbers is next to 0 or the number', async name => {
    const { gpu, storage } = await settingOf(name);
    const large = storage === 'f32' ? [50, 1e4, 1e12, 3e38] : [50, 1e4, 6e4, 65504];
    const x = stored([...large, ...large.map(v => -v)], storage);
    const side = { pitch: 8, storage };
    const call = elementwiseUnary({ rows: 1, width: 8, x: side, y: side, function: 'mish' });
    const { y } = await runBothWays(gpu, call, { x: { storage, values: x }, y: { storage, size: 8 } });
    expect([...y.slice(0, 4)]).toEqual([...x.slice(0, 4)]);
    expect(Math.max(...[...y.slice(4)].map(Math.abs))).toBeLessThan(1e-19);
  });

  it('clamps, but lets NaN pass', async () => {
    const gpu = await testGpu();
    const x = [-3, -1, 0.5, Number.NaN, 2, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, 1];
    const side = { pitch: 8, storage: 'f32' as const };
    const { y } = await runBothWays(gpu, elementwiseUnary({ rows: 1, width: 8, x: side, y: side, clamp: [-1, 1] }), {
      x: { storage: 'f32', values: x },
      y: { storage: 'f32', size: 8 },
    });
    expect([...y]).toEqual([-1, -1, 0.5, Number.NaN, 1, -1, 1, 1]);
  });

  it('changes storage form and pitch, and leaves what it does not clamp alone', async () => {
    const gpu = await testGpu();
    const x = stored(
      randoms(3 * 5, 2).map(v => 1000 * v),
      'f16',
    );
    const call = elementwiseUnary({
      rows: 3,
      width: 5,
      x: { pitch: 24, storage: gpu.caps.half },
      y: { pitch: 8, storage: 'f32' },
    });
    const { y } = await runBothWays(gpu, call, {
      x: { storage: gpu.caps.half, values: padRows(x, 5, 24) },
      y: { storage: 'f32', size: 24 },
    });
    expect([...unpadRows(y, 5)]).toEqual([...x]);
  });

  it('windows rows that exceed a binding', async () => {
    const gpu = await testGpu({ maxBindingBytes: 65536 });
    const x = randoms(5003 * 5, 5);
    const call = elementwiseUnary({
      rows: 5003,
      width: 5,
      x: { pitch: 16, storage: 'f32' },
      y: { pitch: 8, storage: 'f32' },
      beta: 1,
    });
    const { y } = await runBothWays(gpu, call, {
      x: { storage: 'f32', values: padRows(x, 5, 16) },
      y: { storage: 'f32', size: 5003 * 8 },
    });
    expectRows(
      y,
      x.map(v => v + 1),
      5,
      1e-6,
    );
  });

  it('refuses a pitch that does not hold the row', () => {
    const side = { pitch: 8, storage: 'f32' as const };
    expect(() => elementwiseUnary({ rows: 1, width: 9, x: side, y: side })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: elementwise-unary: a row of 9 needs a pitch that holds it: expected a multiple of 8, at least 9, got 8 (x.pitch). Pad the rows to multiples of 8 elements.]`,
    );
  });
});
