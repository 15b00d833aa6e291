import { describe, expect, it } from 'vitest';
import { cleanBound } from '../../src/kernels/clean-bound.ts';
import { packStep } from '../../src/kernels/step.ts';
import { cleanBound as reference } from '../reference/clean-bound.ts';
import { testGpu } from '../support/gpu.ts';
import { padRows, pitchOf, runBothWays, unpadRows } from '../support/rows.ts';
import { type Operand, randoms } from '../support/run-kernel.ts';
import { latentCases } from './diffusion.cases.ts';

const VALUES = { x0FromX: 1.2, x0FromNoise: -0.7 };

async function boundsOf(
  shape: { images: number; pixels: number; channels: number; ratio: number; most: number },
  x: ArrayLike<number>,
  e: ArrayLike<number>,
): Promise<number[]> {
  const side = (values: ArrayLike<number>): Operand => ({ storage: 'f32', values: padRows(values, shape.channels) });
  const { bound } = await runBothWays(await testGpu(), cleanBound(shape), {
    ...{ e: side(e), x: side(x), step: { words: new Uint32Array(packStep(VALUES)) } },
    bound: { storage: 'f32', size: shape.images * pitchOf(1) },
  });
  return [...unpadRows(bound, 1)];
}

describe('clean-bound', () => {
  for (const { images, pixels, channels } of [...latentCases, { images: 2, pixels: 307, channels: 4 }]) {
    it(`is the quantile of the magnitudes of ${images} x ${pixels} x ${channels}`, async () => {
      const size = images * pixels * channels;
      const [x, e] = [randoms(size, 1).map((v, i) => 9 * v * (1 + Math.floor((images * i) / size))), randoms(size, 2)];
      for (const ratio of [0, 0.5, 0.9, 0.995, 1]) {
        const shape = { images, pixels, channels, ratio, most: 12 };
        const expected = reference(x, e, { ...shape, ...VALUES });
        (await boundsOf(shape, x, e)).forEach((bound, i) => {
          expect(Math.abs(bound / expected[i] - 1)).toBeLessThan(1e-6);
        });
      }
    });
  }

  it('takes equal magnitudes for what they are', async () => {
    const shape = { images: 1, pixels: 40, channels: 4, most: 100 };
    const x = Float32Array.from({ length: 160 }, (_, i) => (i < 80 ? 5 : -5));
    const none = new Float32Array(160);
    for (const ratio of [0, 0.3, 0.995, 1]) expect(await boundsOf({ ...shape, ratio }, x, none)).toEqual([6]);
    expect(await boundsOf({ ...shape, ratio: 0.9 }, none, none)).toEqual([1]);
    expect(await boundsOf({ ...shape, ratio: 0.9, most: 2 }, x, none)).toEqual([2]);
  });

  it('refuses what is no quantile', () => {
    const problem = { images: 1, pixels: 1, channels: 4, most: 1 };
    expect(() => cleanBound({ ...problem, ratio: 1.5 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: clean-bound: no quantile: expected a ratio from 0 to 1 and a bound from 1 on, got {"ratio":1.5,"most":1} (ratio, most)]`,
    );
  });
});
