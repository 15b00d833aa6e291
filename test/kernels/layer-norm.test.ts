import { describe, expect, it } from 'vitest';
import { layerNorm, rmsNorm } from '../../src/kernels/layer-norm.ts';
import { rowNorm } from '../reference/layer-norm.ts';
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
import { layerNormCases } from './layer-norm.cases.ts';

describe('layer norm and rms norm', () => {
  for (const name of FAMILY_SETTINGS) {
    for (const { rows, width, mean } of layerNormCases) {
      it(`${name}: ${rows} rows of ${width}`, async () => {
        const { gpu, storage, family, tolerance } = await settingOf(name);
        const x = stored(
          randoms(rows * width, width).map(v => 2 * v + mean),
          storage,
        );
        const weight = randoms(width, 2).map(v => v + 1);
        const bias = randoms(width, 3);
        const side = { pitch: pitchOf(width), storage };
        const problem = { rows, width, eps: 1e-5, x: side, y: side };
        const operands = {
          x: { storage, values: padRows(x, width) },
          weight: { storage: 'f32' as const, values: padRows(weight, width) },
          bias: { storage: 'f32' as const, values: padRows(bias, width) },
          y: { storage, size: rows * side.pitch },
        };
        const layer = await runBothWays(gpu, layerNorm(gpu.caps, problem, force(family)), operands);
        expectRows(layer.y, rowNorm(x, weight, bias, width, 1e-5), width, tolerance);
        const rms = await runBothWays(gpu, rmsNorm(gpu.caps, problem, force(family)), operands);
        expectRows(rms.y, rowNorm(x, weight, undefined, width, 1e-5), width, tolerance);
      });
    }
  }

  it.each(FAMILY_SETTINGS)('%s: a constant row becomes the bias, however small epsilon', async name => {
    const { gpu, storage, family } = await settingOf(name);
    const [rows, width] = [3, 40];
    // Values that every storage form keeps, and whose mean is exact.
    const x = Float32Array.from({ length: rows * width }, (_, i) => [0, 7, -0.5][Math.floor(i / width)] ?? 0);
    const bias = stored(randoms(width, 3), storage);
    const side = { pitch: pitchOf(width), storage };
    const problem = { rows, width, eps: 1e-12, x: side, y: side };
    const { y } = await runBothWays(gpu, layerNorm(gpu.caps, problem, force(family)), {
      x: { storage, values: padRows(x, width) },
      weight: { storage: 'f32', values: padRows(randoms(width, 2), width) },
      bias: { storage: 'f32', values: padRows(bias, width) },
      y: { storage, size: rows * side.pitch },
    });
    expect([...unpadRows(y, width)]).toEqual([...bias, ...bias, ...bias]);
  });

  it('takes f32 and gives f16, with pitches of their own', async () => {
    const { gpu } = await settingOf('f16 tile');
    const x = randoms(5 * 12, 1);
    const weight = randoms(12, 2);
    const call = layerNorm(gpu.caps, {
      rows: 5,
      width: 12,
      eps: 1e-6,
      x: { pitch: 24, storage: 'f32' },
      y: { pitch: 16, storage: gpu.caps.half },
    });
    const { y } = await runBothWays(gpu, call, {
      x: { storage: 'f32', values: padRows(x, 12, 24) },
      weight: { storage: 'f32', values: padRows(weight, 12) },
      bias: { storage: 'f32', values: padRows(weight, 12) },
      y: { storage: gpu.caps.half, size: 5 * 16 },
    });
    expectRows(y, rowNorm(x, weight, weight, 12, 1e-6), 12, 5e-4);
  });

  it('survives a mean of a thousand deviations', async () => {
    for (const family of ['broadcast', 'tile'] as const) {
      const gpu = await testGpu();
      const x = randoms(4 * 100, 5).map(v => Math.fround(v + 600));
      const one = new Float32Array(104).fill(1);
      const side = { pitch: 104, storage: 'f32' as const };
      const { y } = await runBothWays(
        gpu,
        layerNorm(gpu.caps, { rows: 4, width: 100, eps: 1e-5, x: side, y: side }, force(family)),
        {
          x: { storage: 'f32', values: padRows(x, 100) },
          weight: { storage: 'f32', values: one },
          bias: { storage: 'f32', values: new Float32Array(104) },
          y: { storage: 'f32', size: 4 * 104 },
        },
      );
      // The mean itself is stored with an error of up to 3e-5 deviations.
      expectRows(y, rowNorm(x, one, new Float32Array(100), 100, 1e-5), 100, 1e-4);
    }
  });

  it('windows rows that exceed a binding', async () => {
    const gpu = await testGpu({ maxBindingBytes: 4096 });
    const x = randoms(101 * 24, 5);
    const weight = randoms(24, 6);
    const side = { pitch: 24, storage: 'f32' as const };
    const { y } = await runBothWays(gpu, rmsNorm(gpu.caps, { rows: 101, width: 24, eps: 1e-5, x: side, y: side }), {
      x: { storage: 'f32', values: x },
      weight: { storage: 'f32', values: weight },
      bias: { storage: 'f32', values: weight },
      y: { storage: 'f32', size: 101 * 24 },
    });
    expectRows(y, rowNorm(x, weight, undefined, 24, 1e-5), 24, 2e-6);
  });

  it('refuses a pitch that does not hold the row', async () => {
    const { caps } = await testGpu();
    const side = { pitch: 8, storage: 'f32' as const };
    expect(() =>
      layerNorm(caps, { rows: 1, width: 9, eps: 1e-5, x: side, y: side }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: layer-norm: a row of 9 needs a pitch that holds it: expected a multiple of 8, at least 9, got 8 (x.pitch). Pad the rows to multiples of 8 elements.]`,
    );
    expect(() => rmsNorm(caps, { rows: 0, width: 8, eps: 1e-5, x: side, y: side })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: rms-norm: a size must be a positive integer: got 0 (rows)]`,
    );
  });
});
