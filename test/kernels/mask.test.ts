import { describe, expect, it } from 'vitest';
import { maskMap } from '../../src/kernels/mask-map.ts';
import { maskThreshold } from '../../src/kernels/mask-threshold.ts';
import { packStep } from '../../src/kernels/step.ts';
import { differenceMap, threshold } from '../reference/diffusion.ts';
import { testGpu } from '../support/gpu.ts';
import { expectRows, padRows, pitchOf, runBothWays, SETTINGS, settingOf, stored, unpadRows } from '../support/rows.ts';
import { type Operand, randoms } from '../support/run-kernel.ts';
import { latentCases } from './diffusion.cases.ts';

const lane0 = (values: ArrayLike<number>): Operand => ({ storage: 'f32', values: padRows(values, 1) });

describe('mask map', () => {
  for (const name of SETTINGS) {
    for (const { images: maps, pixels, channels } of latentCases) {
      it(`${name}: sums ${maps} maps of ${pixels} pixels over two passes, with guidance and without`, async () => {
        const { gpu, storage } = await settingOf(name);
        const side = { pitch: pitchOf(channels), storage };
        for (const guidance of [7.5, undefined]) {
          const blocks = guidance === undefined ? 2 : 4;
          const shape = { maps, perMap: 3, pixels, channels, weight: 1 / 6 };
          const passes = [1, 2].map(seed => stored(randoms(blocks * maps * 3 * pixels * channels, seed), storage));
          let map: Float32Array = new Float32Array(maps * pixels * 8).fill(99);
          for (const [pass, prediction] of passes.entries()) {
            const values = { guidance: guidance ?? 0, mapWeight: shape.weight, mapFirst: pass === 0 };
            ({ map } = await runBothWays(gpu, maskMap({ ...shape, prediction: side, guided: guidance !== undefined }), {
              ...Object.fromEntries(
                ['a', 'b', 'c', 'd'].map(block => [block, { storage, values: padRows(prediction, channels) }]),
              ),
              step: { words: new Uint32Array(packStep(values)) },
              map: { storage: 'f32', values: map },
            }));
          }
          const [first, second] = passes.map(p =>
            differenceMap(p, { ...shape, ...(guidance === undefined ? {} : { guidance }) }),
          );
          expectRows(
            map,
            first.map((v, i) => v + second[i]),
            1,
            2e-6,
          );
        }
      });
    }
  }
});

describe('mask threshold', () => {
  const problem = (images: number, pixels: number) => ({ images, pixels, ratio: 3, mean: 'batch' as const });

  for (const [images, pixels] of [
    [1, 1],
    [2, 255],
    [3, 257],
    [1, 9216],
  ] as const) {
    it(`cuts ${images} maps of ${pixels} pixels at half of three times their mean`, async () => {
      const gpu = await testGpu();
      const map = randoms(images * pixels, pixels).map(v => v ** 4);
      const operands = { map: lane0(map), mask: { storage: 'f32' as const, size: images * pixels * 8 } };
      const binary = await runBothWays(gpu, maskThreshold(problem(images, pixels)), operands);
      expect([...unpadRows(binary.mask, 1)]).toEqual([...threshold(map, 3, 0.5, false)]);
      const low = await runBothWays(gpu, maskThreshold({ ...problem(images, pixels), threshold: 0.2 }), operands);
      expect([...unpadRows(low.mask, 1)]).toEqual([...threshold(map, 3, 0.2, false)]);
      const smooth = await runBothWays(gpu, maskThreshold({ ...problem(images, pixels), continuous: true }), operands);
      expectRows(smooth.mask, threshold(map, 3, 0.5, true), 1, 1e-6);
    });
  }

  it('takes the mean of each map alone when asked to', async () => {
    const gpu = await testGpu();
    const map = randoms(600, 4).map((v, i) => v ** 4 * (i < 300 ? 1 : 50));
    const { mask } = await runBothWays(gpu, maskThreshold({ ...problem(2, 300), mean: 'image' }), {
      map: lane0(map),
      mask: { storage: 'f32', size: 4800 },
    });
    const alone = [map.slice(0, 300), map.slice(300)].flatMap(m => [...threshold(m, 3, 0.5, false)]);
    expect([...unpadRows(mask, 1)]).toEqual(alone);
    expect(alone).not.toEqual([...threshold(map, 3, 0.5, false)]);
  });

  it('sets every pixel where all maps are zero or one holds a NaN', async () => {
    const gpu = await testGpu();
    for (const first of [0, Number.NaN]) {
      const map = Float32Array.of(first, 0, 0, 0);
      const operands = { map: lane0(map), mask: { storage: 'f32' as const, size: 32 } };
      const { mask } = await runBothWays(gpu, maskThreshold(problem(1, 4)), operands);
      expect([...unpadRows(mask, 1)]).toEqual([1, 1, 1, 1]);
    }
  });

  it('refuses a ratio of zero', () => {
    expect(() => maskThreshold({ ...problem(1, 4), ratio: 0 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: mask-threshold: the ratio must be positive: got 0 (ratio)]`,
    );
  });
});
