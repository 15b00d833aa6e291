/** What a page's listeners hear of a worker, what comes of what they throw, and a device that is lost there. */
import { afterAll, describe, expect, expectTypeOf, it, vi } from 'vitest';
import { mapFolder, memorySource } from '../../src/io/sources.ts';
import { urlFolder } from '../../src/io/url-source.ts';
import { cachedFolder } from '../../src/page.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import type { DeviceLossEvent } from '../../src/pipeline/runtime/device-recovery.ts';
import type { ProgressEvent } from '../../src/pipeline/runtime/progress.ts';
import { createWorkerPipeline, createWorkerPipelineFromSingleFile } from '../../src/worker/index.ts';
import { fakeStorage } from '../support/fake-storage.ts';
import { fileServer } from '../support/file-server.ts';
import { diskFolder } from '../support/folder.ts';
import { freshGpu } from '../support/gpu.ts';
import { shortRun } from '../support/scene.ts';
import { type Stand, workersOfTests } from '../support/stand-in-worker.ts';

const gpu = await freshGpu();
afterAll(() => gpu.dispose());
const { standIn, served } = workersOfTests();
const image = { width: 8, height: 8, data: new Uint8Array(192).fill(7) };
const prompts = { image, sourcePrompt: 'a', targetPrompt: 'b' };
const folder = mapFolder({ 'a.json': '{"a": 1}' }, 'mine');
const caught = (call: Promise<unknown>) =>
  call.then(
    () => 'nothing',
    (error: unknown) => error,
  );
const soon = () => new Promise(resume => setTimeout(resume, 5));

type Tell = (event: unknown) => void;
/** A model that tells of `events` pieces, and how many of them it came to. */
function telling(events: number) {
  const seen = { events: 0, ended: 0 };
  const model = (options: Stand): Stand => ({
    async run({ onProgress = options['onProgress'] }: Stand) {
      try {
        for (let i = 0; i < events; i++) {
          (onProgress as Tell)({ phase: 'edit', step: i, of: events });
          seen.events++;
          await soon();
        }
        return { images: ['done'] };
      } finally {
        seen.ended++;
      }
    },
  });
  return { seen, model };
}

describe('what a listener throws', () => {
  const mine = new RangeError('mine');
  const throwAt =
    (step: number, error: unknown = mine) =>
    (event: ProgressEvent): void => {
      if (event.step === step) throw error;
    };

  it('ends the call with that very object, soon, as without a worker; the next call is none the worse', async () => {
    const { model, seen } = telling(50);
    const pipe = await createWorkerPipeline(folder, { worker: standIn(model) });
    expect(await caught(pipe.run({ ...prompts, onProgress: throwAt(1) }))).toBe(mine);
    expect(seen.events).toBeLessThan(10);
    expect(seen.ended).toBe(1);
    expect((await pipe.run({ ...prompts, onProgress: () => undefined })).images).toEqual(['done']);
  });

  it.each([mine, 'words', null])('also %s, thrown at the last word', async error => {
    const { model } = telling(2);
    const pipe = await createWorkerPipeline(folder, { worker: standIn(model) });
    expect(await caught(pipe.run({ ...prompts, onProgress: throwAt(1, error) }))).toBe(error);
    expect((await pipe.run({ ...prompts, onProgress: () => undefined })).images).toEqual(['done']);
  });

  it('of the model’s own listener too, and of one that is async', async () => {
    const { model, seen } = telling(50);
    let armed = true;
    const onProgress = async ({ step }: ProgressEvent): Promise<void> => {
      if (armed && step === 2) throw mine;
    };
    const pipe = await createWorkerPipeline(folder, { worker: standIn(model), onProgress });
    expect(await caught(pipe.run(prompts))).toBe(mine);
    expect(seen.events).toBeLessThan(20);
    armed = false;
    expect((await pipe.run(prompts)).images).toEqual(['done']);
  });

  it('of a callback and of a listener of steps', async () => {
    const model = {
      async invert({ callback }: Stand) {
        await (callback as () => Promise<void>)();
      },
      async *editSteps({ onProgress }: Stand) {
        for (let step = 0; ; step++) {
          (onProgress as Tell)({ step });
          yield { step };
          await soon();
        }
      },
    };
    const pipe = await createWorkerPipeline(folder, { worker: standIn(() => model) });
    const callback = () => Promise.reject(mine);
    expect(await caught(pipe.invert({ image, prompt: 'a', callback }))).toBe(mine);
    const walk = async () => {
      for await (const { step } of pipe.editSteps({ onProgress: throwAt(3) } as never)) expect(step).toBeLessThan(6);
    };
    expect(await caught(walk())).toBe(mine);
  });

  it('as the model is opened', async () => {
    const worker = standIn(async ({ onProgress }) => {
      for (let step = 0; step < 50; step++) {
        (onProgress as Tell)({ phase: 'load', step, of: 50 });
        await soon();
      }
      return {};
    });
    expect(await caught(createWorkerPipeline(folder, { worker, onProgress: throwAt(4) }))).toBe(mine);
  });

  it('between calls is reported, as of any listener, and ends no call', async () => {
    let tell: Tell = () => undefined;
    const worker = standIn(({ onDeviceLoss }) => {
      tell = onDeviceLoss as Tell;
      return { run: async () => ({ images: ['done'] }) };
    });
    const reported = vi.spyOn(globalThis, 'queueMicrotask').mockImplementation(() => undefined);
    const onDeviceLoss = (): void => {
      throw mine;
    };
    const pipe = await createWorkerPipeline(folder, { worker, onDeviceLoss });
    tell({ state: 'lost' });
    await soon();
    expect(reported).toHaveBeenCalledTimes(1);
    expect(reported.mock.calls[0][0]).toThrow(mine);
    reported.mockRestore();
    expect((await pipe.run(prompts)).images).toEqual(['done']);
  });

  it('of a cache: it is no connection that broke', async () => {
    const server = await fileServer(new URL('../golden/sd1/model', import.meta.url).pathname);
    const read = async (worker: boolean): Promise<unknown> => {
      const onProgress = (): void => {
        throw mine;
      };
      const kept = cachedFolder(urlFolder(server.url), { ...(!worker && { root: fakeStorage() }), onProgress });
      if (!worker)
        return caught(kept.bytes('vae/diffusion_pytorch_model.safetensors').then(f => f.read(0, new Uint8Array(9))));
      // In the worker the storage is the browser's; of a stand-in the first thing that is read.
      const port = standIn(async (_, source) => {
        await source.bytes('model_index.json');
        return {};
      });
      return caught(createWorkerPipeline(kept, { worker: port }));
    };
    expect(await read(false)).toBe(mine);
    expect(server.asked.filter(({ path }) => path.includes('vae'))).toHaveLength(1);
    const storage = fakeStorage();
    vi.stubGlobal('navigator', { storage: { getDirectory: async () => storage } });
    expect(await read(true)).toBe(mine);
    vi.unstubAllGlobals();
    server.close();
  });
});

