import { afterAll, describe, expect, test } from 'vitest';
import { DeviceError, InputError } from '../../src/core/errors.ts';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { RgbImage } from '../../src/io/image.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import type { StepEvent } from '../../src/pipeline/diffusion/sampling-loop.ts';
import type { ProgressEvent } from '../../src/pipeline/runtime/progress.ts';
import { DDIMScheduler } from '../../src/schedulers/index.ts';
import { maxError } from '../support/close.ts';
import { diskFolder } from '../support/folder.ts';
import { loadGolden } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { openPipeline, picture, seeded } from '../support/pipeline.ts';
import { renewed } from '../support/renewed.ts';

const golden = loadGolden('sd1');
const image = picture(golden);
const SOURCE = 'a bowl of fruits';
const TARGET = 'a basket of pears';
const few = { numInferenceSteps: 4, guidanceScale: 6 };
const [H, W] = [12, 20];

let pipeline: DiffEditPipeline;
let inverted: NdArray;
renewed(async () => {
  pipeline = await openPipeline('test/golden/sd1/model');
  inverted = (await pipeline.invert({ ...few, image, prompt: SOURCE, generator: seeded(1) })).latents;
});
afterAll(() => pipeline.dispose());

const mask = (value: (x: number) => number, batch = 1): NdArray => ({
  data: Float32Array.from({ length: batch * H * W }, (_, i) => value(i % W)),
  shape: [batch, H, W],
});
const half = mask(x => (x < W / 2 ? 1 : 0));
const edit = { ...few, prompt: TARGET, negativePrompt: SOURCE, maskImage: half, outputType: 'latent' as const };
const editLatents = async (more: object) =>
  (await pipeline.edit({ ...edit, imageLatents: inverted, ...more })).images as NdArray;
/** Entry t of picture b of inverted latents. */
const frame = ({ data, shape }: NdArray, t: number, b = 0) => {
  const size = 4 * H * W;
  return data.subarray((b * shape[1] + t) * size, (b * shape[1] + t + 1) * size);
};

describe('masks', () => {
  test('of zeros leave the least noisy latents exactly', async () => {
    const latents = await editLatents({ maskImage: mask(() => 0) });
    expect(latents.data).toEqual(frame(inverted, inverted.shape[1] - 1));
  });

  test('of equal prompts are all ones, because nothing divided by nothing counts as set', async () => {
    const found = await pipeline.generateMask({
      ...few,
      image,
      sourcePrompt: SOURCE,
      targetPrompt: SOURCE,
      numMapsPerMask: 1,
      generator: seeded(0),
    });
    expect(found.mask.data.every(v => v === 1)).toBe(true);
    expect(found.map.data.every(v => v === 0)).toBe(true);
  });

  test('come as pictures of latent size', async () => {
    const found = await pipeline.generateMask({
      ...few,
      image,
      sourcePrompt: SOURCE,
      targetPrompt: TARGET,
      numMapsPerMask: 1,
      outputType: 'pil',
      generator: seeded(0),
    });
    const [picture] = found.images ?? [];
    expect(picture).toMatchObject({ width: W, height: H, channels: 1 });
    expect(Array.from(picture?.data ?? [])).toEqual(Array.from(found.mask.data, v => 255 * v));
    expect(await editLatents({ maskImage: picture })).toEqual(await editLatents({ maskImage: found.mask }));
  });

  test('are continuous, thresholded, grown, shrunk and blurred on request', async () => {
    const find = (more: object) =>
      pipeline.generateMask({
        ...few,
        image,
        sourcePrompt: SOURCE,
        targetPrompt: TARGET,
        numMapsPerMask: 1,
        generator: seeded(0),
        ...more,
      });
    const sum = ({ mask: { data } }: { mask: NdArray }) => data.reduce((a, b) => a + b, 0);
    const plain = await find({});
    const soft = await find({ continuous: true });
    expect(soft.mask.data.some(v => v > 0 && v < 1)).toBe(true);
    expect(Array.from(soft.mask.data, v => (v > 0.5 ? 1 : 0))).toEqual(Array.from(plain.mask.data));
    expect(Array.from((await find({ threshold: 0.3 })).mask.data)).toEqual(
      Array.from(soft.mask.data, v => (v > Math.fround(0.3) ? 1 : 0)),
    );
    expect(sum(plain)).toBeGreaterThan(0);
    expect(sum(await find({ dilate: 1 }))).toBeGreaterThan(sum(plain));
    expect(sum(await find({ erode: 1 }))).toBeLessThan(sum(plain));
    const blurred = await find({ blur: 1 });
    expect(blurred.mask.data.some(v => v > 0 && v < 1)).toBe(true);
  });

  test('are swapped between pictures as in the original, and in their own order when mended', async () => {
    const two = {
      data: Float32Array.from([...inverted.data, ...inverted.data]),
      shape: [2, ...inverted.shape.slice(1)],
    };
    const maskImage = { data: Float32Array.from([...mask(() => 0).data, ...mask(() => 1).data]), shape: [2, H, W] };
    const both = {
      ...edit,
      prompt: [TARGET, TARGET],
      negativePrompt: [SOURCE, SOURCE],
      maskImage,
      imageLatents: two,
      numImagesPerPrompt: 2,
    };
    const kept = frame(inverted, inverted.shape[1] - 1);
    const untouched = (latents: NdArray) =>
      [0, 1, 2, 3].filter(n => maxError(latents.data.subarray(n * kept.length, (n + 1) * kept.length), kept) === 0);
    expect(untouched((await pipeline.edit(both)).images as NdArray)).toEqual([0, 2]);
    const mended = await openPipeline('test/golden/sd1/model', { mendQuirks: true });
    expect(untouched((await mended.edit(both)).images as NdArray)).toEqual([0, 1]);
    mended.dispose();
  });
});

