import { describe, expect, it } from 'vitest';
import { upsampleNearest } from '../../src/kernels/upsample-nearest.ts';
import { upsampleNearest as reference } from '../reference/upsample-nearest.ts';
import { testGpu } from '../support/gpu.ts';
import { padRows, pitchOf, runBothWays, SETTINGS, settingOf, stored, unpadRows } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import { upsampleCases } from './upsample-nearest.cases.ts';

function problem(s: (typeof upsampleCases)[number], storage: 'f32' | 'f16' | 'f16-packed') {
  return {
    images: s.n,
    inHeight: s.h,
    inWidth: s.w,
    outHeight: s.h2,
    outWidth: s.w2,
    channels: s.c,
    pitch: pitchOf(s.c),
    storage,
  };
}

describe('upsample nearest', () => {
  for (const name of SETTINGS) {
    for (const s of upsampleCases) {
      it(`${name}: ${s.n}x${s.h}x${s.w}x${s.c} to ${s.h2}x${s.w2}`, async () => {
        const { gpu, storage } = await settingOf(name);
        const x = stored(randoms(s.n * s.h * s.w * s.c, s.h), storage === 'f32' ? 'f32' : 'f16');
        const { y } = await runBothWays(gpu, upsampleNearest(problem(s, storage as 'f32')), {
          x: { storage, values: padRows(x, s.c) },
          y: { storage, size: s.n * s.h2 * s.w2 * pitchOf(s.c) },
        });
        expect([...unpadRows(y, s.c)]).toEqual([...reference(x, s.n, s.h, s.w, s.h2, s.w2, s.c)]);
      });
    }
  }

  it('windows maps that exceed a binding', async () => {
    const gpu = await testGpu({ maxBindingBytes: 32768 });
    const s = { n: 3, h: 31, w: 17, h2: 62, w2: 34, c: 8 };
    const x = randoms(s.n * s.h * s.w * s.c, 4);
    const { y } = await runBothWays(
      gpu,
      upsampleNearest(problem(s, 'f32')),
      {
        x: { storage: 'f32', values: x },
        y: { storage: 'f32', size: s.n * s.h2 * s.w2 * 8 },
      },
      1000,
    );
    expect([...y]).toEqual([...reference(x, s.n, s.h, s.w, s.h2, s.w2, s.c)]);
  });

  it('refuses an empty picture', () => {
    expect(() =>
      upsampleNearest(problem({ n: 1, h: 0, w: 1, h2: 1, w2: 1, c: 1 }, 'f32')),
    ).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: upsample-nearest: a size must be a positive integer: got 0 (inHeight)]`,
    );
  });
});
