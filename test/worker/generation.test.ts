/** The pipelines that make pictures in a worker, over a channel of messages in one thread: they are what they are without one. */
import { afterEach, expect, expectTypeOf, it, vi } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import type { ImageToImagePipeline } from '../../src/pipeline/image-generation/image-to-image.ts';
import { InpaintPipeline } from '../../src/pipeline/image-generation/inpaint.ts';
import type { TextToImagePipeline } from '../../src/pipeline/image-generation/text-to-image.ts';
import { DDIMScheduler, EulerAncestralDiscreteScheduler, Generator } from '../../src/schedulers/index.ts';
import {
  createWorkerPipeline,
  WorkerImageToImagePipeline,
  WorkerInpaintPipeline,
  WorkerPipeline,
  WorkerTextToImagePipeline,
} from '../../src/worker/index.ts';
import { repositoryFolder } from '../support/captioner.ts';
import { texture } from '../support/dummies.ts';
import { testGpu } from '../support/gpu.ts';
import { workersOfTests } from '../support/stand-in-worker.ts';

const { served } = workersOfTests();
const gpu = await testGpu();
const folder = repositoryFolder('test/golden/sd1/model');
const quiet = { onWarning: () => {} };

afterEach(() => vi.restoreAllMocks());

/** A worker on the tests' device, and what counts how often it gave that back. */
function worker() {
  const given = vi.spyOn(gpu, 'dispose').mockImplementation(() => undefined);
  return { port: served({ requestGpu: async () => gpu }), given };
}

const image = texture(16, 24, 0);
const text = { prompt: 'a bowl of fruits', numInferenceSteps: 3, height: 16, width: 24 };
const few = { ...text, outputType: 'latent' } as const;
const seeded = () => ({ ...few, generator: new Generator(3) });

it('have every method of those in a page, and the same arguments', () => {
  type Own = 'as' | 'gpu' | 'dispose' | 'scheduler' | 'enableFreeU' | 'loadIpAdapter';
  type Told<P> = {
    [K in Exclude<keyof P, Own>]: P[K] extends (...args: infer A) => infer R
      ? R extends Promise<unknown> | AsyncGenerator<unknown, unknown>
        ? P[K]
        : (...args: A) => Promise<R>
      : P[K];
  };
  expectTypeOf<WorkerTextToImagePipeline>().toExtend<Told<TextToImagePipeline>>();
  expectTypeOf<WorkerImageToImagePipeline>().toExtend<Told<ImageToImagePipeline>>();
  expectTypeOf<WorkerInpaintPipeline>().toExtend<Told<InpaintPipeline>>();
});

it('inpaint by the mask that DiffEdit found in the same worker, with a sampler of the page, as without a worker', async () => {
  const { port, given } = worker();
  const here = await DiffEditPipeline.fromPretrained(folder, { gpu, ...quiet });
  const there = await createWorkerPipeline(folder, { worker: port, ...quiet });
  const find = { image, sourcePrompt: 'a bowl', targetPrompt: 'a pear', numInferenceSteps: 3, numMapsPerMask: 1 };
  const sampler = { scheduler: new EulerAncestralDiscreteScheduler(here.scheduler.config) };
  const results: unknown[] = [];
  for (const inpaint of [await here.as(InpaintPipeline, sampler), await there.as(WorkerInpaintPipeline, sampler)]) {
    const finder = inpaint instanceof InpaintPipeline ? here : there;
    const { mask } = await finder.generateMask({ ...find, generator: new Generator(1) });
    const generator = new Generator(3);
    const { images } = await inpaint.generate({ ...text, image, maskImage: mask, generator });
    results.push({ mask, images, next: generator.randn([2]), bytes: inpaint.bytes });
    if (inpaint instanceof WorkerInpaintPipeline) {
      expect(inpaint.schedulerConfig['_class_name']).toBe('EulerAncestralDiscreteScheduler');
      expect([inpaint.vaeScaleFactor, inpaint.defaultSize]).toEqual([there.vaeScaleFactor, there.defaultSize]);
      inpaint.dispose();
      await expect(there.generateMask(find)).rejects.toThrow(/the model was disposed/);
      there.dispose();
    }
  }
  expect(results[1]).toEqual(results[0]);
  await vi.waitFor(() => expect(given).toHaveBeenCalledTimes(1));
  here.dispose();
});

