import { afterAll, describe, expect, test } from 'vitest';
import { DeviceError } from '../../src/core/errors.ts';
import type { NdArray } from '../../src/core/ndarray.ts';
import { Gpu } from '../../src/gpu/device.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import type { PretrainedOptions } from '../../src/pipeline/diffedit/pretrained-options.ts';
import type { RunArgs } from '../../src/pipeline/diffedit/types.ts';
import { BlipForConditionalGeneration } from '../../src/pipeline/text/blip.ts';
import { T5ForConditionalGeneration } from '../../src/pipeline/text/t5.ts';
import { repositoryFolder } from '../support/captioner.ts';
import { type Counter, countDevice } from '../support/counting.ts';
import { loadGolden } from '../support/golden.ts';
import { freshGpu } from '../support/gpu.ts';
import { openPipeline, picture } from '../support/pipeline.ts';
import { renewed } from '../support/renewed.ts';

const FOLDER = 'test/golden/sd1/model';
const image = picture(loadGolden('sd1'));
const prompts = { sourcePrompt: 'a bowl of fruits', targetPrompt: 'a basket of pears' };
const run = { ...prompts, image, numInferenceSteps: 4, numMapsPerMask: 2, seed: 0, outputType: 'np' } as const;

let gpu: Gpu;
let counter: Counter;
renewed(async () => {
  gpu = await freshGpu();
  counter = countDevice(gpu);
});
afterAll(() => {
  counter.stop();
  gpu.dispose();
});

/** Of the cases below those that differ most. */
const DAILY = /^(float16|offload, little|streamed from|three images|regularised|a soft mask)/;

describe('a plan is what a call then takes, to the byte', () => {
  const cases: readonly (readonly [string, PretrainedOptions, Partial<RunArgs>?])[] = [
    ['float32', {}],
    ['float16', { dtype: 'float16' }],
    ['weights when needed', { loadWhenNeeded: true }],
    ['offload', { modelCpuOffload: true }],
    ['offload, little staging', { modelCpuOffload: true, stagingBytes: 2 ** 16 }],
    ['streamed weights', { streamWeights: { slotBytes: 2 ** 14 } }],
    ['streamed from the host, offloaded', { streamWeights: true, hostMemory: true, modelCpuOffload: true }],
    ['three images', {}, { numImagesPerPrompt: 3 }],
    ['no guidance', {}, { guidanceScale: 1 }],
    ['noise, mended, latents only', { mendQuirks: true }, { eta: 0.5, outputType: 'latent' }],
    ['regularised', {}, { lambdaAutoCorr: 20, lambdaKl: 20, numRegSteps: 2 }],
    ['two prompts', {}, { sourcePrompt: ['a', 'b'], targetPrompt: ['c', 'd'] }],
    ['latents returned', {}, { returnLatents: true }],
    ['a soft mask', {}, { maskMode: 'soft', maskExponent: 0.6, maskCleanup: true }],
  ];
  for (const [name, options, args] of process.env.PENTIMENTO_FULL ? cases : cases.filter(([name]) => DAILY.test(name)))
    test(name, async () => {
      const pipeline = await openPipeline(FOLDER, { gpu, ...options });
      const call = { ...run, ...args };
      const other = Array.isArray(call.targetPrompt) ? {} : { negativePrompt: 'something else' };
      // From an untouched pipeline, then beside prompts that it remembers.
      for (const more of [{}, other]) {
        const plan = await pipeline.plan({ ...call, ...more });
        const before = counter.liveBytes;
        counter.resetPeak();
        await pipeline.run({ ...call, ...more });
        expect(counter.liveBytes, 'bytes that the pipeline says it holds').toBe(pipeline.bytes);
        // Programs of the call before lie there until this one begins.
        expect(counter.peakBytes).toBe(Math.max(before, plan.peakBytes));
        expect(plan.largestBinding).toBeLessThanOrEqual(counter.largestBinding);
      }
      pipeline.dispose();
      expect(counter.liveBytes).toBe(0);
    });
});

test('a plan reads nothing, allocates nothing, draws nothing and calls nobody', async () => {
  const told: string[] = [];
  const options = { gpu, loadWhenNeeded: true, onProgress: () => told.push('progress') };
  const pipeline = await openPipeline(FOLDER, options);
  counter.take();
  const plan = await pipeline.plan({ ...run, callback: () => void told.push('callback') });
  expect(counter.take()).toEqual({ buffers: 0, bindGroups: 0, pipelines: 0, maps: 0, submits: 0 });
  expect(told).toEqual([]);
  expect(pipeline.bytes).toBe(0);
  expect(plan.phases.map(({ phase }) => phase)).toEqual(['load', 'text', 'encode', 'mask', 'invert', 'edit', 'decode']);
  pipeline.dispose();
});

test('a plan needs no device', async () => {
  const here = await openPipeline(FOLDER, { gpu, loadWhenNeeded: true });
  const dry = Gpu.dry(gpu.caps);
  const there = await openPipeline(FOLDER, { gpu: dry, loadWhenNeeded: true });
  expect(await there.plan(run)).toEqual(await here.plan(run));
  here.dispose();
  there.dispose();
});

