import { describe, expect, it } from 'vitest';
import { maskMap } from '../../src/kernels/mask-map.ts';
import { maskBlur, maskMorphology } from '../../src/kernels/mask-morphology.ts';
import { maskThreshold } from '../../src/kernels/mask-threshold.ts';
import { packStep } from '../../src/kernels/step.ts';
import { blur, differenceMap, morphology, threshold } from '../reference/diffusion.ts';
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
              prediction: { storage, values: padRows(prediction, channels) },
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

describe('mask morphology', () => {
  const [images, height, width] = [2, 11, 13];
  const x = randoms(images * height * width, 3).map(v => (v > 0.6 ? 1 : v < -0.8 ? 0.5 : 0));
  const y = { storage: 'f32' as const, size: x.length * 8 };

  for (const kind of ['dilate', 'erode'] as const) {
    for (const shape of ['square', 'disc'] as const) {
      it(`${kind}s by a ${shape} of radius 1, 2 and more than the picture`, async () => {
        const gpu = await testGpu();
        for (const radius of [1, 2, 20]) {
          const result = await runBothWays(gpu, maskMorphology({ images, height, width, kind, radius, shape }), {
            x: lane0(x),
            y,
          });
          expect([...unpadRows(result.y, 1)]).toEqual([
            ...morphology(x, height, width, radius, shape === 'disc', kind === 'dilate'),
          ]);
        }
      });
    }
  }

  it('blurs by a Gaussian in two passes, and leaves a flat mask as it is', async () => {
    const gpu = await testGpu();
    const both = async (values: ArrayLike<number>, sigma: number) => {
      const [alongX, alongY] = maskBlur({ images, height, width, sigma });
      const half = await runBothWays(gpu, alongX, { x: lane0(values), y });
      return (await runBothWays(gpu, alongY, { x: { storage: 'f32', values: half.y }, y })).y;
    };
    for (const sigma of [0.4, 1, 3.3]) expectRows(await both(x, sigma), blur(x, height, width, sigma), 1, 2e-6);
    expectRows(await both(new Float32Array(x.length).fill(1), 2), new Float32Array(x.length).fill(1), 1, 1e-6);
  });

  it('refuses a radius or sigma of zero', () => {
    expect(() =>
      maskMorphology({ images, height, width, kind: 'dilate', radius: 0 }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: mask-morphology: a size must be a positive integer: got 0 (radius)]`,
    );
    expect(() => maskBlur({ images, height, width, sigma: 0 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: mask-morphology: sigma must be positive: got 0 (sigma)]`,
    );
  });
});
