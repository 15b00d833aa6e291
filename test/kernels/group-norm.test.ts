import { describe, expect, it } from 'vitest';
import { groupNormSizes } from '../../src/kernels/group-norm.ts';
import { groupNormApply } from '../../src/kernels/group-norm-apply.ts';
import { groupNormFinalize } from '../../src/kernels/group-norm-finalize.ts';
import { groupNormStats } from '../../src/kernels/group-norm-stats.ts';
import { groupNorm, groupStatistics } from '../reference/group-norm.ts';
import { maxError } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import {
  expectRows,
  FAMILY_SETTINGS,
  force,
  padRows,
  pitchOf,
  runBothWays,
  type Setting,
  settingOf,
  stored,
  unpadRows,
} from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import { type GroupNormCase, groupNormCases } from './group-norm.cases.ts';

function slice(x: Float32Array, channels: number, from: number, width: number): Float32Array {
  return Float32Array.from(
    { length: (x.length / channels) * width },
    (_, i) => x[Math.floor(i / width) * channels + from + (i % width)],
  );
}

async function run(
  c: GroupNormCase,
  { gpu, storage, family }: Setting,
  x: Float32Array,
  weight: Float32Array,
  bias: Float32Array,
  maxTiles = 1,
) {
  const channels = c.channels.reduce((a, b) => a + b, 0);
  const source = (i: number) => ({ channels: c.channels[i] as number, pitch: pitchOf(c.channels[i] as number) });
  const sources = c.channels.length === 2 ? ([source(0), source(1)] as const) : ([source(0)] as const);
  const shape = { images: c.images, pixels: c.pixels, sources };
  const sizes = groupNormSizes(gpu.caps, shape);
  const parts = c.channels.map((width, i) => padRows(slice(x, channels, i === 0 ? 0 : c.channels[0], width), width));
  const inputs = { x1: { storage, values: parts[0] }, x2: { storage, values: parts[1] ?? parts[0] } };
  const { partials } = await runBothWays(
    gpu,
    groupNormStats(gpu.caps, { ...shape, storage }),
    { ...inputs, partials: { storage: 'f32', size: sizes.partials } },
    maxTiles,
  );
  const { scale_shift } = await runBothWays(
    gpu,
    groupNormFinalize(gpu.caps, { ...shape, groups: c.groups, eps: c.eps }, force(family)),
    {
      partials: { storage: 'f32', values: partials },
      weight: { storage: 'f32', values: weight },
      bias: { storage: 'f32', values: bias },
      scale_shift: { storage: 'f32', size: sizes.scaleShift },
    },
    maxTiles,
  );
  const { y } = await runBothWays(
    gpu,
    groupNormApply({ ...shape, storage, output: storage, activation: c.silu ? 'silu' : 'none' }),
    {
      ...inputs,
      scale_shift: { storage: 'f32', values: scale_shift },
      y: { storage, size: c.images * c.pixels * sizes.pitch },
    },
    maxTiles,
  );
  return { scale_shift, y };
}

