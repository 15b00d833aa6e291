import { describe, expect, test, vi } from 'vitest';
import { DeviceError } from '../../src/core/errors.ts';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { Caps } from '../../src/gpu/caps.ts';
import { Gpu } from '../../src/gpu/device.ts';
import { DEFAULT_CAPS } from '../../src/gpu/dry-device.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import type { PretrainedOptions } from '../../src/pipeline/diffedit/pretrained-options.ts';
import type { RunArgs } from '../../src/pipeline/diffedit/types.ts';
import { BlipForConditionalGeneration } from '../../src/pipeline/text/blip.ts';
import { T5ForConditionalGeneration } from '../../src/pipeline/text/t5.ts';
import { repositoryFolder } from '../support/captioner.ts';
import { countDevice } from '../support/counting.ts';
import { freshGpu } from '../support/gpu.ts';
import { openPipeline } from '../support/pipeline.ts';
import { countedDevice, expectPlanned, SOURCE, shortRun, TARGET } from '../support/scene.ts';

const FOLDER = 'test/golden/sd1/model';
/** Two steps of inversion, so that there is a history. */
const run = { ...shortRun, numInferenceSteps: 3, numMapsPerMask: 1, outputType: 'np' } as const;

const device = countedDevice();

/** Of the cases below those that differ most. */
const DAILY = /^(float16|offload, little|streamed from|three images|regularised|a soft mask$|everything new)/;

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
    ['a soft mask, offloaded halves', { modelCpuOffload: true, dtype: 'float16' }, { maskMode: 'soft' }],
    ['a mask cleaned up', {}, { maskCleanup: true, numImagesPerPrompt: 2 }],
    ['a DDPM inversion', {}, { inversion: 'ddpm' }],
    ['a DDPM inversion, two prompts', {}, { inversion: 'ddpm', sourcePrompt: ['a', 'b'], targetPrompt: ['c', 'd'] }],
    ['a DDPM inversion, halves, latents', { dtype: 'float16' }, { inversion: 'ddpm', returnLatents: true }],
    ['a DDPM inversion, streamed', { streamWeights: true }, { inversion: 'ddpm', maskMode: 'soft' }],
    ['inversion in rounds', {}, { inversionRounds: 3 }],
    ['inversion in rounds, no guidance', {}, { inversionRounds: 2, guidanceScale: 1 }],
    ['rescaled guidance', {}, { guidanceRescale: 0.7 }],
    [
      'rescaled guidance, streamed halves',
      { dtype: 'float16', streamWeights: true, modelCpuOffload: true },
      { guidanceRescale: 0.7, inversionRounds: 2 },
    ],
    [
      'everything new at once',
      { mendQuirks: true },
      {
        ...{ inversion: 'ddpm', guidanceRescale: 0.7, maskMode: 'soft', maskCleanup: true },
        ...{ numImagesPerPrompt: 2, returnLatents: true },
      },
    ],
  ];
  for (const [name, options, args] of process.env.PENTIMENTO_FULL ? cases : cases.filter(([name]) => DAILY.test(name)))
    test(name, async () => {
      const pipeline = await openPipeline(FOLDER, { gpu: device.gpu, ...options });
      const call = { ...run, ...args };
      const other = Array.isArray(call.targetPrompt) ? {} : { negativePrompt: 'something else' };
      // From an untouched pipeline, then beside prompts that it remembers.
      for (const more of [{}, other]) {
        const all = { ...call, ...more };
        await expectPlanned(
          device,
          pipeline,
          () => pipeline.plan(all),
          () => pipeline.run(all),
        );
      }
      pipeline.dispose();
      expect(device.counter.liveBytes).toBe(0);
    });
});

test('a plan reads nothing, allocates nothing, draws nothing and calls nobody', async () => {
  const told: string[] = [];
  const options = { gpu: device.gpu, loadWhenNeeded: true, onProgress: () => told.push('progress') };
  const pipeline = await openPipeline(FOLDER, options);
  device.counter.take();
  const plan = await pipeline.plan({ ...run, callback: () => void told.push('callback') });
  expect(device.counter.take()).toEqual({ buffers: 0, bindGroups: 0, pipelines: 0, maps: 0, submits: 0 });
  expect(told).toEqual([]);
  expect(pipeline.bytes).toBe(0);
  expect(plan.phases.map(({ phase }) => phase)).toEqual(['load', 'text', 'encode', 'mask', 'invert', 'edit', 'decode']);
  pipeline.dispose();
});

