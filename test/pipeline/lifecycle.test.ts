/** What happens when calls end early, meet each other, or are asked late. */

import { afterAll, describe, expect, test } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';
import { directory } from '../../src/node/files.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import type { Phase, ProgressEvent } from '../../src/pipeline/runtime/progress.ts';
import { DDIMScheduler } from '../../src/schedulers/index.ts';
import { maxError } from '../support/close.ts';
import { type Counter, countDevice } from '../support/counting.ts';
import { diskFolder } from '../support/folder.ts';
import { freshGpu } from '../support/gpu.ts';
import { openPipeline, seeded } from '../support/pipeline.ts';
import { image, shortInversion as inversion, shortRun as run } from '../support/scene.ts';

const gpu = await freshGpu();
const counter: Counter = countDevice(gpu);
afterAll(() => gpu.dispose());

const FOLDER = 'test/golden/sd1/model';
const open = (more: object = {}): Promise<DiffEditPipeline> => openPipeline(FOLDER, { gpu, ...more });

describe('an abort', () => {
  test.each(['load', 'text', 'encode', 'mask', 'invert', 'edit', 'decode'])(
    'ends a run in its phase %s',
    async phase => {
      const pipeline = await open({ modelCpuOffload: true });
      const [stop, reason] = [new AbortController(), new Error(`enough of ${phase}`)];
      // The last event of a phase: what follows it must look at the signal too.
      const onProgress = (e: ProgressEvent) => void (e.phase === phase && e.step === e.of && stop.abort(reason));
      await expect(pipeline.run({ ...run, signal: stop.signal, onProgress })).rejects.toBe(reason);
      expect(pipeline.bytes).toBe(0);
      expect(counter.liveBytes).toBe(0);
      pipeline.dispose();
    },
  );
});

test('an abort when the last weights have come ends the loading of a pipeline', async () => {
  const [stop, reason] = [new AbortController(), new Error('enough')];
  const onProgress = (e: ProgressEvent) => void (e.step === e.of && stop.abort(reason));
  await expect(open({ signal: stop.signal, onProgress })).rejects.toBe(reason);
  expect(counter.liveBytes).toBe(0);
});

describe('weights that may wait', () => {
  test('are read by the first call that needs them, then stay', async () => {
    const pipeline = await open({ loadWhenNeeded: true });
    expect([pipeline.bytes, counter.liveBytes]).toEqual([0, 0]);
    await expect(pipeline.invert({ ...inversion, numInferenceSteps: 1001 })).rejects.toThrow(
      'from 1 to 1000, got 1001',
    );
    expect([pipeline.bytes, counter.liveBytes]).toEqual([0, 0]);
    const phases: Phase[] = [];
    const onProgress = (e: ProgressEvent) => void phases.push(e.phase);
    const first = await pipeline.invert({ ...inversion, generator: seeded(0), onProgress });
    expect(phases.filter(phase => phase === 'load').length).toBeGreaterThanOrEqual(3);
    phases.length = 0;
    expect(await pipeline.invert({ ...inversion, generator: seeded(0), onProgress })).toEqual(first);
    expect(phases).not.toContain('load');
    const early = await open();
    expect((await early.invert({ ...inversion, generator: seeded(0) })).latents).toEqual(first.latents);
    for (const made of [pipeline, early]) made.dispose();
    expect(counter.liveBytes).toBe(0);
  });

  test('are not touched by a signal that is none', async () => {
    const pipeline = await open({ loadWhenNeeded: true });
    const signal = new AbortController() as unknown as AbortSignal;
    await expect(pipeline.run({ ...run, signal })).rejects.toThrow('run: this is no signal: expected an AbortSignal');
    await expect(open({ signal })).rejects.toThrow('DiffEditPipeline.fromPretrained: this is no signal');
    expect(counter.liveBytes).toBe(0);
    pipeline.dispose();
  });
});

