/** Pictures, tiles and schedulers of an edit, and what is not built. */
import { describe, expect, test } from 'vitest';
import { InputError } from '../../src/core/errors.ts';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { RgbImage } from '../../src/io/image.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { DDIMScheduler } from '../../src/schedulers/index.ts';
import { maxError } from '../support/close.ts';
import { diskFolder } from '../support/folder.ts';
import { testGpu } from '../support/gpu.ts';
import { openPipeline, seeded } from '../support/pipeline.ts';
import { edit, few, frame, image, mask, SOURCE, scene, TARGET, W } from '../support/scene.ts';

const shared = scene();

describe('the VAE', () => {
  test('gives the same pictures one at a time', async () => {
    const both = {
      image: [image, image],
      prompt: [SOURCE, SOURCE],
      ...few,
      decodeLatents: true,
      outputType: 'np' as const,
    };
    const whole = await shared.pipeline.invert({ ...both, generator: seeded(3) });
    shared.pipeline.enableVaeSlicing();
    const sliced = await shared.pipeline.invert({ ...both, generator: seeded(3) });
    shared.pipeline.disableVaeSlicing();
    expect(maxError((sliced.images as NdArray).data, (whole.images as NdArray).data)).toBeLessThan(1e-5);
  });

  test('works by tiles, which changes the numbers a little', async () => {
    const run = () => shared.pipeline.edit({ ...edit, imageLatents: shared.inverted, outputType: 'np' });
    const whole = (await run()).images as NdArray;
    shared.pipeline.enableVaeTiling({ pixels: 16, latents: 8 });
    const tiled = (await run()).images as NdArray;
    const again = await shared.pipeline.invert({ ...few, image, prompt: SOURCE, generator: seeded(1) });
    shared.pipeline.disableVaeTiling();
    expect(tiled.shape).toEqual(whole.shape);
    expect(maxError(tiled.data, whole.data)).toBeGreaterThan(1e-4);
    expect(again.latents.shape).toEqual(shared.inverted.shape);
    expect(maxError(again.latents.data, shared.inverted.data)).toBeGreaterThan(1e-4);
    expect((await run()).images).toEqual(whole);
  });
  test('says once that tiles have nothing to do, and what size would have', async () => {
    const warnings: string[] = [];
    const pipeline = await openPipeline('test/golden/sd1/model', { onWarning: m => warnings.push(m) });
    warnings.length = 0;
    const run = () => pipeline.edit({ ...edit, imageLatents: shared.inverted });
    await run();
    pipeline.enableVaeTiling({ pixels: 40 });
    await run();
    await pipeline.invert({ ...few, image, prompt: SOURCE, generator: seeded(1) });
    expect(warnings).toEqual([
      "VAE tiling has nothing to do: no side of 40x24 is above a tile's 40 pixels; smaller ones: enableVaeTiling({ pixels: 24 })",
    ]);
    pipeline.enableVaeTiling({ pixels: 24 });
    await run();
    expect(warnings).toHaveLength(1);
    pipeline.dispose();
  });
});

describe('outputs', () => {
  test('come as pictures, arrays of either layout, or latents', async () => {
    const run = async (outputType: 'pil' | 'np' | 'pt') =>
      (await shared.pipeline.edit({ ...edit, imageLatents: shared.inverted, outputType })).images;
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
    const { images } = await other.edit({ ...edit, imageLatents: shared.inverted, outputType: 'jpeg' as 'np' });
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
    const { images } = await shared.pipeline.edit({
      ...edit,
      imageLatents: shared.inverted,
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
    const two = { ...shared.inverted, data: Float32Array.from([...shared.inverted.data, ...shared.inverted.data]) };
    const corner = async (paste: RgbImage | RgbImage[]) => {
      const { images } = await shared.pipeline.edit({
        ...edit,
        prompt: [TARGET, TARGET],
        negativePrompt: [SOURCE, SOURCE],
        imageLatents: { ...two, shape: [2, ...shared.inverted.shape.slice(1)] },
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
  test('with dynamic thresholding step with the same blend', async () => {
    const scheduler = DDIMScheduler.fromConfig(shared.pipeline.scheduler.config, {
      thresholding: true,
      sampleMaxValue: 1e6,
      dynamicThresholdingRatio: 1,
    });
    const other = await openPipeline('test/golden/sd1/model', { scheduler });
    const latents = (await other.edit({ ...edit, imageLatents: shared.inverted, maskImage: mask(() => 0) }))
      .images as NdArray;
    expect(latents.data).toEqual(frame(shared.inverted, shared.inverted.shape[1] - 1));
    const thresholded = (await other.edit({ ...edit, imageLatents: shared.inverted })).images as NdArray;
    // Right of the mask nothing is edited; left of it x0 is divided by its own maximum.
    const right = (values: Float32Array) => values.filter((_, i) => i % W >= W / 2);
    expect(maxError(right(thresholded.data), right(latents.data))).toBe(0);
    expect(maxError(thresholded.data, latents.data)).toBeGreaterThan(1e-3);
    other.dispose();
  });

  test('an offset other than 1 is corrected in the forward scheduler alone', async () => {
    const warnings: string[] = [];
    const { inverseScheduler } = shared.pipeline;
    const scheduler = DDIMScheduler.fromConfig(shared.pipeline.scheduler.config, { stepsOffset: 0 });
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
    `[InputError: DiffEditPipeline.fromPretrained: unknown dtype: expected float32 or float16, got "bfloat16" (dtype)]`,
  );
  await expect(open({ stagingBytes: 0 })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: DiffEditPipeline.fromPretrained: not a count: expected a whole number >= 1, got 0 (stagingBytes)]`,
  );
  await expect(open({ variant: 'fp16' })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[WeightsError: DiffEditPipeline.fromPretrained: no network has the variant "fp16" (sd1). Leave the variant out, or download its files.]`,
  );
  for (const name of ['enableFreeU', 'loadIpAdapter'] as const) {
    expect(() => shared.pipeline[name]()).toThrow(InputError);
  }
  expect(() => shared.pipeline.enableFreeU()).toThrowErrorMatchingInlineSnapshot(
    `[InputError: enableFreeU: FreeU is not built (enableFreeU). docs/parity.md lists what this pipeline has and what it refuses.]`,
  );
  await expect(
    shared.pipeline.invert({ ...few, image, prompt: SOURCE, crossAttentionKwargs: { scale: 1, ip: 2 } }),
  ).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: invert: an attention argument that is not built: expected scale, a number, got ip: number (crossAttentionKwargs). Leave it out; IP-Adapter and other attention processors are not part of this library.]`,
  );
});