test('a plan without arguments is refused as such', async () => {
  const pipeline = await openPipeline(FOLDER, { gpu: device.gpu, loadWhenNeeded: true });
  for (const nothing of [undefined, null] as unknown as RunArgs[]) {
    await expect(pipeline.plan(nothing)).rejects.toThrow(/^plan: arguments go by name/);
    await expect(pipeline.planSavings(nothing)).rejects.toThrow(/^planSavings: arguments go by name/);
  }
  pipeline.dispose();
});

test('capabilities that are none are refused by name', async () => {
  const pipeline = await openPipeline(FOLDER, { gpu: device.gpu, loadWhenNeeded: true });
  await expect(pipeline.plan(run, { caps: {} as Caps })).rejects.toThrowErrorMatchingInlineSnapshot(
    `[InputError: plan: not the capabilities of a device: expected a whole number above 0, got undefined (caps.maxBindingBytes). Pass DEFAULT_CAPS, or { ...DEFAULT_CAPS, ...others }.]`,
  );
  for (const [name, value] of Object.entries({ half: 'f8', software: 1, subgroupSize: -1, maxBufferBytes: 2.5 })) {
    const caps = { ...DEFAULT_CAPS, [name]: value } as Caps;
    await expect(pipeline.planSavings(run, { caps })).rejects.toThrow(`(caps.${name})`);
  }
  await pipeline.plan(run, { caps: DEFAULT_CAPS });
  pipeline.dispose();
});

test('a plan needs no device', async () => {
  const here = await openPipeline(FOLDER, { gpu: device.gpu, loadWhenNeeded: true });
  const dry = Gpu.dry(device.gpu.caps);
  const there = await openPipeline(FOLDER, { gpu: dry, loadWhenNeeded: true });
  expect(await there.plan(run)).toEqual(await here.plan(run));
  here.dispose();
  there.dispose();
});

describe('maxBytes', () => {
  test('keeps a call within its bytes, by more savings the fewer there are, with the same bits', async () => {
    const free = await openPipeline(FOLDER, { gpu: device.gpu, loadWhenNeeded: true });
    const call = { ...run, numImagesPerPrompt: 2 };
    const savings = await free.planSavings(call);
    const peaks = [...new Set(savings.map(saving => saving.plan?.peakBytes as number))];
    const expected = (await free.run(call)).images as NdArray;
    free.dispose();
    const said: string[] = [];
    let least = 0;
    // What it takes with nothing saved, with offload, with a streamed UNet, with all there is, and less than any leaves.
    const [none, offload, streamed, ...more] = peaks;
    const last = more.at(-1) as number;
    for (const maxBytes of [none, offload, streamed, last, last - 1]) {
      const pipeline = await openPipeline(FOLDER, {
        gpu: device.gpu,
        maxBytes,
        onWarning: message => said.push(message),
      });
      const plan = await pipeline.plan(call).catch(() => undefined);
      device.counter.resetPeak();
      const images = await pipeline.run(call).then(
        output => output.images as NdArray,
        (error: Error) => error.message,
      );
      pipeline.dispose();
      if (typeof images === 'string') {
        expect(images).toContain(`at most ${maxBytes} bytes`);
        expect(device.counter.peakBytes, 'refused before anything was made').toBe(0);
        expect(maxBytes).toBe(last - 1);
        continue;
      }
      expect(device.counter.peakBytes).toBe(plan?.peakBytes);
      expect(device.counter.peakBytes).toBeLessThanOrEqual(maxBytes);
      expect(images).toEqual(expected);
      least = device.counter.peakBytes;
    }
    expect(least).toBe(last);
    expect(said.map(line => line.replace(/^.*?: /, ''))).toEqual([
      'one picture at a time through the VAE, one network at a time on the device.',
      "one picture at a time through the VAE, one network at a time on the device, the UNet's weights streamed.",
      expect.stringMatching(
        /the UNet's weights streamed, the text encoder's weights streamed,.* of the UNet's rows at once\.$/,
      ),
    ]);
  });
});

