import { describe, expect, it } from 'vitest';
import { linearStep, linearStepWeights } from '../../src/kernels/linear-step.ts';
import { noisedBlend } from '../../src/kernels/noised-blend.ts';
import { packStep } from '../../src/kernels/step.ts';
import { guidedNoise } from '../reference/guided-step.ts';
import { linearStep as reference } from '../reference/linear-step.ts';
import { expectRows, padRows, pitchOf, runBothWays, SETTINGS, settingOf, stored } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import { latentCases } from './diffusion.cases.ts';

const f32 = (values: ArrayLike<number>) => ({ storage: 'f32' as const, values });
const GUIDANCE = 3.5;

/** [N, P, C] -> as the kernel keeps it: the slots of four channels beside each other. */
function beside(slots: readonly Float32Array[], channels: number): Float32Array {
  const padded = slots.map(values => padRows(values, channels));
  const out = new Float32Array(padded.reduce((sum, one) => sum + one.length, 0));
  for (const [k, values] of padded.entries()) {
    for (let i = 0; i < values.length; i++) out[(Math.floor(i / 4) * slots.length + k) * 4 + (i % 4)] = values[i];
  }
  return out;
}

describe('linear-step', () => {
  for (const name of SETTINGS) {
    for (const { images, pixels, channels } of latentCases) {
      for (const slots of [0, 1, 3, 8]) {
        it(`${name}: ${images} x ${pixels} pixels of ${channels} channels, ${slots} kept`, async () => {
          const { gpu, storage } = await settingOf(name);
          const size = images * pixels * channels;
          const guided = slots !== 1;
          const [noise, bounded] = [slots !== 3, slots === 8];
          const clip = bounded ? 0 : 0.7;
          const prediction = stored(randoms((guided ? 2 : 1) * size, 1), storage);
          const [x, fresh] = [randoms(size, 2), randoms(size, 3)];
          const kept = Array.from({ length: slots }, (_, k) => randoms(size, 10 + k));
          const weights = randoms(linearStepWeights(slots), 4);
          const bounds = Float32Array.from({ length: images }, (_, i) => 1 + 0.3 * i);
          const problem = { images, pixels, channels, storage, guided, noise, bounded, slots };
          const result = await runBothWays(gpu, linearStep(problem), {
            prediction: { storage, values: padRows(prediction, channels) },
            conditional: { storage, values: padRows(prediction, channels) },
            x: f32(padRows(x, channels)),
            step: { words: new Uint32Array(packStep({ guidance: GUIDANCE, x0FromX: 1.2, x0FromNoise: -0.7, clip })) },
            weights: f32(weights),
            noise: f32(padRows(fresh, channels)),
            kept: f32(slots > 0 ? beside(kept, channels) : new Float32Array(8)),
            bound: f32(padRows(bounds, 1)),
          });
          const sums = reference({
            e: guided ? guidedNoise(prediction, GUIDANCE) : prediction,
            ...{ x, kept, weights, clip, noise: noise ? fresh : undefined },
            clean: { x: Math.fround(1.2), e: Math.fround(-0.7) },
            bounds: bounded ? { values: bounds, size: pixels * channels } : undefined,
          });
          expectRows(result.x, sums[0], channels, 2e-6);
          for (let k = 0; k < slots; k++) {
            const own = Float32Array.from(
              { length: images * pixels * pitchOf(channels) },
              (_, i) => result.kept[(Math.floor(i / 4) * slots + k) * 4 + (i % 4)],
            );
            expectRows(own, sums[1 + k], channels, 2e-6);
          }
        });
      }
    }
  }

  it('refuses more kept values than it has room for', () => {
    const sizes = { images: 1, pixels: 4, channels: 4, storage: 'f32', guided: false } as const;
    expect(() => linearStep({ ...sizes, slots: 9 })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: linear-step: no number of kept values: expected a whole number up to 8, got 9 (slots)]`,
    );
    expect(() => linearStep({ ...sizes, slots: 0.5 })).toThrow('no number of kept values');
  });
});

describe('noised-blend', () => {
  for (const { images, pixels, channels } of latentCases) {
    it(`${images} x ${pixels} pixels of ${channels} channels`, async () => {
      const { gpu } = await settingOf('f32');
      const size = images * pixels * channels;
      const [x, clean, noise] = [randoms(size, 1), randoms(size, 2), randoms(size, 3)];
      const mask = randoms(images * pixels, 4).map((v, i) => (i % 3 ? Number(v > 0) : Math.abs(v)));
      const result = await runBothWays(gpu, noisedBlend({ images, pixels, channels }), {
        x: f32(padRows(x, channels)),
        step: { words: new Uint32Array(packStep({ outFromX0: 0.8, sigma: 0.6 })) },
        mask: f32(padRows(mask, 1)),
        clean: f32(padRows(clean, channels)),
        noise: f32(padRows(noise, channels)),
      });
      const expected = x.map((value, i) => {
        const m = mask[Math.floor(i / channels)];
        return m * value + (1 - m) * (0.8 * clean[i] + 0.6 * noise[i]);
      });
      expectRows(result.x, expected, channels, 1e-6);
    });
  }
});