describe('disposal', () => {
  const GONE = /^DeviceError: DiffEditPipeline: the pipeline was disposed during a call/;

  // Those of the prompts, the picture, keys and values, the steps.
  test.each([1, 2, 3, 4])('while plan %i of an inversion is compiled leaves nothing behind', async plan => {
    const pipeline = await open();
    const { createBuffer } = gpu.device;
    let plans = 0;
    gpu.device.createBuffer = descriptor => {
      if (descriptor.label === 'uniforms' && ++plans === plan) queueMicrotask(() => pipeline.dispose());
      return createBuffer(descriptor);
    };
    const error = await pipeline.invert(inversion).catch(String);
    gpu.device.createBuffer = createBuffer;
    expect(plans).toBe(plan);
    expect(error).toMatch(GONE);
    expect(pipeline.bytes).toBe(0);
    expect(counter.liveBytes).toBe(0);
  });

  test('while weights come from a file is told as such, not as a closed file', async () => {
    const folder = await directory(new URL(`../../${FOLDER}`, import.meta.url).pathname);
    const pipeline = await DiffEditPipeline.fromPretrained(folder, {
      gpu,
      modelCpuOffload: true,
      stagingBytes: 2 ** 16,
    });
    const onProgress = (e: ProgressEvent) => void (e.phase === 'load' && e.step < e.of && pipeline.dispose());
    expect(await pipeline.run({ ...run, onProgress }).catch(String)).toMatch(GONE);
    expect(pipeline.bytes).toBe(0);
    expect(counter.liveBytes).toBe(0);
  });

  test.each([false, true])('at any moment of a call frees everything (offloading: %s)', async modelCpuOffload => {
    // Ends after so many turns of the event loop: while weights load, plans compile, steps run.
    for (const turns of [0, 1, 3, 8, 20, 60]) {
      const pipeline = await open({ modelCpuOffload });
      const call = pipeline.invert(inversion);
      call.catch(() => {});
      for (let i = 0; i < turns; i++) await new Promise(setImmediate);
      pipeline.dispose();
      await expect(call, `${turns} turns`).rejects.toThrow(/disposed|left the device/);
      expect(pipeline.bytes, `${turns} turns`).toBe(0);
      expect(counter.liveBytes, `${turns} turns`).toBe(0);
    }
  });
});

describe('two pipelines', () => {
  test('may share a scheduler and run with other steps at the same time', async () => {
    const pipelines = [await open(), await open()];
    const [first] = pipelines;
    const scheduler = DDIMScheduler.fromConfig(first.scheduler.config);
    for (const p of pipelines) p.dispose();
    const shared = [await open({ scheduler }), await open({ scheduler })];
    const of = (p: DiffEditPipeline, numInferenceSteps: number) =>
      p.run({ ...run, numInferenceSteps, outputType: 'latent' as const });
    const alone = [await of(shared[0], 4), await of(shared[1], 10)];
    const together = await Promise.all([of(shared[0], 4), of(shared[1], 10)]);
    expect(together.map(r => r.images)).toEqual(alone.map(r => r.images));
    for (const p of shared) p.dispose();
  });
});

describe('readers of latents', () => {
  test('belong to their call: a later one does not answer them', async () => {
    const pipeline = await open();
    let late: (() => Promise<NdArray>) | undefined;
    const keep = (_: number, __: number, latents: () => Promise<NdArray>) => {
      late = latents;
    };
    await pipeline.invert({ ...inversion, callback: keep });
    await pipeline.invert({ ...inversion, prompt: 'a plate of lemons' });
    await expect(late?.()).rejects.toThrow('are gone');
    pipeline.dispose();
  });

  test('give copies: what a callback does to them changes nothing', async () => {
    const pipeline = await open();
    const spoil = async (_: number, __: number, latents: () => Promise<NdArray>) => void (await latents()).data.fill(9);
    for (const more of [{}, { numRegSteps: 1, guidanceScale: 1 }]) {
      const args = { ...inversion, ...more };
      const plain = await pipeline.invert({ ...args, generator: seeded(0) });
      const spoiled = await pipeline.invert({ ...args, generator: seeded(0), callback: spoil });
      expect(spoiled.latents).toEqual(plain.latents);
    }
    pipeline.dispose();
  });
});