describe('maxBytes', () => {
  test('keeps a call within its bytes, by more savings the fewer there are, with the same bits', async () => {
    const free = await openPipeline(FOLDER, { gpu, loadWhenNeeded: true });
    const call = { ...run, numImagesPerPrompt: 3 };
    const { peakBytes: all } = await free.plan(call);
    const expected = (await free.run(call)).images as NdArray;
    free.dispose();
    const said: string[] = [];
    let least = all;
    for (let maxBytes = all; ; maxBytes = Math.floor(maxBytes * 0.75)) {
      const pipeline = await openPipeline(FOLDER, { gpu, maxBytes, onWarning: message => said.push(message) });
      counter.resetPeak();
      const images = await pipeline.run(call).then(
        output => output.images as NdArray,
        (error: Error) => error.message,
      );
      pipeline.dispose();
      if (typeof images === 'string') {
        expect(images).toContain(`at most ${maxBytes} bytes`);
        expect(counter.peakBytes, 'refused before anything was made').toBe(0);
        break;
      }
      expect(counter.peakBytes).toBeLessThanOrEqual(maxBytes);
      expect(images).toEqual(expected);
      least = counter.peakBytes;
    }
    expect(least).toBeLessThan(0.65 * all);
    expect(said.join('\n')).toMatch(/one network at a time[\s\S]*streamed/);
  });
});

test('with memory for all programs the next call of the same sizes compiles nothing', async () => {
  const pipeline = await openPipeline(FOLDER, { gpu, maxBytes: 1e9 });
  const { images: first } = await pipeline.run(run);
  counter.take();
  const { images: second } = await pipeline.run(run);
  const { bindGroups, pipelines } = counter.take();
  // The map's threshold is a program for one use.
  expect([bindGroups, pipelines]).toEqual([1, 0]);
  expect(second).toEqual(first);
  await pipeline.run({ ...run, numImagesPerPrompt: 2 });
  expect(counter.take().bindGroups).toBeGreaterThan(0);
  pipeline.dispose();
});

describe('what cannot be done is refused before anything is done', () => {
  const large = { ...prompts, image: { width: 512, height: 512, data: new Uint8Array(3 * 512 ** 2) }, seed: 0 };
  const ORCHARD = repositoryFolder('models/orchard/stable-diffusion');

  test('tiles change the numbers: where only they fit the error names the option that allows them', async () => {
    const dry = Gpu.dry();
    const open = (more: object) => DiffEditPipeline.fromPretrained(ORCHARD, { gpu: dry, onWarning() {}, ...more });
    const least = async (allowTiles: boolean) => {
      const pipeline = await open({ maxBytes: 1e12, allowTiles });
      const plans = await pipeline.planSavings(large);
      return Math.min(...plans.map(({ plan }) => plan?.peakBytes ?? Number.POSITIVE_INFINITY));
    };
    const [without, withTiles] = [await least(false), await least(true)];
    expect(withTiles).toBeLessThan(without);
    const maxBytes = Math.floor((without + withTiles) / 2);
    const strict = await open({ maxBytes });
    await expect(strict.plan(large)).rejects.toThrow(
      /only with VAE tiles, .*at most \d+ bytes.*allowTiles: tiles of \d+ pixels/,
    );
    const free = await open({ maxBytes, allowTiles: true });
    expect((await free.plan(large)).peakBytes).toBeLessThanOrEqual(maxBytes);
  });

  test('a device that cannot decode: no mask and no inversion are lost to it', async () => {
    const small = await freshGpu({ maxBindingBytes: 2 ** 12 });
    const watched = countDevice(small);
    const told: string[] = [];
    const pipeline = await openPipeline(FOLDER, {
      gpu: small,
      loadWhenNeeded: true,
      onProgress: e => told.push(e.phase),
    });
    await expect(pipeline.run(run)).rejects.toThrow(DeviceError);
    expect([watched.take().buffers, told]).toEqual([0, []]);
    pipeline.dispose();
    watched.stop();
    small.dispose();
  });

  test('a signal ends planning', async () => {
    const controller = new AbortController();
    const pipeline = await openPipeline(FOLDER, { gpu, loadWhenNeeded: true });
    const planned = pipeline.plan({ ...run, signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(planned).rejects.toThrow('enough');
    expect((await pipeline.plan(run)).peakBytes).toBeGreaterThan(0);
    pipeline.dispose();
  });
});

describe('plans of language models', () => {
  const quiet = { onWarning: () => undefined };
  const picture2 = { width: 40, height: 30, data: new Uint8Array(3600) };

  for (const how of [{ dtype: 'float16' as const }, { numBeams: 2, loadWhenNeeded: true }])
    test(`T5 and BLIP, ${JSON.stringify(how)}`, async () => {
      const { numBeams, ...open } = { numBeams: undefined, ...how };
      const settings = { maxNewTokens: 5, eosTokenId: null, numBeams };
      const options = { gpu, ...quiet, ...open };
      const t5 = await T5ForConditionalGeneration.fromPretrained(repositoryFolder('models/orchard/t5'), options);
      const plan = await t5.plan('a bowl of pears', settings);
      counter.resetPeak();
      await t5.generate('a bowl of pears', settings);
      expect(counter.peakBytes).toBe(plan.peakBytes);
      t5.dispose();
      const blip = await BlipForConditionalGeneration.fromPretrained(repositoryFolder('models/orchard/blip'), options);
      const caption = await blip.plan(picture2, settings);
      counter.resetPeak();
      await blip.generate(picture2, settings);
      expect(counter.peakBytes).toBe(caption.peakBytes);
      blip.dispose();
      expect(counter.liveBytes).toBe(0);
    });
});

test('a machine with too little memory left is asked before the first phase', async () => {
  let left = 2 ** 29;
  const poor = await freshGpu({ availableBytes: () => left });
  const told: string[] = [];
  const pipeline = await openPipeline(FOLDER, { gpu: poor, loadWhenNeeded: true, onProgress: e => told.push(e.phase) });
  left = (await pipeline.plan(run)).peakBytes - 1;
  await expect(pipeline.run(run)).rejects.toThrow(/the machine has too little memory left: .* for the whole call/);
  expect([told, pipeline.bytes]).toEqual([[], 0]);
  left++;
  await pipeline.run(run);
  pipeline.dispose();
  poor.dispose();
});
