import { describe, expect, it } from 'vitest';
import { drawLatents } from '../../src/kernels/draw-latents.ts';
import { packStep } from '../../src/kernels/step.ts';
import { drawLatents as reference } from '../reference/draw-latents.ts';
import { maxError } from '../support/close.ts';
import { padRows, pitchOf, runBothWays, SETTINGS, settingOf, stored, unpadRows } from '../support/rows.ts';
import { type Operand, randoms } from '../support/run-kernel.ts';
import { latentCases } from './diffusion.cases.ts';

const f32 = (values: ArrayLike<number>, width: number): Operand => ({ storage: 'f32', values: padRows(values, width) });
const SCALING = 0.18215;

describe('draw-latents', () => {
  for (const name of SETTINGS) {
    for (const { images, pixels, channels } of latentCases) {
      for (const pictures of new Set([1, images])) {
        it(`${name}: ${images} x ${pixels} pixels of ${channels} channels from ${pictures} pictures`, async () => {
          const { gpu, storage } = await settingOf(name);
          const size = images * pixels * channels;
          const [noise, level] = [randoms(size, 1), randoms(size, 2)];
          // Logarithms of variances beyond both bounds, as encoders give them for flat pictures, and everything between.
          const moments = stored(
            randoms(2 * pictures * pixels * channels, 3).map((v, i) =>
              i % (2 * channels) < channels ? 3 * v : 40 * v,
            ),
            storage,
          );
          const latents = randoms(pictures * pixels * channels, 4);
          for (const drawn of [true, false]) {
            for (const sigma of [0, 0.6]) {
              const x = drawn ? { storage, values: padRows(moments, 2 * channels) } : f32(latents, channels);
              const side = { pitch: pitchOf((drawn ? 2 : 1) * channels), storage: drawn ? storage : ('f32' as const) };
              const shape = { images, pictures, pixels, channels, scaling: SCALING };
              const { y } = await runBothWays(gpu, drawLatents({ ...shape, x: side, drawn }), {
                ...{ x, noise: f32(noise, channels), level_noise: f32(level, channels) },
                step: { words: new Uint32Array(packStep({ outFromX0: 0.8, sigma })) },
                y: { storage: 'f32', size: images * pixels * pitchOf(channels) },
              });
              const expected = reference(drawn ? moments : latents, {
                ...shape,
                noise: drawn ? noise : undefined,
                level: sigma > 0 ? { signal: 0.8, sigma, noise: level } : undefined,
              });
              const error = maxError(
                unpadRows(y, channels).map((v, i) => v / Math.max(1, Math.abs(expected[i]))),
                expected.map(v => v / Math.max(1, Math.abs(v))),
              );
              expect(error).toBeLessThan(1e-6);
              if (!drawn && sigma === 0) expect(error).toBe(0);
            }
          }
        });
      }
    }
  }

  it('refuses rows that do not hold means and variances', () => {
    const problem = { images: 1, pictures: 1, pixels: 4, channels: 6, drawn: true } as const;
    expect(() => drawLatents({ ...problem, x: { pitch: 8, storage: 'f32' } })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: draw-latents: a row of 12 needs a pitch that holds it: expected a multiple of 8, at least 12, got 8 (x.pitch). Pad the rows to multiples of 8 elements.]`,
    );
  });
});
