import { describe, expect, it } from 'vitest';
import { addNoise } from '../../src/kernels/add-noise.ts';
import { posteriorSample } from '../../src/kernels/posterior-sample.ts';
import { packStep } from '../../src/kernels/step.ts';
import { posterior } from '../reference/diffusion.ts';
import { expectRows, padRows, pitchOf, runBothWays, SETTINGS, settingOf, stored } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import { latentCases } from './diffusion.cases.ts';

describe('posterior sample and added noise', () => {
  for (const name of SETTINGS) {
    for (const { images, pixels, channels } of latentCases) {
      it(`${name}: draws, means and deviations of ${images} x ${pixels} x ${channels}`, async () => {
        const { gpu, storage, tolerance } = await settingOf(name);
        const shape = { pixels, channels, repeat: 3, scaling: 0.18215 };
        // Log variances reach beyond both clamps.
        const moments = stored(
          randoms(images * pixels * 2 * channels, 1).map((v, i) =>
            i % (2 * channels) < channels ? v : i % 11 === 0 ? 30 * v : 2 * v,
          ),
          storage,
        );
        const noise = randoms(images * 3 * pixels * channels, 2);
        const side = { pitch: pitchOf(2 * channels), storage };
        for (const take of ['sample', 'mean', 'deviation'] as const) {
          const call = posteriorSample({ images, ...shape, moments: side, take });
          const { z } = await runBothWays(gpu, call, {
            moments: { storage, values: padRows(moments, 2 * channels) },
            noise: { storage: 'f32', values: padRows(noise, channels) },
            z: { storage: 'f32', size: images * 3 * pixels * pitchOf(channels) },
          });
          expectRows(z, posterior(moments, noise, shape, take), channels, 2e-6);
        }
        const call = posteriorSample({ images, ...shape, moments: side, take: 'mean', output: storage });
        const { z } = await runBothWays(gpu, call, {
          moments: { storage, values: padRows(moments, 2 * channels) },
          noise: { storage: 'f32', values: padRows(noise, channels) },
          z: { storage, size: images * 3 * pixels * pitchOf(channels) },
        });
        expectRows(z, posterior(moments, noise, shape, 'mean'), channels, tolerance);
      });

      it(`${name}: adds noise to ${images} x ${pixels} x ${channels}`, async () => {
        const { gpu, storage, tolerance } = await settingOf(name);
        const x = randoms(images * pixels * channels, 3);
        const noise = randoms(images * 2 * pixels * channels, 4);
        const pitch = pitchOf(channels);
        const { y } = await runBothWays(gpu, addNoise({ images, repeat: 2, pixels, pitch, output: storage }), {
          x: { storage: 'f32', values: padRows(x, channels) },
          noise: { storage: 'f32', values: padRows(noise, channels) },
          step: { words: new Uint32Array(packStep({ noisedX: 0.8, noisedNoise: 0.6 })) },
          y: { storage, size: images * 2 * pixels * pitch },
        });
        const size = pixels * channels;
        expectRows(
          y,
          noise.map((v, i) => 0.8 * x[Math.floor(i / size / 2) * size + (i % size)] + 0.6 * v),
          channels,
          tolerance,
        );
      });
    }
  }

  it('refuses moments that do not hold both halves', () => {
    const moments = { pitch: 8, storage: 'f32' as const };
    expect(() => posteriorSample({ images: 1, pixels: 1, channels: 5, moments })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: posterior-sample: a row of 10 needs a pitch that holds it: expected a multiple of 8, at least 10, got 8 (moments.pitch). Pad the rows to multiples of 8 elements.]`,
    );
    expect(() => addNoise({ images: 0, pixels: 1, pitch: 8, output: 'f32' })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: add-noise: a size must be a positive integer: got 0 (images)]`,
    );
  });
});