it('wait for what callbackOnStepEnd answers, step when they are asked to, and end by what it throws', async () => {
  const { port } = worker();
  const pipe = await WorkerTextToImagePipeline.fromPretrained(folder, { worker: port, ...quiet });
  const plain = (await pipe.generate(seeded())).images as NdArray;
  const given: NdArray = { data: new Float32Array(plain.data.length).fill(0.25), shape: plain.shape };
  const seen: unknown[] = [];
  const changed = await pipe.generate({
    ...seeded(),
    async callbackOnStepEnd(step, timestep, { latents }) {
      seen.push([step, timestep, (await latents()).shape]);
      if (step === 2) return { latents: given };
      return undefined;
    },
  });
  expect(seen.map(row => (row as unknown[])[0])).toEqual([0, 1, 2]);
  expect(changed.images).toEqual(given);
  expect(given.data.length).toBe(plain.data.length);
  const thrown = new Error('enough');
  const ended = pipe.generate({
    ...seeded(),
    callbackOnStepEnd: () => {
      throw thrown;
    },
  });
  expect(await ended.catch((error: unknown) => error)).toBe(thrown);
  const steps = pipe.generateSteps(seeded());
  const phases: string[] = [];
  for await (const { phase } of steps) phases.push(phase);
  expect(phases).toEqual(['generate', 'generate', 'generate']);
  const latents = await pipe.encodeImages(image);
  expect(latents.shape).toEqual([1, 4, 16 / pipe.vaeScaleFactor, 24 / pipe.vaeScaleFactor]);
  const [decoded] = await pipe.decodeLatents(latents);
  expect([decoded?.width, decoded?.height]).toEqual([24, 16]);
  const image2image = await pipe.as(WorkerImageToImagePipeline, {
    scheduler: DDIMScheduler.fromConfig(pipe.schedulerConfig),
  });
  await expect(image2image.generate({ ...few, image: texture(16, 24, 1), strength: 2 } as never)).rejects.toThrow(
    /strength/,
  );
  await expect(pipe.as(WorkerInpaintPipeline, { steps: 3 } as never)).rejects.toThrow(/no such argument: got steps/);
  await expect(pipe.as(WorkerPipeline as never)).rejects.toThrow('as: an argument of another kind');
  pipe.dispose();
});

it('plan a call as in a page, and draw nothing from its generator', async () => {
  const { port } = worker();
  const here = await InpaintPipeline.fromPretrained(folder, { gpu, loadWhenNeeded: true, ...quiet });
  const there = await WorkerInpaintPipeline.fromPretrained(folder, { worker: port, loadWhenNeeded: true, ...quiet });
  const generator = new Generator(3);
  const call = { ...text, image, maskImage: { ...image, data: image.data.map(() => 255) }, generator };
  expect(await there.plan(call)).toEqual(await here.plan(call));
  expect(await there.planSavings(call)).toEqual(await here.planSavings(call));
  expect(generator.getState()).toEqual(new Generator(3).getState());
  there.dispose();
  here.dispose();
});

it('are held once by the worker, however often a page asks for them', async () => {
  const { port } = worker();
  const pipe = await WorkerTextToImagePipeline.fromPretrained(folder, { worker: port, ...quiet });
  const told = vi.spyOn(port, 'postMessage');
  const numberOf = async (other: { getActiveAdapters(): Promise<string[]> }): Promise<unknown> => {
    await other.getActiveAdapters();
    const [{ args }] = told.mock.calls.at(-1) as unknown as [{ args: unknown[] }];
    return args[0];
  };
  const euler = { scheduler: EulerAncestralDiscreteScheduler.fromConfig(pipe.schedulerConfig) };
  const first = await numberOf(await pipe.as(WorkerInpaintPipeline));
  const drawing = await pipe.as(WorkerInpaintPipeline, euler);
  expect(await numberOf(await (await pipe.as(WorkerImageToImagePipeline)).as(WorkerInpaintPipeline))).toBe(first);
  expect(await numberOf(await drawing.as(WorkerInpaintPipeline))).toBe(await numberOf(drawing));
  expect(await numberOf(drawing)).not.toBe(first);
  expect(await numberOf(pipe)).not.toBe(first);
  pipe.dispose();
});

it('open a checkpoint in one file, or say why not, in the words of the pipeline', async () => {
  const { port } = worker();
  for (const kind of [WorkerTextToImagePipeline, WorkerImageToImagePipeline, WorkerInpaintPipeline]) {
    const name = kind.name.replace('Worker', '');
    const options = { worker: port, variant: 'fp16', ...quiet };
    await expect(kind.fromSingleFile(new Blob(['{}']), options)).rejects.toThrow(
      new RegExp(`^${name}.fromSingleFile: .*variant`),
    );
    await expect(kind.fromSingleFile(new Blob(['no checkpoint']), { worker: port, ...quiet })).rejects.toThrow(
      /^safetensors: a text in place of the file/,
    );
  }
});
