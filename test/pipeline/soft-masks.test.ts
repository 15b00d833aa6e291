/** Masks that open step by step, against a replay of the blend in plain numbers, and their bits beside those of binary masks. */
import { describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import { dilateMap } from '../../src/io/mask.ts';
import { pasteBack } from '../../src/io/paste-back.ts';
import type { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { maskAbove, shownShare } from '../../src/pipeline/diffedit/soft-mask.ts';
import type { EditArgs } from '../../src/pipeline/diffedit/types.ts';
import { DDIMScheduler } from '../../src/schedulers/index.ts';
import { cleanMask } from '../reference/mask-cleanup.ts';
import { maxError } from '../support/close.ts';
import { openPipeline, seeded } from '../support/pipeline.ts';
import { randoms } from '../support/run-kernel.ts';
import { edit, frame, H, image, mask, SOURCE, scene, shortRun, TARGET, W } from '../support/scene.ts';

const STEPS = 4;
const schedule = { numInferenceSteps: STEPS, inpaintStrength: 0.75 };
const n = 3;
const SIZE = H * W;
/** In [0, 1], with both ends and the values that n steps of an even opening are compared with. */
const grey = (batch: number, seed: number): NdArray => {
  const values = randoms(batch * SIZE, seed).map(v => Math.abs(v) % 1);
  for (let k = 0; k <= n; k++) values[k] = k / n;
  return { data: values, shape: [batch, H, W] };
};
const shared = scene();
const invert = async (of: DiffEditPipeline, prompts: number) => {
  const pictures = prompts === 1 ? image : [image, image];
  const prompt = prompts === 1 ? SOURCE : [SOURCE, TARGET];
  return (await of.invert({ ...schedule, guidanceScale: 1, image: pictures, prompt, generator: seeded(1) })).latents;
};

/** The last entry of the inverted latents where the step has no next one. */
const referenceOf = (inverted: NdArray, i: number, b: number) =>
  frame(inverted, Math.min(i + 1, inverted.shape[1] - 1), b);

/**
 * The whole edit by single steps with a mask of ones, which leaves a step alone, and the blend between them here.
 * @param prompts of the edit, with one copy each
 */
async function replayed(
  of: DiffEditPipeline,
  args: EditArgs & { readonly maskExponent: number },
  inverted: NdArray,
  d: NdArray,
): Promise<Float32Array> {
  const batch = inverted.shape[0];
  let x = Float32Array.from(Array.from({ length: batch }, (_, b) => [...frame(inverted, 0, b)]).flat());
  for (let i = 0; i < n; i++) {
    const frames = n - i;
    const item = x.length / batch;
    const data = new Float32Array(batch * frames * item);
    for (let b = 0; b < batch; b++) data.set(x.subarray(b * item, (b + 1) * item), b * frames * item);
    const steps = of.editSteps({
      ...{ ...args, ...schedule, maskMode: 'binary', outputType: 'latent' },
      maskImage: mask(() => 1, batch),
      imageLatents: { data, shape: [batch, frames, ...inverted.shape.slice(2)] },
      inpaintStrength: frames / STEPS,
    });
    const first = await steps.next();
    if (first.done) throw new Error('an edit without a step');
    const free = (await first.value.latents()).data;
    await steps.return({ images: [], nsfwContentDetected: undefined });
    const above = 1 - ((i + 1) / n) ** args.maskExponent;
    x = free.map((value, at) => {
      const b = Math.floor(at / item);
      const pixel = at % SIZE;
      return d.data[b * SIZE + pixel] > above ? value : referenceOf(inverted, i, b)[at % item];
    });
  }
  return x;
}

test.each([
  ['float32', [1, 2.5]],
  ['float16', [0.6]],
] as const)('a soft mask opens as the formula says in %s, with exponents %j, to the bit', async (dtype, exponents) => {
  const pipeline = await openPipeline('test/golden/sd1/model', { dtype });
  const inverted = await invert(pipeline, 1);
  const d = grey(1, 3);
  for (const maskExponent of exponents) {
    const args = { ...edit, ...schedule, maskImage: d, imageLatents: inverted, maskExponent };
    const { images } = await pipeline.edit({ ...args, maskMode: 'soft' });
    expect((images as NdArray).data).toEqual(await replayed(pipeline, args, inverted, d));
  }
  pipeline.dispose();
});

test('pictures have soft masks of their own, in their own order', async () => {
  const inverted = await invert(shared.pipeline, 2);
  const d = grey(2, 5);
  const args = {
    ...{ ...edit, ...schedule, maskImage: d, imageLatents: inverted, maskExponent: 0.6 },
    ...{ prompt: [TARGET, TARGET], negativePrompt: [SOURCE, SOURCE] },
  };
  const once = ((await shared.pipeline.edit({ ...args, maskMode: 'soft' })).images as NdArray).data;
  expect(once).toEqual(await replayed(shared.pipeline, args, inverted, d));
  const twice = (await shared.pipeline.edit({ ...args, maskMode: 'soft', numImagesPerPrompt: 2 })).images as NdArray;
  const item = once.length / 2;
  const copies = [0, 1, 2, 3].map(k => twice.data.subarray(k * item, (k + 1) * item));
  expect([copies[0], copies[1]]).toEqual([once.subarray(0, item), once.subarray(0, item)]);
  expect([copies[2], copies[3]]).toEqual([once.subarray(item), once.subarray(item)]);
});

test('zeros and ones have the bits of the mended binary mode, with fresh noise too', async () => {
  const mended = await openPipeline('test/golden/sd1/model', { mendQuirks: true });
  const hard = mask(x => Number(x % 3 === 0));
  for (const more of [{}, { eta: 0.5 }, { maskExponent: 0.01 }, { maskExponent: 5000 }]) {
    const soft = { ...edit, maskImage: hard, imageLatents: shared.inverted, maskMode: 'soft' as const, ...more };
    const { maskMode: _, ...binary } = soft;
    const [a, b] = [
      await shared.pipeline.edit({ ...soft, generator: seeded(3) }),
      await mended.edit({ ...binary, generator: seeded(3) }),
    ];
    expect((a.images as NdArray).data).toEqual((b.images as NdArray).data);
  }
  // At last the picture's own latents, which run() knows.
  const run = { ...shortRun, maskImage: hard, outputType: 'latent' as const };
  const [a, b] = [await shared.pipeline.run({ ...run, maskMode: 'soft' }), await mended.run(run)];
  expect((a.images as NdArray).data).toEqual((b.images as NdArray).data);
  mended.dispose();
});

test('run finds the map and edits with it, as the two phases do one by one', async () => {
  const settings = { maskMode: 'soft' as const, maskThresholdingRatio: 2 };
  const run = await shared.pipeline.run({
    ...{ ...shortRun, ...settings, maskExponent: 0.6, outputType: 'latent', returnLatents: true },
  });
  const { seed, ...phase } = shortRun;
  const { mask: map } = await shared.pipeline.generateMask({ ...phase, ...settings, generator: seeded(seed) });
  const { mask: continuous } = await shared.pipeline.generateMask({
    ...{ ...phase, maskThresholdingRatio: 2, continuous: true, generator: seeded(seed) },
  });
  expect(run.mask?.mask).toEqual(map);
  expect(map).toEqual(continuous);
  expect(map.data.some(v => v > 0 && v < 1)).toBe(true);
  const given = await shared.pipeline.run({
    ...{ ...shortRun, maskMode: 'soft', maskExponent: 0.6, outputType: 'latent', maskImage: map },
  });
  expect((given.images as NdArray).data).toEqual((run.images as NdArray).data);
});

test('clean-up is that of loops over the same map, for every picture, and lifts a soft mask', async () => {
  const { seed, ...phase } = shortRun;
  // Low, so that there are holes and specks.
  const pair = { image: [image, image], sourcePrompt: [SOURCE, TARGET], targetPrompt: [TARGET, 'a plate of lemons'] };
  const find = async (more: object) =>
    (await shared.pipeline.generateMask({ ...phase, ...pair, threshold: 0.3, generator: seeded(seed), ...more })).mask;
  const map = await find({ maskMode: 'soft' });
  const expected = (lift: boolean) =>
    [0, 1].flatMap(n => [
      ...cleanMask(map.data.subarray(n * SIZE, (n + 1) * SIZE), { height: H, width: W, threshold: 0.3, lift }),
    ]);
  const [plain, clean] = [await find({}), await find({ maskCleanup: true })];
  expect(Array.from(clean.data)).toEqual(expected(false));
  expect(clean.data).not.toEqual(plain.data);
  const lifted = await find({ maskMode: 'soft', maskCleanup: true });
  expect(maxError(lifted.data, expected(true))).toBeLessThan(1e-6);
  expect(lifted.data.every((v, i) => v >= map.data[i])).toBe(true);
  // What grows and shrinks comes after it.
  expect(Array.from((await find({ maskCleanup: true, dilate: 1 })).data)).toEqual(Array.from(dilateMap(clean, 1).data));
});

test('pictures of masks are read in grey', async () => {
  const bytes = Uint8Array.from({ length: SIZE }, (_, i) => (37 * i) % 256);
  const soft = { maskMode: 'soft' as const, maskExponent: 0.6 };
  const grey = { width: W, height: H, data: bytes, channels: 1 as const };
  const numbers = { data: Float32Array.from(bytes, v => v / 255), shape: [H, W] };
  const a = await shared.editLatents({ ...soft, maskImage: grey });
  expect(a.data).toEqual((await shared.editLatents({ ...soft, maskImage: numbers })).data);
  expect(a.data).not.toEqual((await shared.editLatents({ maskImage: grey })).data);
});

test('schedulers with dynamic thresholding open the same mask', async () => {
  const { config } = shared.pipeline.scheduler;
  const editWith = async (changes: object) => {
    const scheduler = DDIMScheduler.fromConfig(config, changes);
    const pipeline = await openPipeline('test/golden/sd1/model', { scheduler });
    const args = { ...edit, maskImage: grey(1, 7), imageLatents: shared.inverted, maskMode: 'soft' as const };
    const { images } = await pipeline.edit(args);
    pipeline.dispose();
    return (images as NdArray).data;
  };
  // A quantile that may be 1 at most is clipping at 1.
  const bounded = await editWith({ thresholding: true, sampleMaxValue: 1 });
  expect(maxError(bounded, await editWith({ clipSample: true, clipSampleRange: 1 }))).toBeLessThan(1e-4);
});

test('pasted back, what was free early shows in full and what was hardly free not at all', async () => {
  const steps = Float32Array.of(0, 0.1, 0.125, 0.1875, 0.25, 0.9, 1);
  for (const p of [0.6, 1, 2]) {
    const d = { data: steps.map(share => 1 - (1 - share) ** p), shape: [1, 1, 1, 7] };
    const shown = shownShare(d, p).data;
    [0, 0, 0, 0.5, 1, 1, 1].forEach((v, i) => {
      expect(shown[i]).toBeCloseTo(v, 5);
    });
  }
  const d = mask(x => (x < W / 2 ? 0.5 : 0.02));
  const soft = { ...shortRun, maskImage: d, maskMode: 'soft' as const };
  const [pasted] = (await shared.pipeline.run({ ...soft, pasteBack: { image, blur: 0 } })).images;
  const [edited] = (await shared.pipeline.run(soft)).images;
  const left = Uint8Array.from({ length: SIZE }, (_, i) => (i % W < W / 2 ? 255 : 0));
  const factor = shared.pipeline.vaeScaleFactor;
  const large = new Uint8Array(SIZE * factor ** 2).map((_, i) => {
    const [x, y] = [Math.floor((i % (W * factor)) / factor), Math.floor(i / (W * factor) / factor)];
    return left[y * W + x];
  });
  const whole = { width: W * factor, height: H * factor, data: large, channels: 1 as const };
  expect(pasted).toEqual(pasteBack(image, edited, whole));
});

describe('what makes no sense is refused', () => {
  const args = { ...edit, maskMode: 'soft' as const };
  const refused = (more: object) => shared.editLatents({ ...args, ...more });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, null, '1'])('an exponent of %s', async maskExponent => {
    await expect(refused({ maskExponent })).rejects.toMatchObject({ name: 'InputError', path: 'maskExponent' });
  });

  test('a clean-up that is neither on nor off', async () => {
    const wrong = shared.pipeline.run({ ...shortRun, maskCleanup: 'yes' as unknown as boolean });
    await expect(wrong).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: run: neither on nor off: expected true or false, got "yes" (maskCleanup)]`,
    );
  });

  test.each([Number.NaN, -0.1, 1.5])('a mask that holds %d', async value => {
    await expect(refused({ maskImage: mask(() => value) })).rejects.toThrow(/a mask value outside \[0, 1\]/);
  });

  test('another mode', async () => {
    await expect(refused({ maskMode: 'grey' })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: edit: no way to read a mask: expected 'binary' or 'soft', got "grey" (maskMode)]`,
    );
    await expect(shared.pipeline.run({ ...shortRun, maskMode: 'x' as 'soft' })).rejects.toThrow(/maskMode/);
  });
});

test('what a mask must exceed is the formula rounded down to float32, and never reaches 1', () => {
  for (const [steps, p] of [
    [50, 0.6],
    [40, 1],
    [7, 2.3],
    [3, 5000],
  ] as const) {
    for (let i = 0; i < steps; i++) {
      const exact = 1 - ((i + 1) / steps) ** p;
      const found = maskAbove(i, steps, p);
      expect(Math.fround(found)).toBe(found);
      expect(found).toBeLessThan(1);
      expect(found).toBeLessThanOrEqual(exact);
      const next = Math.fround(found * (1 + 2 ** -23) + 2 ** -149);
      expect(next > exact || next === 1).toBe(true);
    }
    expect(maskAbove(steps - 1, steps, p)).toBe(0);
  }
});