describe('group norm', () => {
  for (const name of FAMILY_SETTINGS) {
    for (const c of groupNormCases) {
      it(`${name}: ${c.name}`, async () => {
        const setting = await settingOf(name);
        const channels = c.channels.reduce((a, b) => a + b, 0);
        const x = stored(
          randoms(c.images * c.pixels * channels, 3).map(v => v + c.mean),
          setting.storage,
        );
        const weight = randoms(channels, 4).map(v => v + 1);
        const bias = randoms(channels, 5);
        const { y } = await run(c, setting, x, weight, bias, c.pixels > 1000 ? 3 : 1);
        const expected = groupNorm(x, weight, bias, { ...c, channels }, c.silu);
        expectRows(y, expected, channels, setting.tolerance);
      });
    }
  }

  it('keeps the statistics to 1e-6 where the mean is a thousand deviations away', async () => {
    for (const family of ['broadcast', 'tile'] as const) {
      const c: GroupNormCase = {
        name: '',
        images: 2,
        pixels: 1500,
        channels: [24],
        groups: 8,
        eps: 1e-5,
        silu: false,
        mean: 0,
      };
      const x = randoms(c.images * c.pixels * 24, 9).map((v, i) => Math.fround(v + (i % 24) + 600));
      const one = new Float32Array(24).fill(1);
      const gpu = await testGpu();
      const { scale_shift } = await run(
        c,
        { gpu, storage: 'f32', family, tolerance: 0 },
        x,
        one,
        new Float32Array(24),
        50,
      );
      const { mean, rstd } = groupStatistics(x, { ...c, channels: 24 });
      const rows = unpadRows(scale_shift, 24);
      for (let n = 0; n < 2; n++) {
        for (let ch = 0; ch < 24; ch++) {
          const at = n * 8 + Math.floor(ch / 3);
          const scale = rows[n * 48 + ch];
          expect(Math.abs(scale / rstd[at] - 1)).toBeLessThan(1e-6);
          expect(Math.abs(rows[n * 48 + 24 + ch] / (-mean[at] * rstd[at]) - 1)).toBeLessThan(1e-6);
        }
      }
    }
  });

  it('gives mean 0 and variance 1 in every group', async () => {
    const c: GroupNormCase = {
      name: '',
      images: 1,
      pixels: 333,
      channels: [12],
      groups: 4,
      eps: 0,
      silu: false,
      mean: 0,
    };
    const x = randoms(c.pixels * 12, 11).map(v => 5 * v - 7);
    const setting = await settingOf('f32 tile');
    const { y } = await run(c, setting, x, new Float32Array(12).fill(1), new Float32Array(12), 50);
    const { mean, rstd } = groupStatistics(unpadRows(y, 12), { ...c, channels: 12 });
    expect(maxError(mean, new Float64Array(4))).toBeLessThan(1e-6);
    expect(maxError(rstd, new Float64Array(4).fill(1))).toBeLessThan(1e-6);
  });

  it('windows activations that exceed a binding', async () => {
    const gpu = await testGpu({ maxBindingBytes: 65536 });
    const setting: Setting = { gpu, storage: 'f32', family: undefined, tolerance: 2e-6 };
    const c: GroupNormCase = {
      name: '',
      images: 3,
      pixels: 1501,
      channels: [16, 8],
      groups: 4,
      eps: 1e-5,
      silu: true,
      mean: 0,
    };
    const x = randoms(c.images * c.pixels * 24, 12);
    const weight = randoms(24, 4);
    const bias = randoms(24, 5);
    const { y } = await run(c, setting, x, weight, bias, 1000);
    expectRows(y, groupNorm(x, weight, bias, { ...c, channels: 24 }, true), 24, 2e-6);
  });

  it('refuses groups that do not divide the channels, and unaligned pairs', async () => {
    const { caps } = await testGpu();
    const sources = [{ channels: 10, pitch: 16 }] as const;
    expect(() =>
      groupNormFinalize(caps, { images: 1, pixels: 4, sources, groups: 4, eps: 1e-5 }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: group-norm-finalize: groups must divide the channels: expected a divisor of 10, got 4]`,
    );
    const pair = [
      { channels: 10, pitch: 16 },
      { channels: 8, pitch: 8 },
    ] as const;
    expect(() =>
      groupNormApply({ images: 1, pixels: 4, sources: pair, storage: 'f32', output: 'f32' }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: group-norm-apply: two sources need channels in multiples of 4: got 10 (sources[0].channels). Concatenate them first.]`,
    );
    expect(() =>
      groupNormStats(caps, { images: 1, pixels: 4, sources: [{ channels: 10, pitch: 10 }], storage: 'f32' }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: group-norm-stats: a row of 10 needs a pitch that holds it: expected a multiple of 8, at least 10, got 10 (sources[0].pitch). Pad the rows to multiples of 8 elements.]`,
    );
  });
});
