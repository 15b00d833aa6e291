import { describe, expect, it } from 'vitest';
import { guidedNoise } from '../../src/kernels/guided-noise.ts';
import { guidedStep, guidedStepValues } from '../../src/kernels/guided-step.ts';
import { guidedNoise as noiseReference, guidedStep as reference } from '../reference/guided-step.ts';
import { expectRows, padRows, pitchOf, runBothWays, SETTINGS, settingOf, stored } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import { guidedStepCases } from './guided-step.cases.ts';

const FRAMES = 3;
const VALUES = { guidance: 3.5, x0X: 1.2, x0E: -0.7, epsX: 0.1, epsE: 0.9, outX0: 0.8, outEps: 0.55, sigma: 0.3 };
const f32 = (values: ArrayLike<number>) => ({ storage: 'f32' as const, values });

describe('guided-step', () => {
  for (const name of SETTINGS) {
    for (const c of guidedStepCases) {
      it(`${name}: ${c.name}`, async () => {
        const { gpu, storage } = await settingOf(name);
        const { images, pixels, channels, guided, blend } = c;
        const size = pixels * channels;
        const values = { ...VALUES, clip: c.clip ?? 0, frame: 1 };
        const prediction = stored(randoms((guided ? 2 : 1) * images * size, 1), storage);
        const x = randoms(images * size, 2);
        const noise = randoms(images * size, 3);
        const mask = randoms((blend?.masks ?? 1) * pixels, 4).map((v, i) => (i % 3 ? Number(v > 0) : Math.abs(v)));
        const frames = randoms(FRAMES * (blend?.references ?? 1) * size, 5);
        const call = guidedStep({
          ...{ images, pixels, channels, storage, guided, noise: c.noise },
          blend: blend && { ...blend, frames: FRAMES },
          history: c.history ? { frames: FRAMES } : undefined,
        });
        const count = images * pixels * pitchOf(channels);
        const result = await runBothWays(gpu, call, {
          prediction: { storage, values: padRows(prediction, channels) },
          x: f32(padRows(x, channels)),
          step: f32(guidedStepValues(values)),
          noise: f32(padRows(noise, channels)),
          mask: f32(padRows(mask, 1)),
          reference: f32(padRows(frames, channels)),
          history: f32(new Float32Array(FRAMES * count).fill(7)),
        });
        const expected = reference({
          ...{ images, pixels, channels, values, prediction, x, guided },
          noise: c.noise ? noise : undefined,
          blend: blend && { ...blend, mask, tiled: blend.order === 'tiled', reference: frames },
        });
        expectRows(result.x, expected, channels, 2e-6);
        const history = new Float32Array(FRAMES * count).fill(7);
        if (c.history) history.set(result.x, values.frame * count);
        expect(result.history).toEqual(history);
      });
    }

    it(`${name}: guided-noise`, async () => {
      const { gpu, storage } = await settingOf(name);
      const prediction = stored(randoms(2 * 3 * 23 * 4, 6), storage);
      const { e } = await runBothWays(gpu, guidedNoise({ images: 3, pixels: 23, channels: 4, storage }), {
        prediction: { storage, values: padRows(prediction, 4) },
        step: f32(guidedStepValues(VALUES)),
        e: { storage: 'f32', size: 3 * 23 * 8 },
      });
      expectRows(e, noiseReference(prediction, VALUES.guidance), 4, 1e-6);
    });
  }

  it('takes the reference where the mask is 0 and leaves the step where it is 1, to the bit', async () => {
    const { gpu } = await settingOf('f32');
    const [prediction, x, frames] = [randoms(8 * 4, 1), randoms(8 * 4, 2), randoms(8 * 4, 3)];
    const run = async (blended: boolean, m: number) => {
      const blend = { masks: 1, order: 'tiled' as const, references: 1, frames: 1 };
      const problem = { images: 1, pixels: 8, channels: 4, storage: 'f32' as const, guided: false };
      const call = guidedStep({ ...problem, blend: blended ? blend : undefined });
      const result = await runBothWays(gpu, call, {
        prediction: f32(padRows(prediction, 4)),
        x: f32(padRows(x, 4)),
        step: f32(guidedStepValues(VALUES)),
        noise: f32(x),
        mask: f32(padRows(new Float32Array(8).fill(m), 1)),
        reference: f32(padRows(frames, 4)),
        history: f32(new Float32Array(4)),
      });
      return result.x;
    };
    expect(await run(true, 0)).toEqual(padRows(frames, 4));
    expect(await run(true, 1)).toEqual(await run(false, 1));
  });

  it('stays within the frames whatever the step says', async () => {
    const { gpu } = await settingOf('f32');
    const problem = { images: 1, pixels: 2, channels: 4, storage: 'f32' as const, guided: false };
    const x = padRows(randoms(8, 2), 4);
    const { history } = await runBothWays(gpu, guidedStep({ ...problem, history: { frames: 2 } }), {
      prediction: f32(x),
      x: f32(x),
      // x' = x, so that the second run of the comparison starts from the same.
      step: f32(guidedStepValues({ ...VALUES, x0X: 1, x0E: 0, epsX: 0, epsE: 0, outX0: 1, frame: 1e9 })),
      noise: f32(x),
      mask: f32(x),
      reference: f32(x),
      history: f32(new Float32Array(32)),
    });
    expect(history).toEqual(Float32Array.of(...new Float32Array(16), ...x));
  });

  it('refuses masks that do not serve the images evenly, and no images', () => {
    const blend = { masks: 2, order: 'tiled' as const, references: 1, frames: 1 };
    const problem = { images: 3, pixels: 4, channels: 4, storage: 'f32' as const, guided: true, blend };
    expect(() => guidedStep(problem)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: guided-step: masks and references must serve the same number of images each: expected divisors of 3, got [2, 1]]`,
    );
    expect(() => guidedNoise({ ...problem, images: 0 })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: guided-noise: a size must be a positive integer: got 0 (images)]`,
    );
  });
});
