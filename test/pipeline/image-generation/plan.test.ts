/** Pipelines that make pictures: what a call takes is known before it, and a budget of device memory holds for all that share a model. */
import { describe, expect, it } from 'vitest';
import type { NdArray } from '../../../src/core/ndarray.ts';
import { ImageToImagePipeline } from '../../../src/pipeline/image-generation/image-to-image.ts';
import { InpaintPipeline } from '../../../src/pipeline/image-generation/inpaint.ts';
import type { GenerationOptions } from '../../../src/pipeline/image-generation/pretrained-options.ts';
import { TextToImagePipeline } from '../../../src/pipeline/image-generation/text-to-image.ts';
import type { InpaintArgs } from '../../../src/pipeline/image-generation/types.ts';
import type { CallPlan } from '../../../src/pipeline/runtime/memory-plan.ts';
import {
  DPMSolverMultistepScheduler,
  EulerAncestralDiscreteScheduler,
  Generator,
  PNDMScheduler,
} from '../../../src/schedulers/index.ts';
import { repositoryFolder } from '../../support/captioner.ts';
import { texture } from '../../support/dummies.ts';
import { grey, modelFolder, PIPELINES } from '../../support/generation.ts';
import { openPipeline } from '../../support/pipeline.ts';
import { countedDevice, expectPlanned } from '../../support/scene.ts';

const device = countedDevice();
const FULL = process.env['PENTIMENTO_FULL'] !== undefined;

const sides = { height: 16, width: 24 };
const few = { prompt: 'a bowl of fruits', numInferenceSteps: 2 };
const made = { ...few, ...sides, outputType: 'np' as const };
const image = texture(16, 24, 0);
const inputs = { image, maskImage: grey(16, 24, 0) };
const seeded = () => new Generator(3);

/** A call of any of the pipelines. */
interface Case {
  readonly kind?: keyof typeof PIPELINES;
  readonly model?: 'sd1' | 'sd1-inpainting';
  readonly options?: GenerationOptions;
  readonly sampler?: { fromConfig(config: object): NonNullable<GenerationOptions['scheduler']> };
  readonly args?: Partial<InpaintArgs>;
  readonly daily?: boolean;
}

async function open({ kind = 'text', model = 'sd1', options = {}, sampler }: Case): Promise<TextToImagePipeline> {
  const quiet = { gpu: device.gpu, onWarning: () => {} };
  const opened = (await PIPELINES[kind].fromPretrained(await modelFolder(model), {
    ...quiet,
    ...options,
  })) as TextToImagePipeline;
  if (!sampler) return opened;
  return opened.as(PIPELINES[kind] as typeof TextToImagePipeline, {
    scheduler: sampler.fromConfig(opened.scheduler.config),
  });
}

const argumentsOf = ({ kind = 'text', args = {} }: Case) => ({
  ...(kind === 'image' ? { ...few, outputType: 'np' as const, image } : made),
  ...(kind === 'inpaint' ? inputs : {}),
  ...args,
});

describe('a plan is what a call then takes, to the byte', () => {
  const offload = { modelCpuOffload: true };
  const half = { dtype: 'float16' } as const;
  const cases: Readonly<Record<string, Case>> = {
    text: {},
    'text, no guidance': { args: { guidanceScale: 1 } },
    'text, rescaled guidance, latents only': { args: { guidanceRescale: 0.7, outputType: 'latent' } },
    'text, two prompts, several of each, layers skipped': {
      args: { prompt: ['a bowl', 'a pear'], numImagesPerPrompt: 2, clipSkip: 1 },
    },
    'text, weights when needed': { options: { loadWhenNeeded: true } },
    'text, streamed weights': { options: { ...offload, streamWeights: { slotBytes: 2 ** 14 } } },
    'text, a multistep sampler, halves': { options: half, sampler: DPMSolverMultistepScheduler, daily: true },
    'text, a sampler that draws and scales': { sampler: EulerAncestralDiscreteScheduler },
    'text, a sampler that begins anew': { sampler: PNDMScheduler, options: offload, args: { numInferenceSteps: 4 } },
    'image, halves': { kind: 'image', options: half },
    'image with strength, offloaded': {
      kind: 'image',
      options: offload,
      args: { strength: 0.5, numImagesPerPrompt: 2 },
      daily: true,
    },
    'image, as many as prompts, a multistep sampler': {
      kind: 'image',
      args: { image: [image, texture(16, 24, 1)], prompt: ['a bowl', 'a pear'] },
      sampler: DPMSolverMultistepScheduler,
    },
    inpaint: { kind: 'inpaint' },
    'inpaint with strength, cropped': {
      kind: 'inpaint',
      args: { strength: 0.5, paddingMaskCrop: 4, outputType: 'pil' },
    },
    'inpaint, 9 channels': { kind: 'inpaint', model: 'sd1-inpainting' },
    'inpaint, 9 channels, no guidance': {
      ...{ kind: 'inpaint', model: 'sd1-inpainting', options: half },
      ...{ args: { guidanceScale: 1, strength: 0.5 }, daily: true },
    },
  };
  const chosen = Object.entries(cases).filter(([, { daily }]) => FULL || daily);
  it.each(chosen)('%s', async (_, of) => {
    const pipeline = await open(of);
    const args = argumentsOf(of);
    const other = Array.isArray(args.prompt) ? {} : { negativePrompt: 'something else' };
    // From an untouched pipeline, then beside prompts that it remembers.
    for (const more of [{}, other]) {
      const all = { ...args, ...more };
      await expectPlanned(
        device,
        pipeline,
        () => pipeline.plan(all),
        () => pipeline.generate(all),
      );
    }
    pipeline.dispose();
    expect(device.counter.liveBytes).toBe(0);
  });
});