describe('without guidance', () => {
  test('all phases run on the conditional prediction alone', async () => {
    const plain = { numInferenceSteps: 4, guidanceScale: 1 };
    const found = await pipeline.generateMask({
      ...plain,
      image,
      sourcePrompt: SOURCE,
      targetPrompt: TARGET,
      numMapsPerMask: 2,
      generator: seeded(0),
    });
    // Without guidance the difference is that of the two positives; with it the default negatives cancel and only scale it.
    const guided = await pipeline.generateMask({
      ...few,
      image,
      sourcePrompt: SOURCE,
      targetPrompt: TARGET,
      numMapsPerMask: 2,
      generator: seeded(0),
    });
    expect(
      maxError(
        guided.map.data,
        found.map.data.map(v => 5 * v),
      ),
    ).toBeLessThan(1e-4);
    expect(found.mask.data).toEqual(guided.mask.data);
    const { latents } = await pipeline.invert({ ...plain, image, prompt: SOURCE, generator: seeded(1) });
    expect(maxError(latents.data, inverted.data)).toBeGreaterThan(1e-3);
    const one = await pipeline.edit({ ...edit, ...plain, imageLatents: inverted });
    // Guidance towards the prompt from itself is no guidance.
    const same = await pipeline.edit({ ...edit, negativePrompt: TARGET, imageLatents: inverted });
    expect(maxError((one.images as NdArray).data, (same.images as NdArray).data)).toBeLessThan(1e-4);
  });
});