describe('a run', () => {
  test('tells of its phases in order, with a time that grows', async () => {
    const pipeline = await open();
    const events: ProgressEvent[] = [];
    // Kernels are built in the middle of phases, and only once a device.
    const onProgress = (e: ProgressEvent) => void (e.phase === 'compile' || events.push(e));
    const { timings } = await pipeline.run({ ...run, onProgress });
    const phases = events.map(e => e.phase).filter((phase, i, all) => phase !== all[i - 1]);
    expect(phases).toEqual(['text', 'encode', 'mask', 'invert', 'edit', 'decode']);
    expect(Object.keys(timings)).toEqual(phases);
    for (const [i, e] of events.entries()) {
      const before = events[i - 1];
      if (before?.phase === e.phase) expect(e.ms).toBeGreaterThanOrEqual(before.ms);
      expect(e.step === 0).toBe(before?.phase !== e.phase); // a phase is told as it begins
      expect(timings[e.phase]).toBeGreaterThanOrEqual(e.ms);
    }
    pipeline.dispose();
  });

  test('counts compiling to its own phase, and loading weights to no other', async () => {
    const slow = 1500; // many times what a step of this model takes
    const wait = () => new Promise(done => setTimeout(done, slow));
    const own = await freshGpu(); // has compiled nothing yet
    const { device } = own;
    const compile = device.createComputePipelineAsync.bind(device);
    device.createComputePipelineAsync = async descriptor => {
      if (descriptor.label === 'mask-map') await wait();
      return compile(descriptor);
    };
    const disk = diskFolder(new URL(`../../${FOLDER}`, import.meta.url).pathname);
    let armed = false;
    const bytes = async (path: string) => {
      const file = await disk.bytes(path);
      const read = async (offset: number, into: Uint8Array) => {
        if (armed && path.startsWith('text_encoder')) await wait();
        if (path.startsWith('text_encoder')) armed = false;
        await file.read(offset, into);
      };
      return { ...file, read };
    };
    const pipeline = await DiffEditPipeline.fromPretrained({ ...disk, bytes }, { gpu: own, modelCpuOffload: true });
    armed = true;
    const events: ProgressEvent[] = [];
    const { timings } = await pipeline.run({ ...run, numInferenceSteps: 2, onProgress: e => events.push(e) });
    const first = (phase: Phase) => events.find(e => e.phase === phase && e.step > 0)?.ms;
    for (const phase of ['load', 'mask'] as const) {
      expect(first(phase), phase).toBeGreaterThan(slow - 10);
      expect(timings[phase], phase).toBeGreaterThan(slow - 10);
    }
    for (const phase of ['text', 'encode'] as const) {
      expect(first(phase), phase).toBeLessThan(slow - 10);
      expect(timings[phase], phase).toBeLessThan(slow - 10);
    }
    pipeline.dispose();
    own.dispose();
  });

  test('runs the UNet once a step, for both halves of guidance', async () => {
    const pipeline = await open();
    const dispatches: number[] = [];
    const { createCommandEncoder } = gpu.device;
    let count = 0;
    gpu.device.createCommandEncoder = (...args) => {
      const encoder = createCommandEncoder.apply(gpu.device, args);
      const begin = encoder.beginComputePass.bind(encoder);
      encoder.beginComputePass = (...more) => {
        const pass = begin(...more);
        const dispatch = pass.dispatchWorkgroups.bind(pass);
        pass.dispatchWorkgroups = (...size) => {
          count++;
          dispatch(...size);
        };
        return pass;
      };
      return encoder;
    };
    for (const guidanceScale of [1, 7.5]) {
      const steps: number[] = [];
      for await (const _ of pipeline.invertSteps({ ...inversion, guidanceScale })) {
        steps.push(count);
        count = 0;
      }
      dispatches.push(steps[1]);
      expect(steps[2]).toBe(steps[1]);
    }
    gpu.device.createCommandEncoder = createCommandEncoder;
    expect(dispatches[0]).toBeGreaterThan(100);
    // Doubling the latents for the two halves takes two copies.
    expect(dispatches[1] - dispatches[0]).toBeLessThanOrEqual(2);
    pipeline.dispose();
  });

  test('with mended quirks and nothing masked gives the latents that it began with', async () => {
    const pipeline = await open({ mendQuirks: true });
    const [height, width] = [image.height / pipeline.vaeScaleFactor, image.width / pipeline.vaeScaleFactor];
    const data = Float32Array.from({ length: 4 * height * width }, (_, i) => Math.sin(i));
    const clean = { data, shape: [1, 4, height, width] };
    const maskImage = { data: new Float32Array(height * width), shape: [height, width] };
    const { images } = await pipeline.run({ ...run, image: clean, maskImage, outputType: 'latent' });
    expect(maxError((images as NdArray).data, data)).toBe(0);
    pipeline.dispose();
  });

  test('warns once of a prompt that is too long, however often it is used', async () => {
    const warnings: string[] = [];
    const pipeline = await open({ onWarning: (line: string) => warnings.push(line) });
    await pipeline.run({ ...run, sourcePrompt: 'a bowl of fruits '.repeat(30) });
    expect(warnings.filter(line => line.includes('fruits'))).toHaveLength(1);
    pipeline.dispose();
  });
});