it('a plan reads nothing, allocates nothing, draws nothing and calls nobody', async () => {
  const told: string[] = [];
  const tell = (what: string) => () => void told.push(what);
  const pipeline = await open({
    ...{ kind: 'inpaint', sampler: EulerAncestralDiscreteScheduler },
    options: { loadWhenNeeded: true, onProgress: tell('progress') },
  });
  device.counter.take();
  const generator = seeded();
  const listeners = { callback: tell('callback'), callbackOnStepEnd: tell('step'), onProgress: tell('own progress') };
  const args = { ...argumentsOf({ kind: 'inpaint', args: { strength: 0.5 } }), ...listeners, generator };
  const plan = await pipeline.plan(args);
  await pipeline.planSavings({ ...args, generator: [generator] });
  expect(device.counter.take()).toEqual({ buffers: 0, bindGroups: 0, pipelines: 0, maps: 0, submits: 0 });
  expect(told).toEqual([]);
  expect(pipeline.bytes).toBe(0);
  expect(generator.getState()).toEqual(seeded().getState());
  expect(plan.phases.map(({ phase }) => phase)).toEqual(['load', 'text', 'encode', 'generate', 'decode']);
  pipeline.dispose();
});

it('a plan is refused as the call would be', async () => {
  const pipeline = await open({ options: { loadWhenNeeded: true } });
  for (const method of ['plan', 'planSavings'] as const) {
    await expect(pipeline[method](undefined as never)).rejects.toThrow(`${method}: arguments go by name`);
    await expect(pipeline[method]({ ...made, height: 15 })).rejects.toThrow(/height/);
    await expect(pipeline[method]({ ...made, generator: [seeded(), seeded()] })).rejects.toThrow(/generators/);
    await expect(pipeline[method]({ ...made, generator: 3 as never })).rejects.toThrow('not a generator');
    await expect(pipeline[method](made, { caps: {} as never })).rejects.toThrow('not the capabilities of a device');
  }
  pipeline.dispose();
  await expect(pipeline.plan(made)).rejects.toThrow('the pipeline was disposed');
});

it('bytes that are no count are refused, whichever pipeline is opened', async () => {
  const folder = repositoryFolder('test/golden/sd1/model');
  for (const kind of [TextToImagePipeline, ImageToImagePipeline, InpaintPipeline])
    await expect(kind.fromPretrained(folder, { gpu: device.gpu, maxBytes: 0.5 })).rejects.toThrow(
      `${kind.name}.fromPretrained: not a count: expected a whole number >= 1, got 0.5 (maxBytes)`,
    );
});

it('without a budget the next call of the same sizes compiles nothing where no other network has worked', async () => {
  const pipeline = await open({});
  const call = { ...made, outputType: 'latent' as const };
  await pipeline.generate(call);
  device.counter.take();
  await pipeline.generate(call);
  const { bindGroups, pipelines } = device.counter.take();
  expect([bindGroups, pipelines]).toEqual([0, 0]);
  await pipeline.generate({ ...call, width: 16 });
  expect(device.counter.take().bindGroups).toBeGreaterThan(0);
  pipeline.dispose();
});