test('prompts alone keep within maxBytes too, with the same bits, or are refused before anything is made', async () => {
  const sentences = ['a bowl of fruits', 'a bowl of lemons'];
  const options = { gpu: device.gpu, stagingBytes: 2 ** 14 };
  const free = await openPipeline(FOLDER, { ...options, loadWhenNeeded: true });
  device.counter.resetPeak();
  const expected = await free.encodePrompt(sentences);
  const all = device.counter.peakBytes;
  free.dispose();
  for (const maxBytes of [Math.floor(0.8 * all), 2 ** 16]) {
    const said: string[] = [];
    const pipeline = await openPipeline(FOLDER, { ...options, maxBytes, onWarning: message => said.push(message) });
    device.counter.resetPeak();
    const encoded = pipeline.encodePrompt(sentences);
    if (maxBytes === 2 ** 16)
      await expect(encoded).rejects.toThrow(/at most 65536 bytes.*\(maxBytes\)\..*fewer prompts/);
    else {
      expect(await encoded).toEqual(expected);
      expect(said).toEqual([
        expect.stringMatching(/one network at a time on the device, the text encoder's weights streamed\.$/),
      ]);
    }
    expect(device.counter.peakBytes).toBeLessThanOrEqual(maxBytes === 2 ** 16 ? 0 : maxBytes);
    pipeline.dispose();
  }
});

test('with memory for all programs the next call of the same sizes compiles nothing', async () => {
  const pipeline = await openPipeline(FOLDER, { gpu: device.gpu, maxBytes: 1e9 });
  const { images: first } = await pipeline.run(run);
  device.counter.take();
  const { images: second } = await pipeline.run(run);
  const { bindGroups, pipelines } = device.counter.take();
  // The map's threshold is a program for one use.
  expect([bindGroups, pipelines]).toEqual([1, 0]);
  expect(second).toEqual(first);
  await pipeline.run({ ...run, numImagesPerPrompt: 2 });
  expect(device.counter.take().bindGroups).toBeGreaterThan(0);
  pipeline.dispose();
});

describe('what cannot be done is refused before anything is done', () => {
  const image = { width: 512, height: 512, data: new Uint8Array(3 * 512 ** 2) };
  const large = { sourcePrompt: SOURCE, targetPrompt: TARGET, image, seed: 0 };
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
    const pipeline = await openPipeline(FOLDER, { gpu: device.gpu, loadWhenNeeded: true });
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
      const options = { gpu: device.gpu, ...quiet, ...open };
      const t5 = await T5ForConditionalGeneration.fromPretrained(repositoryFolder('models/orchard/t5'), options);
      const plan = await t5.plan('a bowl of pears', settings);
      device.counter.resetPeak();
      await t5.generate('a bowl of pears', settings);
      expect(device.counter.peakBytes).toBe(plan.peakBytes);
      t5.dispose();
      const blip = await BlipForConditionalGeneration.fromPretrained(repositoryFolder('models/orchard/blip'), options);
      const caption = await blip.plan(picture2, settings);
      device.counter.resetPeak();
      await blip.generate(picture2, settings);
      expect(device.counter.peakBytes).toBe(caption.peakBytes);
      blip.dispose();
      expect(device.counter.liveBytes).toBe(0);
    });
});

test('a machine with too little memory left is asked before the first phase', async () => {
  let left = 2 ** 29;
  const room = vi.spyOn(device.gpu.memory, 'room', 'get').mockImplementation(() => left);
  const told: string[] = [];
  const options = { gpu: device.gpu, loadWhenNeeded: true, onProgress: (e: { phase: string }) => told.push(e.phase) };
  const pipeline = await openPipeline(FOLDER, options);
  left = (await pipeline.plan(run)).peakBytes - 1;
  await expect(pipeline.run(run)).rejects.toThrow(/the machine has too little memory left: .* for the whole call/);
  expect([told, pipeline.bytes]).toEqual([[], 0]);
  left++;
  await pipeline.run(run);
  pipeline.dispose();
  room.mockRestore();
});

test('a plan is ended while it is made, even where nothing is awaited', async () => {
  const pipeline = await openPipeline(FOLDER, { gpu: device.gpu, loadWhenNeeded: true });
  const ending = new AbortController();
  const reason = new Error('enough');
  setTimeout(() => ending.abort(reason), 1);
  await expect(pipeline.planSavings({ ...run, signal: ending.signal })).rejects.toBe(reason);
  const later = new AbortController();
  const long = pipeline.plan({ ...run, inversionRounds: 1e9, signal: later.signal });
  setTimeout(() => later.abort(reason), 300);
  await expect(long).rejects.toBe(reason);
  pipeline.dispose();
});