it('addresses are relative to the page, as texts, URLs and in caches', async () => {
  vi.stubGlobal('document', { baseURI: 'http://page.test/studio/index.html' });
  const labels: unknown[] = [];
  const worker = standIn((_, source, kind) => {
    labels.push(kind === 'single-file' ? source : source.label);
    return {};
  });
  await createWorkerPipeline(urlFolder('models/sd'), { worker });
  await createWorkerPipeline(urlFolder('/models/sd'), { worker });
  await createWorkerPipeline(cachedFolder(urlFolder('../models/sd')), { worker });
  await createWorkerPipelineFromSingleFile('models/a.safetensors', { worker });
  await createWorkerPipelineFromSingleFile(new URL('http://other.test/a.safetensors'), { worker });
  vi.unstubAllGlobals();
  expect(labels).toEqual([
    'http://page.test/studio/models/sd/',
    'http://page.test/models/sd/',
    'http://page.test/models/sd',
    'http://page.test/studio/models/a.safetensors',
    'http://other.test/a.safetensors',
  ]);
  await createWorkerPipelineFromSingleFile(memorySource(new Uint8Array(9), 'my bytes'), { worker });
  expect(labels.at(-1)).toMatchObject({ label: 'my bytes', byteLength: 9 });
});

describe('a device that is lost in a worker', () => {
  const source = diskFolder(new URL('../golden/sd1/model', import.meta.url).pathname);

  it('is told and renewed; the same comes out, in the same memory', async () => {
    expectTypeOf<NonNullable<Parameters<typeof createWorkerPipeline>[1]>>().toExtend<{
      onDeviceLoss?: ((event: DeviceLossEvent) => void) | undefined;
      deviceRecovery?: unknown;
    }>();
    const told: DeviceLossEvent[] = [];
    const onDeviceLoss = (event: DeviceLossEvent) => void told.push(event);
    const here = await DiffEditPipeline.fromPretrained(source, { gpu });
    const args = shortRun;
    const expected = (await here.run(args)).images;
    here.dispose();
    const worker = served({ requestGpu: async () => gpu });
    const recovering = { worker, onDeviceLoss, deviceRecovery: { attempts: 2, keepEvery: 1 } };
    const pipe = await createWorkerPipeline(source, recovering);
    const edit = async (phase?: string, step = 1) => {
      const onProgress = (e: ProgressEvent) => void (e.phase === phase && e.step === step && gpu.device.destroy());
      return (await pipe.run({ ...args, onProgress })).images;
    };
    expect(await edit('invert', 2)).toEqual(expected);
    expect(told).toEqual([
      { state: 'lost', reason: 'destroyed', message: expect.any(String), phase: expect.any(String) },
      { state: 'restored', reason: 'destroyed', message: expect.any(String), phase: undefined },
    ]);
    expect(await edit()).toEqual(expected);
    const flat = [pipe.bytes, gpu.memory.bytes];
    expect(await edit('edit', 1)).toEqual(expected);
    expect(await edit()).toEqual(expected);
    expect([pipe.bytes, gpu.memory.bytes]).toEqual(flat);
    const off = await createWorkerPipeline(source, { worker, deviceRecovery: false, onDeviceLoss: () => undefined });
    const losing = (e: ProgressEvent) => void (e.phase === 'mask' && e.step === 1 && gpu.device.destroy());
    expect(await caught(off.run({ ...args, onProgress: losing }))).toMatchObject({
      ...{ name: 'DeviceLostError', code: 'device', loss: { reason: 'destroyed' } },
    });
    await expect(createWorkerPipeline(source, { worker, deviceRecovery: { attempts: 0 } })).rejects.toThrow(
      /deviceRecovery.attempts/,
    );
    off.dispose();
    pipe.dispose();
  });
});
