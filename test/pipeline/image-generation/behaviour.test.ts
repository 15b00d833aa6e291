/** Pipelines that make pictures: what they share, what a loop does on the device, how calls end, and what is refused. */
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { NdArray } from '../../../src/core/ndarray.ts';
import { postprocessImage } from '../../../src/io/postprocess.ts';
import { DiffEditPipeline } from '../../../src/pipeline/diffedit/pipeline.ts';
import { ImageToImagePipeline } from '../../../src/pipeline/image-generation/image-to-image.ts';
import { InpaintPipeline } from '../../../src/pipeline/image-generation/inpaint.ts';
import { TextToImagePipeline } from '../../../src/pipeline/image-generation/text-to-image.ts';
import type { TextToImageArgs } from '../../../src/pipeline/image-generation/types.ts';
import type { ProgressEvent } from '../../../src/pipeline/runtime/progress.ts';
import {
  DPMSolverMultistepScheduler,
  EulerAncestralDiscreteScheduler,
  Generator,
  PNDMScheduler,
} from '../../../src/schedulers/index.ts';
import { WorkerInpaintPipeline } from '../../../src/worker/index.ts';
import { repositoryFolder } from '../../support/captioner.ts';
import { maxError } from '../../support/close.ts';
import { type Counts, countDevice } from '../../support/counting.ts';
import { texture } from '../../support/dummies.ts';
import { memoryFolder } from '../../support/folder.ts';
import { grey, modelFolder } from '../../support/generation.ts';
import { loadGolden } from '../../support/golden.ts';
import { freshGpu } from '../../support/gpu.ts';
import { picture as goldenPicture, openPipeline } from '../../support/pipeline.ts';

const gpu = await freshGpu();
const counter = countDevice(gpu);
afterAll(() => gpu.dispose());

const folder = repositoryFolder('test/golden/sd1/model');
const opened: { dispose(): void }[] = [];
afterEach(() => {
  for (const pipeline of opened.splice(0)) pipeline.dispose();
});
async function open(more: object = {}): Promise<TextToImagePipeline> {
  const pipeline = await TextToImagePipeline.fromPretrained(folder, { gpu, onWarning: () => {}, ...more });
  opened.push(pipeline);
  return pipeline;
}

const args = (more: TextToImageArgs = {}): TextToImageArgs => ({
  ...{ prompt: 'a bowl of fruits', numInferenceSteps: 4, guidanceScale: 6, height: 16, width: 24 },
  ...{ generator: new Generator(3), outputType: 'latent' },
  ...more,
});
const latentsOf = async (pipeline: TextToImagePipeline, more: TextToImageArgs = {}): Promise<Float32Array> =>
  ((await pipeline.generate(args(more))).images as NdArray).data;
const picture = { image: texture(16, 24, 0), prompt: 'a bowl of fruits', numInferenceSteps: 4 };