describe('maxBytes', () => {
  it('keeps a call within its bytes, by more savings the fewer there are, with the same bits', async () => {
    const call = () => ({ ...made, numImagesPerPrompt: FULL ? 2 : 1, generator: seeded() });
    const common = { stagingBytes: 2 ** 14 }; // else what a tiny model keeps would not fit while it comes
    const free = await open({ options: { ...common, loadWhenNeeded: true } });
    const savings = await free.planSavings(call());
    const expected = (await free.generate(call())).images as NdArray;
    free.dispose();
    const planOf = (what: RegExp) => savings.find(({ savings: name }) => what.test(name))?.plan as CallPlan;
    const peaks = savings.map(({ plan }) => plan?.peakBytes as number);
    const [none, last] = [peaks[0] as number, Math.min(...peaks)];
    const [offloaded, streamed] = [planOf(/one network/), planOf(/UNet's weights/)];
    const said: string[] = [];
    for (const maxBytes of FULL ? [none, offloaded.peakBytes, streamed.peakBytes, last] : [last]) {
      const onWarning = (message: string) => void said.push(message);
      const pipeline = await open({ options: { ...common, maxBytes, onWarning } });
      const plan = FULL ? await pipeline.plan(call()) : { peakBytes: last };
      device.counter.resetPeak();
      expect((await pipeline.generate(call())).images).toEqual(expected);
      expect(device.counter.peakBytes).toBe(plan.peakBytes);
      expect(device.counter.peakBytes).toBeLessThanOrEqual(maxBytes);
      pipeline.dispose();
    }
    const slicing = 'one picture at a time through the VAE, one network at a time on the device';
    expect(said.map(line => line.replace(/^.*?: /, ''))).toEqual([
      ...(FULL ? [`${slicing}.`, `${slicing}, the UNet's weights streamed.`] : []),
      expect.stringMatching(
        /the UNet's weights streamed, the text encoder's weights streamed,.* of the UNet's rows at once\.$/,
      ),
    ]);
    const loopOf = ({ phases }: CallPlan) => phases.find(({ phase }) => phase === 'generate')?.peakBytes as number;
    const looser = await open({ options: { ...common, maxBytes: streamed.peakBytes + 1e6 } });
    expect(loopOf(await looser.plan(call())), 'weights stay in what is left').toBeGreaterThan(loopOf(streamed));
    looser.dispose();
    if (!FULL) return; // less than any leaves, by one byte
    const tight = await open({ options: { ...common, maxBytes: last - 1 } });
    device.counter.resetPeak();
    await expect(tight.generate(call())).rejects.toThrow(`at most ${last - 1} bytes`);
    expect(device.counter.peakBytes, 'refused before anything was made').toBe(0);
    tight.dispose();
  });

  it('lets programs stay where there is memory for them', async () => {
    const pipeline = await open({ options: { maxBytes: 1e9 } });
    await pipeline.generate(made);
    device.counter.take();
    await pipeline.generate(made);
    const { bindGroups, pipelines } = device.counter.take();
    expect([bindGroups, pipelines]).toEqual([0, 0]);
    pipeline.dispose();
  });

  it('holds for every pipeline that has the model of one that was opened so', async () => {
    const call = () => ({ ...made, ...inputs, strength: 0.5, generator: seeded() });
    const free = await openPipeline('test/golden/sd1/model', { gpu: device.gpu, loadWhenNeeded: true });
    const unbound = await free.as(InpaintPipeline);
    const maxBytes = Math.floor((await unbound.plan(call())).peakBytes / 2);
    const expected = await unbound.generate(call());
    free.dispose();
    for (const most of [maxBytes, 2 ** 16]) {
      const said: string[] = [];
      const options = { gpu: device.gpu, maxBytes: most, onWarning: (line: string) => void said.push(line) };
      const edit = await openPipeline('test/golden/sd1/model', options);
      const bound = await (await edit.as(TextToImagePipeline)).as(InpaintPipeline);
      device.counter.resetPeak();
      const working = bound.generate(call());
      if (most < maxBytes) await expect(working).rejects.toThrow(/generate: .*at most 65536 bytes/);
      else expect(await working).toEqual(expected);
      expect(device.counter.peakBytes).toBeLessThanOrEqual(most < maxBytes ? 0 : maxBytes);
      expect(said.filter(line => line.startsWith('To stay within'))).toHaveLength(most < maxBytes ? 0 : 1);
      edit.dispose();
    }
  });

  it('holds for parts of the model, with the same bits', async () => {
    const latents = { data: seeded().randn([2, 4, 8, 12]), shape: [2, 4, 8, 12] };
    for (const make of [
      (pipe: TextToImagePipeline) => pipe.encodeImages([image, texture(16, 24, 1)]),
      (pipe: TextToImagePipeline) => pipe.decodeLatents(latents),
      (pipe: TextToImagePipeline) => pipe.encodePrompt('a bowl of fruits'),
    ]) {
      const alone = await open({ options: { loadWhenNeeded: true } });
      device.counter.resetPeak();
      const expected = await make(alone);
      const all = device.counter.peakBytes;
      alone.dispose();
      for (const maxBytes of [Math.floor(0.9 * all), 2 ** 12]) {
        const pipe = await open({ options: { maxBytes } });
        device.counter.resetPeak();
        if (maxBytes === 2 ** 12) await expect(make(pipe)).rejects.toThrow(/at most 4096 bytes.*\(maxBytes\)/);
        else expect(await make(pipe)).toEqual(expected);
        expect(device.counter.peakBytes).toBeLessThanOrEqual(maxBytes === 2 ** 12 ? 0 : maxBytes);
        pipe.dispose();
      }
    }
  });
});