describe('inputs', () => {
  test('latents beside the inverted ones are ignored', async () => {
    const latents = { data: new Float32Array(4 * H * W).fill(7), shape: [1, 4, H, W] };
    expect(await editLatents({ latents })).toEqual(await editLatents({}));
  });

  test('latents as one array, as a list and flattened are the same', async () => {
    const expected = await editLatents({});
    const [, steps, ...rest] = inverted.shape;
    expect(await editLatents({ imageLatents: [inverted] })).toEqual(expected);
    expect(await editLatents({ imageLatents: { data: inverted.data, shape: [steps, ...rest] } })).toEqual(expected);
    const list = Array.from({ length: steps }, (_, t) => ({ data: frame(inverted, t), shape: [1, 4, H, W] }));
    expect(await editLatents({ imageLatents: list })).toEqual(expected);
  });

  test('a picture given as latents skips the encoder and draws no noise for it', async () => {
    const z = { data: frame(inverted, 0), shape: [1, 4, H, W], layout: 'nchw' as const };
    const run = (seed: number) => pipeline.invert({ ...few, image: z, prompt: SOURCE, generator: seeded(seed) });
    expect((await run(1)).latents).toEqual((await run(2)).latents);
  });

  test('one picture serves several prompts', async () => {
    const { latents } = await pipeline.invert({ ...few, image, prompt: [SOURCE, SOURCE], generator: seeded(1) });
    expect(frame(latents, 0, 0)).toEqual(frame(latents, 0, 1));
  });

  test('a list of generators draws row by row', async () => {
    const both = await pipeline.invert({
      ...few,
      image: [image, image],
      prompt: [SOURCE, SOURCE],
      generator: [seeded(1), seeded(2)],
    });
    expect(maxError(frame(both.latents, 0, 0), frame(inverted, 0))).toBeLessThan(1e-4);
    expect(maxError(frame(both.latents, 0, 1), frame(inverted, 0))).toBeGreaterThan(1e-2);
  });

  test('a prompt and its embeddings give the same', async () => {
    const { promptEmbeds, negativePromptEmbeds } = await pipeline.encodePrompt(TARGET, { negativePrompt: SOURCE });
    const latents = await editLatents({
      prompt: undefined,
      negativePrompt: undefined,
      promptEmbeds,
      negativePromptEmbeds,
    });
    expect(latents).toEqual(await editLatents({}));
    const many = await pipeline.encodePrompt([SOURCE, TARGET], { numImagesPerPrompt: 2 });
    expect(many.promptEmbeds.shape).toEqual([4, 77, 48]);
  });
});

describe('a run', () => {
  const prompts = { image, sourcePrompt: SOURCE, targetPrompt: TARGET };

  test('gives what its phases give one by one, the edit pushed away from the source prompt', async () => {
    const all = await pipeline.run({
      ...few,
      ...prompts,
      numMapsPerMask: 2,
      invertGuidanceScale: 1,
      seed: 5,
      outputType: 'latent',
      returnLatents: true,
    });
    const found = await pipeline.generateMask({ ...few, ...prompts, numMapsPerMask: 2, generator: seeded(5) });
    const { latents } = await pipeline.invert({
      ...few,
      image,
      prompt: SOURCE,
      guidanceScale: 1,
      generator: seeded(5),
    });
    expect(all.mask?.mask).toEqual(found.mask);
    expect(all.latents).toEqual(latents);
    expect(all.images).toEqual(await editLatents({ maskImage: found.mask, imageLatents: latents }));
  });

  test('hands each phase its own guidance and negatives', async () => {
    const [mask, invert] = [{ numMapsPerMask: 1 }, { inpaintStrength: 1 }];
    const steps = { ...few, numInferenceSteps: 2 };
    const first = { ...steps, ...prompts, ...mask, ...invert, seed: 5 };
    const dark = await pipeline.encodePrompt('dark');
    const all = await pipeline.run({
      ...first,
      maskGuidanceScale: 1,
      invertNegativePrompt: 'dark',
      outputType: 'latent',
      returnLatents: true,
    });
    const found = await pipeline.generateMask({
      ...{ ...steps, ...prompts, ...mask },
      guidanceScale: 1,
      generator: seeded(5),
    });
    expect(all.mask?.map).toEqual(found.map);
    const { latents } = await pipeline.invert({
      ...{ ...steps, ...invert, image },
      prompt: SOURCE,
      negativePrompt: 'dark',
      generator: seeded(5),
    });
    expect(all.latents).toEqual(latents);
    const embedded = await pipeline.run({
      ...first,
      maskImage: half,
      invertNegativePromptEmbeds: dark.promptEmbeds,
      outputType: 'latent',
      returnLatents: true,
    });
    expect(embedded.latents).toEqual(latents);
  });

  test('skips the phases whose results it is given', async () => {
    const phases = new Set<string>();
    const { images, mask } = await pipeline.run({
      ...few,
      ...prompts,
      maskImage: half,
      imageLatents: inverted,
      outputType: 'latent',
      onProgress: e => phases.add(e.phase),
    });
    expect(mask).toBeUndefined();
    expect([...phases]).toEqual(['edit']);
    expect(images).toEqual(await editLatents({}));
  });
});