describe('several pipelines of one model', () => {
  it('share the weights on the device and make what each makes alone', async () => {
    const edit = await openPipeline('test/golden/sd1/model', { gpu });
    opened.push(edit);
    const { bytes } = edit;
    const text = await edit.as(TextToImagePipeline);
    const inpaint = await text.as(InpaintPipeline, { scheduler: new PNDMScheduler(text.scheduler.config) });
    const image = await inpaint.as(ImageToImagePipeline, { scheduler: text.scheduler });
    expect([text.bytes, inpaint.bytes, image.bytes]).toEqual([bytes, bytes, bytes]);
    expect(inpaint.scheduler).toBeInstanceOf(PNDMScheduler);
    const { mask } = await edit.generateMask({
      ...{ image: picture.image, sourcePrompt: 'a bowl', targetPrompt: 'a pear', generator: new Generator(1) },
      ...{ numMapsPerMask: 1, numInferenceSteps: 4 },
    });
    const masked = await inpaint.generate({ ...picture, maskImage: mask, height: 16, width: 24 });
    expect(masked.images[0]).toMatchObject({ width: 24, height: 16 });
    const own = await latentsOf(text);
    expect(await latentsOf(await open())).toEqual(own);
    await image.generate({ ...picture });
    expect(await latentsOf(text)).toEqual(own);
  });

  it('work one at a time, and end together', async () => {
    const text = await open();
    const image = await text.as(ImageToImagePipeline);
    const working = text.generate(args());
    await expect(image.generate({ ...picture })).rejects.toThrow('the pipeline is busy');
    await working;
    image.dispose();
    await expect(text.generate(args())).rejects.toThrow('the pipeline was disposed');
  });

  it('take no pipeline whose network is another', async () => {
    const inpaint = await InpaintPipeline.fromPretrained(await modelFolder('sd1-inpainting'), { gpu });
    opened.push(inpaint);
    await expect(inpaint.as(TextToImagePipeline)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[InputError: as(TextToImagePipeline): the UNet also takes a mask and a masked picture: expected 4, got 9. Only InpaintPipeline gives it these.]`,
    );
    await expect(inpaint.as(InpaintPipeline, { schedule: 1 } as object)).rejects.toThrow('scheduler');
    await expect(inpaint.as(InpaintPipeline, { scheduler: {} as never })).rejects.toThrow('not a scheduler');
    for (const kind of [undefined, DiffEditPipeline, 'InpaintPipeline'])
      await expect(inpaint.as(kind as never)).rejects.toThrow('as: an argument of another kind: expected a class such');
    await expect(inpaint.as(WorkerInpaintPipeline as never)).rejects.toThrow('expected a pipeline in a worker');
    await expect(InpaintPipeline.over({}, inpaint.scheduler)).rejects.toThrow('not a model that is open');
  });
});

describe('the loop', () => {
  it.each([
    ['DDIM', undefined],
    ['DPM-Solver, which remembers', DPMSolverMultistepScheduler],
    ['ancestral Euler, which draws and scales', EulerAncestralDiscreteScheduler],
  ])('creates nothing and reads nothing back: %s', async (_, kind) => {
    const text = await open({ deviceRecovery: false }); // else the latents are copied to the host every few steps
    const pipe = kind
      ? await text.as(TextToImagePipeline, { scheduler: kind.fromConfig(text.scheduler.config) })
      : text;
    const counts: Counts[] = [];
    const steps = pipe.generateSteps(args({ numInferenceSteps: 6 }));
    for await (const { step } of steps) if (counts.push(counter.take()) && step === 5) break;
    for (const { buffers, bindGroups, pipelines, maps } of counts.slice(1))
      expect([buffers, bindGroups, pipelines, maps]).toEqual([0, 0, 0, 0]);
    expect(counts).toHaveLength(6);
  });

  it('tells callbacks of its steps, and goes on with what they return', async () => {
    const text = await open();
    const told: string[] = [];
    const seen: NdArray[] = [];
    const zeros = { data: new Float32Array(4 * 8 * 12), shape: [1, 4, 8, 12] };
    await text.generate(
      args({
        callbackSteps: 2,
        callback: (step, timestep) => void told.push(`${step} at ${timestep}`),
        callbackOnStepEnd: async (step, _timestep, { latents }) => {
          seen.push(await latents());
          return step === 3 ? { latents: zeros } : undefined;
        },
      }),
    );
    expect(told).toEqual(['0 at 751', '2 at 251']);
    expect(seen).toHaveLength(4);
    const last = await latentsOf(text, { callbackOnStepEnd: step => (step === 3 ? { latents: zeros } : undefined) });
    expect(last).toEqual(zeros.data);
    const early = await latentsOf(text, { callbackOnStepEnd: step => (step === 1 ? { latents: seen[1] } : undefined) });
    expect(early).toEqual(seen[3].data);
    const bad = { data: new Float32Array(2), shape: [2] };
    await expect(text.generate(args({ callbackOnStepEnd: () => ({ latents: bad }) }))).rejects.toThrow(
      'callbackOnStepEnd',
    );
    const broken = { ...zeros, data: new Float32Array(zeros.data.length).fill(Number.NaN) };
    const answer = (step: number) => (step === 3 ? { latents: broken } : undefined);
    await expect(text.generate(args({ callbackOnStepEnd: answer }))).rejects.toThrow('not finite (callbackOnStepEnd)');
    await expect(text.decodeLatents(broken)).rejects.toThrow('decodeLatents: latents hold values');
  });

  it('ends by its signal and leaves the pipeline usable', async () => {
    const text = await open();
    const expected = await latentsOf(text);
    const [stop, reason] = [new AbortController(), new Error('enough')];
    const callback = (step: number) => void (step === 1 && stop.abort(reason));
    await expect(text.generate(args({ signal: stop.signal, callback }))).rejects.toBe(reason);
    expect(await latentsOf(text)).toEqual(expected);
  });

  it.each([
    ['goes on behind the last kept step', undefined],
    ['begins again where the sampler remembers', DPMSolverMultistepScheduler],
  ])('on a device that is lost %s, with the same numbers', async (_, kind) => {
    const text = await open({ deviceRecovery: { keepEvery: 2 }, onDeviceLoss: () => {} });
    const pipe = kind
      ? await text.as(TextToImagePipeline, { scheduler: kind.fromConfig(text.scheduler.config) })
      : text;
    const more = { numInferenceSteps: 6, eta: 0.5 };
    const zeros = { data: new Float32Array(4 * 8 * 12).fill(0.5), shape: [1, 4, 8, 12] };
    const callbackOnStepEnd = (step: number) => (step === 1 ? { latents: zeros } : undefined);
    const expected = await latentsOf(pipe, { ...more, callbackOnStepEnd });
    let lost = false;
    const onProgress = ({ phase, step }: ProgressEvent) => {
      if (lost || phase !== 'generate' || step !== 4) return;
      lost = true;
      gpu.device.destroy();
    };
    const steps: number[] = [];
    const callback = (step: number) => void steps.push(step);
    expect(await latentsOf(pipe, { ...more, callback, callbackOnStepEnd, onProgress })).toEqual(expected);
    expect([lost, steps]).toEqual([true, [0, 1, 2, 3, 4, 5]]);
  });
});

describe('weights', () => {
  it('that leave the device between networks, or stream, give the same bits', async () => {
    const expected = await latentsOf(await open());
    expect(await latentsOf(await open({ modelCpuOffload: true }))).toEqual(expected);
    expect(await latentsOf(await open({ streamWeights: { slotBytes: 1 << 16 } }))).toEqual(expected);
  });
});

describe('the way to latents and back', () => {
  it('is what the autoencoder of diffusers says', async () => {
    const golden = loadGolden('sd1');
    const pipe = await open();
    const scaling = 0.18215;
    const times = ({ data, shape }: NdArray, by: number) => ({ data: Float32Array.from(data, v => v * by), shape });
    const { data, shape } = await pipe.encodeImages(goldenPicture(golden));
    const mean = golden.floats('vae.mean');
    expect(shape).toEqual(mean.shape);
    expect(maxError(data, times(mean, scaling).data)).toBeLessThan(1e-4);
    const [decoded] = await pipe.decodeLatents(times(golden.floats('vae.z'), scaling));
    const [wanted] = postprocessImage(golden.floats('vae.decoded'), 'pil');
    expect(maxError(decoded?.data ?? [], wanted?.data ?? [])).toBeLessThanOrEqual(1);
    await expect(pipe.encodeImages(golden.floats('vae.z'))).rejects.toThrow(/latents in place of pictures/);
    await expect(pipe.decodeLatents(mean.data as never)).rejects.toThrow(/not latents: expected \[N, 4, h, w\]/);
    await expect(pipe.decodeLatents(mean, { steps: 3 } as never)).rejects.toThrow(/no such argument/);
  });
});

describe('refused before any work', () => {
  it.each<[string, object, string]>([
    [
      'a height that no model makes',
      { height: 20 },
      'a side that the model cannot make: expected a multiple of 8, got 20 (height)',
    ],
    ['no prompt', { prompt: undefined }, 'neither prompt nor promptEmbeds was given'],
    ['an IP-Adapter', { ipAdapterImage: {} }, 'IP-Adapter is not built'],
    ['a control image', { controlImage: {} }, 'ControlNet is not built'],
    ['a second prompt', { prompt2: 'x' }, 'Stable Diffusion XL is not built'],
    ['a misspelt name', { guidancescale: 3 }, 'guidanceScale'],
    ['a picture', { image: 1 }, 'image'],
    [
      'latents of another size',
      { latents: { data: new Float32Array(4), shape: [1, 4, 1, 1] } },
      'latents of another shape',
    ],
    [
      'latents with a NaN',
      { latents: { data: new Float32Array(384).fill(Number.NaN, 383), shape: [1, 4, 8, 12] } },
      'generate: latents hold values that are not finite (latents). Pass latents of finite numbers.',
    ],
    ['two generators for one picture', { generator: [new Generator(1), new Generator(2)] }, 'generators'],
    ['timesteps that DDIM does not take', { timesteps: [900, 500] }, 'timesteps'],
    ['steps given twice', { timesteps: [900], sigmas: [1, 0] }, 'timesteps and sigmas were both given'],
    ['too many steps', { numInferenceSteps: 1001 }, '1000'],
    ['no steps', { numInferenceSteps: 0 }, 'numInferenceSteps'],
    ['a callback that is none', { callback: 5 }, 'not a function: expected a function, got 5 (callback)'],
    ['an answer that is no callback', { callbackOnStepEnd: {} }, '(callbackOnStepEnd)'],
    ['progress for nobody', { onProgress: 'log' }, 'not a function: expected a function, got "log" (onProgress)'],
    ['more fresh noise than a step has', { eta: 5 }, 'expected a number from 0 to 1, got 5 (eta)'],
  ])('%s', async (_, more, message) => {
    const pipe = await open({ loadWhenNeeded: true });
    await expect(pipe.generate(args(more))).rejects.toThrow(message);
    expect(pipe.bytes).toBe(0);
  });

  it.each<[string, object, string]>([
    ['no picture', { image: undefined }, 'no picture'],
    ['no mask', { maskImage: undefined }, 'no mask'],
    ['no strength', { strength: 0 }, 'leave no step'],
    ['too much of it', { strength: 1.5 }, 'strength out of range'],
    [
      'pictures that are no divisor of the results',
      { image: [0, 1, 2].map(p => texture(16, 24, p)) },
      'differ in number',
    ],
    [
      'a mask of numbers that is to be blurred',
      { maskImage: { data: new Float32Array(6), shape: [2, 3] }, maskBlur: 2 },
      'maskBlur',
    ],
    ['a black mask that is cropped', { maskImage: grey(16, 24, -9), paddingMaskCrop: 4 }, 'the mask is black'],
    [
      'a mask of another size that is cropped',
      { maskImage: grey(16, 20, 0), paddingMaskCrop: 4 },
      'mask and picture differ in size',
    ],
    [
      'a region of one line that is cropped',
      { image: texture(1, 400, 0), maskImage: grey(1, 400, 1), paddingMaskCrop: 4 },
      'generate: the masked region is too long and narrow for 24x16: got 400x1 (paddingMaskCrop). Cut a part of',
    ],
    ['numbers of what is cropped', { paddingMaskCrop: 4, outputType: 'np' }, "outputType 'pil'"],
    ['a height beside the model', { height: 17 }, 'a multiple of 2, got 17 (height)'],
  ])('%s, by inpainting', async (_, more, message) => {
    const pipe = await (await open({ loadWhenNeeded: true })).as(InpaintPipeline);
    const own = { ...picture, maskImage: grey(16, 24, 0), height: 16, width: 24, ...more };
    await expect(pipe.generate(own)).rejects.toThrow(message);
    expect(pipe.bytes).toBe(0);
  });

  it.each<[string, string, object, string]>([
    [
      'a folder with a ControlNet',
      'model_index.json',
      { controlnet: ['diffusers', 'ControlNetModel'] },
      'ControlNet is not built',
    ],
    [
      'a folder with a prior',
      'model_index.json',
      { prior_prior: ['diffusers', 'PriorTransformer'] },
      'a prior is not built',
    ],
    [
      'a sampler that nobody has',
      'scheduler/scheduler_config.json',
      { _class_name: 'HeunDiscreteScheduler' },
      'HeunDiscreteScheduler',
    ],
    ['a UNet that is told the guidance scale', 'unet/config.json', { time_cond_proj_dim: 256 }, 'time_cond_proj_dim'],
    ['a UNet for inpainting', 'unet/config.json', { in_channels: 9 }, 'conv_in'],
  ])('%s', async (_, path, fields, message) => {
    const changed = memoryFolder({ [path]: JSON.stringify({ ...JSON.parse(await folder.text(path)), ...fields }) });
    const own = {
      ...folder,
      has: async (name: string) => (await changed.has(name)) || folder.has(name),
      text: async (name: string) => ((await changed.has(name)) ? changed : folder).text(name),
    };
    await expect(
      open.call(null, {}).then(() => TextToImagePipeline.fromPretrained(own, { gpu, onWarning: () => {} })),
    ).rejects.toThrow(message);
  });

  it('a UNet for inpainting, by the pipelines that have no mask', async () => {
    const own = await modelFolder('sd1-inpainting');
    await expect(ImageToImagePipeline.fromPretrained(own, { gpu })).rejects.toThrow(
      'unet in_channels does not fit the other networks: expected 4, got 9',
    );
  });
});

it('old configs are corrected with a warning, as diffusers does', async () => {
  const told: string[] = [];
  const text = await open({ onWarning: (message: string) => told.push(message) });
  const old = PNDMScheduler.fromConfig(text.scheduler.config, { stepsOffset: 0, skipPrkSteps: false });
  const inpaint = await text.as(InpaintPipeline, { scheduler: old });
  expect(inpaint.scheduler.config).toMatchObject({ stepsOffset: 1, skipPrkSteps: true });
  expect(told).toEqual([
    "The scheduler's steps_offset is 0; 1 is used, as diffusers does.",
    "The scheduler's skip_prk_steps is false; true is used, as diffusers does.",
  ]);
});

it('prompts are encoded once, and their embeddings mean the same', async () => {
  const text = await open();
  const own = await latentsOf(text);
  const { promptEmbeds, negativePromptEmbeds } = await text.encodePrompt('a bowl of fruits');
  expect(await latentsOf(text, { prompt: undefined, promptEmbeds, negativePromptEmbeds })).toEqual(own);
  await expect(text.encodePrompt('a', { clipSkip: 9 })).rejects.toThrow('layers to skip');
  expect((await text.embedPrompts(['a', 'b'])).shape).toEqual([1, 77, 48]);
});

it('pictures come as images by default, several for a prompt', async () => {
  const text = await open();
  const { images } = await text.generate(args({ numImagesPerPrompt: 2, outputType: 'pil' }) as { outputType: 'pil' });
  expect(images.map(({ width, height }) => [width, height])).toEqual([
    [24, 16],
    [24, 16],
  ]);
});
