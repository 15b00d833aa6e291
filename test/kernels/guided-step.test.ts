import { describe, expect, it } from 'vitest';
import { guidanceRescale } from '../../src/kernels/guidance-rescale.ts';
import { guidedNoise } from '../../src/kernels/guided-noise.ts';
import { guidedStep } from '../../src/kernels/guided-step.ts';
import { packStep, type StepValues } from '../../src/kernels/step.ts';
import { guidedNoise as noiseReference, guidedStep as reference, rescaled } from '../reference/guided-step.ts';
import { expectRows, padRows, runBothWays, SETTINGS, settingOf, stored } from '../support/rows.ts';
import { type Operand, randoms } from '../support/run-kernel.ts';
import { guidedStepCases } from './guided-step.cases.ts';

const FRAMES = 3;
const VALUES = {
  ...{ guidance: 3.5, x0FromX: 1.2, x0FromNoise: -0.7, epsFromX: 0.1, epsFromNoise: 0.9 },
  ...{ outFromX0: 0.8, outFromEps: 0.55, sigma: 0.3 },
};
const step = (values: StepValues) => ({ words: new Uint32Array(packStep(values)) });
const f32 = (values: ArrayLike<number>) => ({ storage: 'f32' as const, values });

describe('guided-step', () => {
  for (const name of SETTINGS) {
    for (const c of guidedStepCases) {
      it(`${name}: ${c.name}`, async () => {
        const { gpu, storage } = await settingOf(name);
        const { images, pixels, channels, guided, blend } = c;
        const size = pixels * channels;
        const values = { ...VALUES, clip: c.clip ?? 0, referenceIndex: 1, maskAbove: Math.fround(0.4) };
        const prediction = stored(randoms((guided ? 2 : 1) * images * size, 1), storage);
        const x = randoms(images * size, 2);
        const noise = randoms(images * size, 3);
        const mask = randoms((blend?.masks ?? 1) * pixels, 4).map((v, i) => (i % 3 ? Number(v > 0) : Math.abs(v)));
        const frames = randoms(FRAMES * (blend?.references ?? 1) * size, 5);
        const bounds = Float32Array.from({ length: images }, (_, i) => 1 + 0.3 * i);
        const problem = {
          ...{ images, pixels, channels, storage, guided, noise: c.noise, bounded: c.bounded },
          blend: blend && { ...blend, frames: FRAMES },
        };
        const operands: Record<string, Operand> = {
          prediction: { storage, values: padRows(prediction, channels) },
          conditional: { storage, values: padRows(prediction, channels) },
          x: f32(padRows(x, channels)),
          step: step(values),
          noise: f32(padRows(noise, channels)),
          mask: f32(padRows(mask, 1)),
          reference: f32(padRows(frames, channels)),
          bound: f32(padRows(bounds, 1)),
        };
        const result = await runBothWays(gpu, guidedStep(gpu.caps, problem), operands);
        const one = await runBothWays(gpu, guidedStep({ maxBindingBytes: 1 }, problem), operands); // a frame a group
        expect(one.x).toEqual(result.x);
        const expected = reference({
          ...{ images, pixels, channels, values, prediction, x, guided },
          noise: c.noise ? noise : undefined,
          bounds: c.bounded ? bounds : undefined,
          blend: blend && { ...blend, mask, tiled: blend.order === 'tiled', reference: frames },
        });
        expectRows(result.x, expected, channels, 2e-6);
      });
    }

    it(`${name}: guided-noise`, async () => {
      const { gpu, storage } = await settingOf(name);
      const prediction = stored(randoms(2 * 3 * 23 * 4, 6), storage);
      const { e } = await runBothWays(gpu, guidedNoise({ images: 3, pixels: 23, channels: 4, storage }), {
        prediction: { storage, values: padRows(prediction, 4) },
        conditional: { storage, values: padRows(prediction, 4) },
        step: step(VALUES),
        e: { storage: 'f32', size: 3 * 23 * 8 },
      });
      expectRows(e, noiseReference(prediction, VALUES.guidance), 4, 1e-6);
    });

    for (const [images, pixels, channels] of [
      [1, 1, 4],
      [3, 23, 4],
      [2, 150, 11],
    ] as const) {
      it(`${name}: guidance-rescale of ${images} x ${pixels} x ${channels}`, async () => {
        const { gpu, storage } = await settingOf(name);
        const size = pixels * channels;
        const prediction = stored(
          randoms(2 * images * size, 7).map((v, i) => v + 3 + Math.floor(i / size)),
          storage,
        );
        const before = randoms(images * size, 8).map(v => 5 * v - 2);
        const result = await runBothWays(gpu, guidanceRescale({ images, pixels, channels, storage }), {
          conditional: { storage, values: padRows(prediction, channels) },
          step: step({ ...VALUES, rescale: 0.7 }),
          e: f32(padRows(before, channels)),
        });
        const expected = Float64Array.from(before);
        for (let image = 0; image < images; image++) {
          const own = (of: ArrayLike<number>, at: number) => Float64Array.from(of).subarray(at * size, (at + 1) * size);
          expected.set(rescaled(own(before, image), own(prediction, images + image), 0.7), image * size);
        }
        expectRows(result.e, expected, channels, 2e-6);
      });
    }
  }

  it('takes the reference where the mask is 0 and leaves the step where it is 1, to the bit', async () => {
    const { gpu } = await settingOf('f32');
    const [prediction, x, frames] = [randoms(8 * 4, 1), randoms(8 * 4, 2), randoms(8 * 4, 3)];
    const run = async (blended: boolean, m: number) => {
      const blend = { masks: 1, order: 'tiled' as const, references: 1, frames: 1 };
      const problem = { images: 1, pixels: 8, channels: 4, storage: 'f32' as const, guided: false };
      const call = guidedStep(gpu.caps, { ...problem, blend: blended ? blend : undefined });
      const result = await runBothWays(gpu, call, {
        prediction: f32(padRows(prediction, 4)),
        conditional: f32(padRows(prediction, 4)),
        x: f32(padRows(x, 4)),
        step: step(VALUES),
        noise: f32(x),
        mask: f32(padRows(new Float32Array(8).fill(m), 1)),
        reference: f32(padRows(frames, 4)),
        bound: f32(new Float32Array(8)),
      });
      return result.x;
    };
    expect(await run(true, 0)).toEqual(padRows(frames, 4));
    expect(await run(true, 1)).toEqual(await run(false, 1));
  });

  it('gives a soft mask of zeros and ones the bits of a mask that is the factor, whatever it is compared with', async () => {
    const { gpu } = await settingOf('f32');
    const [images, pixels] = [2, 70];
    const mask = Float32Array.from({ length: 2 * pixels }, (_, i) => Number(i % 3 === 0));
    const run = async (soft: boolean, maskAbove: number) => {
      const blend = { masks: 2, order: 'consecutive' as const, references: 2, frames: 2, soft };
      const problem = { images, pixels, channels: 4, storage: 'f32' as const, guided: false, blend };
      const { x } = await runBothWays(gpu, guidedStep(gpu.caps, problem), {
        prediction: f32(padRows(randoms(images * pixels * 4, 1), 4)),
        conditional: f32(padRows(randoms(images * pixels * 4, 1), 4)),
        x: f32(padRows(randoms(images * pixels * 4, 2), 4)),
        step: step({ ...VALUES, referenceIndex: 1, maskAbove }),
        noise: f32(mask),
        mask: f32(padRows(mask, 1)),
        reference: f32(padRows(randoms(2 * images * pixels * 4, 3), 4)),
        bound: f32(new Float32Array(8)),
      });
      return new Uint32Array(x.buffer);
    };
    const factor = await run(false, 0);
    for (const above of [0, 0.5, 1 - 2 ** -24]) expect(await run(true, above)).toEqual(factor);
  });

  it('takes the last frame where the step names one beyond it', async () => {
    const { gpu } = await settingOf('f32');
    const blend = { masks: 1, order: 'tiled' as const, references: 1, frames: 2 };
    const problem = { images: 1, pixels: 2, channels: 4, storage: 'f32' as const, guided: false, blend };
    const frames = padRows(randoms(16, 2), 4);
    const zero = f32(new Float32Array(16));
    for (const caps of [gpu.caps, { maxBindingBytes: 1 }]) {
      const { x } = await runBothWays(gpu, guidedStep(caps, problem), {
        ...{
          prediction: zero,
          conditional: zero,
          x: zero,
          noise: zero,
          mask: zero,
          bound: zero,
          reference: f32(frames),
        },
        step: step({ ...VALUES, referenceIndex: 1e9 }),
      });
      expect(x).toEqual(frames.slice(16));
    }
  });

  it('refuses masks that do not serve the images evenly, and no images', () => {
    const blend = { masks: 2, order: 'tiled' as const, references: 1, frames: 1 };
    const problem = { images: 3, pixels: 4, channels: 4, storage: 'f32' as const, guided: true, blend };
    expect(() => guidedStep({ maxBindingBytes: 1024 }, problem)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: guided-step: masks and references must serve the same number of images each: expected divisors of 3, got [2, 1]]`,
    );
    expect(() => guidedNoise({ ...problem, images: 0 })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: guided-noise: a size must be a positive integer: got 0 (images)]`,
    );
  });
});