describe('progress', () => {
  test('callbacks come every callbackSteps, with the latents of their step', async () => {
    const calls: [number, number, NdArray][] = [];
    await editLatents({
      callbackSteps: 2,
      callback: async (i: number, t: number, read: () => Promise<NdArray>) => void calls.push([i, t, await read()]),
    });
    expect(calls.map(([i, t]) => [i, t])).toEqual([
      [0, 501],
      [2, 1],
    ]);
    expect(calls[0][2].shape).toEqual([1, 4, H, W]);
    expect(calls[1][2]).toEqual(await editLatents({}));
  });

  test('the iterator yields every step and returns what the call would', async () => {
    const steps = pipeline.editSteps({ ...edit, imageLatents: inverted });
    const seen: StepEvent[] = [];
    let last: NdArray | undefined;
    let next = await steps.next();
    for (; !next.done; next = await steps.next()) {
      seen.push(next.value);
      last = await next.value.latents();
    }
    expect(seen.map(({ phase, step, of, timestep }) => [phase, step, of, timestep])).toEqual([
      ['edit', 0, 3, 501],
      ['edit', 1, 3, 251],
      ['edit', 2, 3, 1],
    ]);
    expect(next.value.images).toEqual(last);
    expect(next.value.images).toEqual(await editLatents({}));
    await expect(seen[0].latents()).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: edit: the latents of step 0 are gone: expected a call before the next step. Read the latents inside the callback, or before asking the iterator for the next step.]`,
    );
  });

  test('leaving the iterator early frees everything and the pipeline works on', async () => {
    const args = { ...few, image, prompt: SOURCE };
    const whole = async () => (await pipeline.invert({ ...args, generator: seeded(1) })).latents;
    await whole();
    const before = pipeline.bytes;
    for await (const step of pipeline.invertSteps({ ...args, generator: seeded(1) })) {
      expect(pipeline.bytes).toBeGreaterThan(before);
      if (step.step === 1) break;
    }
    expect(pipeline.bytes).toBe(before);
    expect(await whole()).toEqual(inverted);
  });

  test('events count steps and bytes', async () => {
    const events: ProgressEvent[] = [];
    await pipeline.invert({ ...few, image, prompt: SOURCE, onProgress: e => events.push(e) });
    expect(events.map(e => `${e.phase} ${e.step}/${e.of} ${e.timestep ?? ''}`)).toEqual([
      'encode 1/1 ',
      'invert 1/3 1',
      'invert 2/3 251',
      'invert 3/3 501',
    ]);
    for (const e of events) expect(e.bytes).toBeGreaterThan(1e6);
  });
});

describe('ends', () => {
  test('an aborted call rejects with the reason, frees its memory, and the pipeline works on', async () => {
    await editLatents({});
    const before = pipeline.bytes;
    const stop = new AbortController();
    const reason = new Error('enough');
    const call = pipeline.edit({
      ...edit,
      imageLatents: inverted,
      signal: stop.signal,
      callback: i => void (i === 1 && stop.abort(reason)),
    });
    await expect(call).rejects.toBe(reason);
    expect(pipeline.bytes).toBe(before);
    await expect(pipeline.invert({ ...few, image, prompt: SOURCE, signal: AbortSignal.abort(reason) })).rejects.toBe(
      reason,
    );
    expect((await editLatents({})).shape).toEqual([1, 4, H, W]);
  });

  test('a second call at the same time is refused, a second pipeline on the device is not', async () => {
    const other = await openPipeline('test/golden/sd1/model');
    const first = editLatents({});
    const elsewhere = other.edit({ ...edit, imageLatents: inverted });
    const second = editLatents({});
    await expect(second).rejects.toBeInstanceOf(DeviceError);
    await expect(second).rejects.toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: edit: the pipeline is busy: expected one call at a time, got edit is still running. Await the other call, abort it by its signal, or open a second pipeline on the same device.]`,
    );
    expect((await elsewhere).images).toEqual(await first);
    other.dispose();
  });

  test('a disposed pipeline holds nothing and refuses calls', async () => {
    const other = await openPipeline('test/golden/sd1/model');
    await other.invert({ ...few, image, prompt: SOURCE });
    expect(other.bytes).toBeGreaterThan(0);
    other.dispose();
    other.dispose();
    expect(other.bytes).toBe(0);
    await expect(other.invert({ ...few, image, prompt: SOURCE })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: invert: the pipeline was disposed. Open it again with fromPretrained().]`,
    );
  });
});

describe('the VAE', () => {
  test('gives the same pictures one at a time', async () => {
    const both = {
      image: [image, image],
      prompt: [SOURCE, SOURCE],
      ...few,
      decodeLatents: true,
      outputType: 'np' as const,
    };
    const whole = await pipeline.invert({ ...both, generator: seeded(3) });
    pipeline.enableVaeSlicing();
    const sliced = await pipeline.invert({ ...both, generator: seeded(3) });
    pipeline.disableVaeSlicing();
    expect(maxError((sliced.images as NdArray).data, (whole.images as NdArray).data)).toBeLessThan(1e-5);
  });

  test('works by tiles, which changes the numbers a little', async () => {
    const run = () => pipeline.edit({ ...edit, imageLatents: inverted, outputType: 'np' });
    const whole = (await run()).images as NdArray;
    pipeline.enableVaeTiling({ pixels: 16, latents: 8 });
    const tiled = (await run()).images as NdArray;
    const again = await pipeline.invert({ ...few, image, prompt: SOURCE, generator: seeded(1) });
    pipeline.disableVaeTiling();
    expect(tiled.shape).toEqual(whole.shape);
    expect(maxError(tiled.data, whole.data)).toBeGreaterThan(1e-4);
    expect(again.latents.shape).toEqual(inverted.shape);
    expect(maxError(again.latents.data, inverted.data)).toBeGreaterThan(1e-4);
    expect((await run()).images).toEqual(whole);
  });
});

describe('outputs', () => {
  test('come as pictures, arrays of either layout, or latents', async () => {
    const run = async (outputType: 'pil' | 'np' | 'pt') =>
      (await pipeline.edit({ ...edit, imageLatents: inverted, outputType })).images;
    const [pil, np, pt] = [await run('pil'), await run('np'), await run('pt')] as [RgbImage[], NdArray, NdArray];
    expect(np.shape).toEqual([1, 24, 40, 3]);
    expect(pt.shape).toEqual([1, 3, 24, 40]);
    expect(pil[0]).toMatchObject({ width: 40, height: 24 });
    expect(
      maxError(
        Array.from(pil[0].data, v => v / 255),
        np.data,
      ),
    ).toBeLessThan(0.51 / 255);
    expect(pt.data[40]).toBe(np.data[3 * 40]);
  });

  test('an unknown type warns and gives an array', async () => {
    const warnings: string[] = [];
    const other = await openPipeline('test/golden/sd1/model', { onWarning: m => warnings.push(m) });
    const { images } = await other.edit({ ...edit, imageLatents: inverted, outputType: 'jpeg' as 'np' });
    expect((images as NdArray).shape).toEqual([1, 24, 40, 3]);
    expect(warnings).toMatchInlineSnapshot(`
      [
        "outputType "jpeg" is unknown, "np" is returned; known are pil, np, pt, latent",
      ]
    `);
    other.dispose();
  });

  test('paste back what the mask covers at the picture’s own size', async () => {
    const large = { width: 80, height: 48, data: new Uint8Array(80 * 48 * 3).fill(200) };
    const { images } = await pipeline.edit({
      ...edit,
      imageLatents: inverted,
      outputType: 'pil',
      pasteBack: { image: large, blur: 0 },
    });
    const [out] = images as RgbImage[];
    expect(out).toMatchObject({ width: 80, height: 48 });
    const column = (x: number) =>
      Array.from({ length: 48 }, (_, y) =>
        Array.from(out.data.subarray((y * 80 + x) * 3, (y * 80 + x) * 3 + 3)),
      ).flat();
    expect(column(60).every(v => v === 200)).toBe(true);
    expect(column(10).some(v => v !== 200)).toBe(true);
  });

  test('of two prompts are pasted into one picture each, or both into the same', async () => {
    const flat = (value: number) => ({ width: 40, height: 24, data: new Uint8Array(40 * 24 * 3).fill(value) });
    const two = { ...inverted, data: Float32Array.from([...inverted.data, ...inverted.data]) };
    const corner = async (paste: RgbImage | RgbImage[]) => {
      const { images } = await pipeline.edit({
        ...edit,
        prompt: [TARGET, TARGET],
        negativePrompt: [SOURCE, SOURCE],
        imageLatents: { ...two, shape: [2, ...inverted.shape.slice(1)] },
        numImagesPerPrompt: 2,
        outputType: 'pil',
        pasteBack: { image: paste },
      });
      return (images as RgbImage[]).map(({ data }) => data[data.length - 1]);
    };
    expect(await corner([flat(10), flat(20)])).toEqual([10, 10, 20, 20]);
    expect(await corner(flat(30))).toEqual([30, 30, 30, 30]);
  });
});

describe('schedulers', () => {
  test('with dynamic thresholding step on the host, with the same blend', async () => {
    const scheduler = DDIMScheduler.fromConfig(pipeline.scheduler.config, {
      thresholding: true,
      sampleMaxValue: 1e6,
      dynamicThresholdingRatio: 1,
    });
    const other = await openPipeline('test/golden/sd1/model', { scheduler });
    const latents = (await other.edit({ ...edit, imageLatents: inverted, maskImage: mask(() => 0) })).images as NdArray;
    expect(latents.data).toEqual(frame(inverted, inverted.shape[1] - 1));
    const thresholded = (await other.edit({ ...edit, imageLatents: inverted })).images as NdArray;
    // Right of the mask nothing is edited; left of it x0 is divided by its own maximum.
    const right = (values: Float32Array) => values.filter((_, i) => i % W >= W / 2);
    expect(maxError(right(thresholded.data), right(latents.data))).toBe(0);
    expect(maxError(thresholded.data, latents.data)).toBeGreaterThan(1e-3);
    other.dispose();
  });

  test('an offset other than 1 is corrected in the forward scheduler alone', async () => {
    const warnings: string[] = [];
    const { inverseScheduler } = pipeline;
    const scheduler = DDIMScheduler.fromConfig(pipeline.scheduler.config, { stepsOffset: 0 });
    const other = await openPipeline('test/golden/sd1/model', {
      scheduler,
      inverseScheduler,
      onWarning: m => warnings.push(m),
    });
    expect(other.scheduler.config.stepsOffset).toBe(1);
    expect(other.inverseScheduler).toBe(inverseScheduler);
    expect(warnings).toMatchInlineSnapshot(`
      [
        "The scheduler's steps_offset is 0; 1 is used, as diffusers does.",
      ]
    `);
    other.dispose();
  });
});

describe('mended', () => {
  test('guidance, blend and threshold follow the paper, each picture by itself', async () => {
    const mended = await openPipeline('test/golden/sd1/model', { mendQuirks: true });
    const find = (of: DiffEditPipeline, more: object) =>
      of.generateMask({
        ...few,
        image,
        sourcePrompt: SOURCE,
        targetPrompt: TARGET,
        numMapsPerMask: 1,
        generator: seeded(0),
        ...more,
      });
    const negatives = { sourceNegativePrompt: 'dark', targetNegativePrompt: 'red' };
    const [a, b] = [await find(pipeline, negatives), await find(mended, negatives)];
    expect(maxError(a.map.data, b.map.data)).toBeGreaterThan(1e-3);
    const pair = {
      image: [image, picture(golden, 'image_b')],
      sourcePrompt: [SOURCE, SOURCE],
      targetPrompt: [TARGET, TARGET],
      continuous: true,
    };
    const both = await find(mended, pair);
    for (const n of [0, 1]) {
      const map = both.map.data.subarray(n * H * W, (n + 1) * H * W);
      const cut = (3 * map.reduce((x, y) => x + y, 0)) / map.length;
      const soft = map.map(v => Math.min(v, cut) / cut);
      expect(maxError(both.mask.data.subarray(n * H * W, (n + 1) * H * W), soft)).toBeLessThan(1e-5);
    }
    // The blend ends at the clean latents that run() knows, so a mask of zeros reconstructs the picture.
    const zeros = {
      maskImage: mask(() => 0),
      image,
      sourcePrompt: SOURCE,
      targetPrompt: TARGET,
      ...few,
      seed: 1,
      outputType: 'latent' as const,
    };
    const clean = (await mended.run(zeros)).images as NdArray;
    const noisy = (await pipeline.run(zeros)).images as NdArray;
    expect(maxError(noisy.data, frame(inverted, inverted.shape[1] - 1))).toBe(0);
    expect(maxError(clean.data, noisy.data)).toBeGreaterThan(1e-3);
    mended.dispose();
  });
});

test('refuses what is not built', async () => {
  const folder = { ...diskFolder(new URL('../golden/sd1/model', import.meta.url).pathname), label: 'sd1' };
  const gpu = await testGpu();
  const open = (options: object) => DiffEditPipeline.fromPretrained(folder, { gpu, ...options });
  await expect(open({ safetyChecker: {} })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: DiffEditPipeline.fromPretrained: a safety checker is not built (safetyChecker). docs/parity.md lists what this pipeline has and what it refuses.]`,
  );
  await expect(open({ scheduler: { step: 1 } })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: DiffEditPipeline.fromPretrained: not a scheduler that is built: expected DDIMScheduler, got object (scheduler). Make one with DDIMScheduler.fromConfig(other.config).]`,
  );
  await expect(open({ dtype: 'bfloat16' })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: DiffEditPipeline.fromPretrained: unknown dtype: expected float32 or float16, got bfloat16 (dtype)]`,
  );
  await expect(open({ stagingBytes: 0 })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: DiffEditPipeline.fromPretrained: not a count: expected a whole number >= 1, got 0 (stagingBytes)]`,
  );
  await expect(open({ variant: 'fp16' })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[WeightsError: DiffEditPipeline.fromPretrained: no network has the variant "fp16" (sd1). Leave the variant out, or download its files.]`,
  );
  for (const name of ['enableFreeU', 'loadIpAdapter'] as const) {
    expect(() => pipeline[name]()).toThrow(InputError);
  }
  expect(() => pipeline.enableFreeU()).toThrowErrorMatchingInlineSnapshot(
    `[InputError: enableFreeU: FreeU is not built (enableFreeU). docs/parity.md lists what this pipeline has and what it refuses.]`,
  );
  await expect(
    pipeline.invert({ ...few, image, prompt: SOURCE, crossAttentionKwargs: { scale: 1, ip: 2 } }),
  ).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: invert: an attention argument that is not built: expected scale, a number, got ip: number (crossAttentionKwargs). Leave it out; IP-Adapter and other attention processors are not part of this library.]`,
  );
});
