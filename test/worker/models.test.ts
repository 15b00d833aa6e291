/** Models in a worker: the protocol against stand-ins, and the real pipeline, over a channel of messages in one thread. */
import { afterAll, afterEach, describe, expect, expectTypeOf, it, vi } from 'vitest';
import {
  DeviceError,
  InputError,
  LoadError,
  NumericsError,
  PentimentoError,
  ShapeError,
  WeightsError,
} from '../../src/core/errors.ts';
import type { NdArray } from '../../src/core/ndarray.ts';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import { OutOfMemoryError } from '../../src/gpu/out-of-memory.ts';
import { mapFolder, memorySource, readText } from '../../src/io/sources.ts';
import { urlFolder } from '../../src/io/url-source.ts';
import { cachedFolder, hubUrlFolder, StorageFullError } from '../../src/page.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import type { ProgressEvent } from '../../src/pipeline/runtime/progress.ts';
import type { BlipForConditionalGeneration } from '../../src/pipeline/text/blip.ts';
import type { T5ForConditionalGeneration } from '../../src/pipeline/text/t5.ts';
import { DDIMScheduler, Generator } from '../../src/schedulers/index.ts';
import {
  createWorkerCaptioner,
  createWorkerLanguageModel,
  createWorkerPipeline,
  errorFromJson,
  type PortLike,
  startWorker,
  type WorkerCaptioner,
  type WorkerLanguageModel,
  type WorkerPipeline,
} from '../../src/worker/index.ts';
import { serveModels } from '../../src/worker/serve.ts';
import { repositoryFolder } from '../support/captioner.ts';
import { testGpu } from '../support/gpu.ts';
import { type Stand, workersOfTests } from '../support/stand-in-worker.ts';

const { standIn } = workersOfTests();
const channels: MessageChannel[] = [];
afterEach(() => {
  for (const { port1, port2 } of channels.splice(0)) for (const port of [port1, port2]) port.close();
});

const image = { width: 8, height: 8, data: new Uint8Array(192).fill(7) };
const prompts = { image, sourcePrompt: 'a', targetPrompt: 'b' };
const folder = mapFolder({ 'a.json': '{"a": 1}' }, 'mine');

const open = (model: Stand) => createWorkerPipeline(folder, { worker: standIn(() => model) });

describe('a pipeline in a worker', () => {
  it('has every method of the one in a page, and the same arguments', () => {
    type Own = 'as' | 'gpu' | 'dispose' | 'scheduler' | 'inverseScheduler' | 'enableFreeU' | 'loadIpAdapter';
    type Face = Omit<DiffEditPipeline, Own>;
    type Told = {
      [K in keyof Face]: Face[K] extends (...args: infer A) => infer R
        ? R extends Promise<unknown> | AsyncGenerator<unknown, unknown>
          ? Face[K]
          : (...args: A) => Promise<R>
        : Face[K];
    };
    expectTypeOf<WorkerPipeline>().toExtend<Told>();
    expectTypeOf<WorkerCaptioner>().toExtend<Pick<BlipForConditionalGeneration, 'caption' | 'generate' | 'plan'>>();
    expectTypeOf<WorkerLanguageModel>().toExtend<Pick<T5ForConditionalGeneration, 'generate' | 'plan' | 'encode'>>();
  });

  it('passes arguments and results unchanged; results are given away, arguments stay', async () => {
    const mine = new Float32Array([1, 2, 3]);
    const given: unknown[] = [];
    const result = { mask: { data: new Float32Array([4, 5]), shape: [1, 1, 2] } };
    const pipe = await open({
      async run(args: unknown) {
        given.push(args);
        return { ...result, timings: {} };
      },
    });
    const args = { ...prompts, imageLatents: mine, seed: 3, negativePrompt: undefined, guidanceInterval: [0.1, 0.8] };
    const out = await pipe.run(args as never);
    expect(out).toEqual({ mask: { data: new Float32Array([4, 5]), shape: [1, 1, 2] }, timings: {} });
    expect(result.mask.data.length).toBe(0);
    expect(given).toEqual([{ ...prompts, imageLatents: mine, seed: 3, guidanceInterval: [0.1, 0.8] }]);
    expect([mine.length, image.data.length]).toEqual([3, 192]);
    expect([pipe.bytes, pipe.hostBytes, pipe.peakBytes, pipe.caps.vendor]).toEqual([1, 2, 3, 'none']);
  });

  it('copies what the model keeps for later calls', async () => {
    const kept = { promptEmbeds: { data: new Float32Array(3), shape: [1, 1, 3] } };
    const pipe = await open({ encodePrompt: async () => kept });
    await pipe.encodePrompt('a');
    expect(kept.promptEmbeds.data.length).toBe(3);
  });

  it('tells of progress, waits for callbacks, and reads latents for them', async () => {
    const events: unknown[] = [];
    const pipe = await open({
      async invert({ onProgress, callback }: Stand) {
        const latents = async () => ({ data: new Float32Array([6]), shape: [1] });
        (onProgress as (event: unknown) => void)({ phase: 'invert', step: 1, of: 2 });
        await (callback as (...args: unknown[]) => Promise<void>)(0, 981, latents);
        events.push('went on');
        return { latents: await latents() };
      },
    });
    await pipe.invert({
      image,
      prompt: 'a',
      onProgress: event => void events.push(event),
      async callback(step, timestep, latents) {
        events.push([step, timestep, (await latents()).data]);
      },
    });
    expect(events).toEqual([{ phase: 'invert', step: 1, of: 2 }, [0, 981, new Float32Array([6])], 'went on']);
  });

  it('steps when it is asked to, hands out latents until the next step, and ends when the loop is left', async () => {
    const seen: string[] = [];
    let now = -1;
    const model = {
      async *editSteps() {
        try {
          for (let step = 0; step < 4; step++) {
            now = step;
            seen.push(`step ${step}`);
            yield { phase: 'edit', step, of: 4, timestep: 1, latents: async () => ({ data: [now], shape: [1] }) };
          }
          return { images: ['done'] };
        } finally {
          seen.push('freed');
        }
      },
    };
    const pipe = await open(model);
    const steps = pipe.editSteps({} as never);
    const first = await steps.next();
    expect(seen).toEqual(['step 0']);
    const event = first.value as { latents(): Promise<NdArray> };
    expect((await event.latents()).data).toEqual([0]);
    await steps.next();
    await expect(event.latents()).rejects.toThrow(/the call that this function belonged to is over/);
    await steps.return(undefined as never);
    expect(seen).toEqual(['step 0', 'step 1', 'freed']);
    const all: number[] = [];
    const again = pipe.editSteps({} as never);
    for (;;) {
      const { done, value } = await again.next();
      if (done) {
        expect(value).toEqual({ images: ['done'] });
        break;
      }
      all.push(value.step);
    }
    expect(all).toEqual([0, 1, 2, 3]);
  });

  it('ends with the reason of the signal, the same object, and stays usable', async () => {
    const reason = { mine: true };
    const abort = new AbortController();
    const pipe = await open({
      run: ({ signal }: { signal: AbortSignal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      edit: async ({ signal }: { signal: AbortSignal }) => ({ images: [signal.aborted] }),
    });
    const running = pipe.run({ ...prompts, signal: abort.signal }).catch((error: unknown) => error);
    setTimeout(() => abort.abort(reason));
    expect(await running).toBe(reason);
    const late = pipe.run({ ...prompts, signal: abort.signal }).catch((error: unknown) => error);
    expect(await late).toBe(reason);
    const { images } = await pipe.edit({ signal: new AbortController().signal } as never);
    expect(images).toEqual([false]);
  });

  it("moves the page's own random streams on", async () => {
    const pipe = await open({
      run: async ({ generator }: { generator: Generator[] }) => ({ images: draw(generator) }),
    });
    const draw = (streams: Generator[]) => streams.map(stream => stream.randn([3])[0]);
    const [mine, same] = [
      [new Generator(1), new Generator(2)],
      [new Generator(1), new Generator(2)],
    ];
    const { images } = await pipe.run({ ...prompts, generator: mine } as never);
    expect(images).toEqual(draw(same));
    expect(draw(mine)).toEqual(draw(same));
  });

  it('makes schedulers and folders again, and reads folders of the caller’s own', async () => {
    const opened: Record<string, unknown> = {};
    const worker = standIn(async ({ scheduler, loras }, source, kind) => {
      const lora = (loras as FolderSource[] | undefined)?.[0];
      Object.assign(opened, { kind, text: await source.text('a.json'), scheduler, has: await source.has('b') });
      if (lora) opened['lora'] = await readText(await lora.bytes('x'));
      return {};
    });
    const scheduler = new DDIMScheduler({ clipSample: false });
    const own: FolderSource = {
      ...{ label: 'own', has: async path => path === 'x', text: async () => '' },
      bytes: async () => memorySource(new TextEncoder().encode('weights')),
    };
    await createWorkerPipeline(folder, { worker, scheduler, loras: [own] as never });
    expect(opened).toMatchObject({ kind: 'diffedit', text: '{"a": 1}', has: false, lora: 'weights' });
    expect((opened['scheduler'] as DDIMScheduler).config.clipSample).toBe(false);
    await createWorkerCaptioner(folder, { worker });
    expect(opened['kind']).toBe('captioner');
    await createWorkerLanguageModel(folder, { worker });
    expect(opened['kind']).toBe('language-model');
  });

  it('sends folders behind addresses and of the Hub as what they are', async () => {
    const labels: string[] = [];
    const worker = standIn((_, source) => {
      labels.push(source.label);
      return {};
    });
    const sources = [urlFolder('http://localhost:1/m', { headers: { a: 'b' } }), hubUrlFolder('a/b', { token: 'x' })];
    for (const source of sources.flatMap(one => [one, cachedFolder(one, { onProgress() {} })]))
      await createWorkerPipeline(source, { worker });
    expect(labels).toEqual([
      ...['http://localhost:1/m/', 'http://localhost:1/m', 'a/b at main', 'https://huggingface.co/a/b@main'],
    ]);
    const odd = urlFolder('http://localhost:1/m', { fetch });
    await expect(createWorkerPipeline(odd, { worker })).rejects.toThrow(/a fetch of your own cannot be passed/);
  });

  it('refuses what no worker can be given, before anything is sent', async () => {
    const pipe = await open({ run: async () => ({}), generate: async () => ({}) });
    const refusal = (call: Promise<unknown>) => call.then(() => 'nothing', String);
    expect([
      await refusal(pipe.run({ ...prompts, prefixAllowedTokens: () => [] } as never)),
      await refusal(createWorkerPipeline(folder, { worker: standIn(() => ({})), gpu: await testGpu() } as never)),
      await refusal(pipe.run({ ...prompts, image: new WeakMap() } as never)),
      await refusal(createWorkerPipeline(folder, { worker: {} as never })),
      await refusal(createWorkerPipeline(folder, null as never)),
    ]).toMatchInlineSnapshot(`
      [
        "InputError: run: a function cannot be passed to a worker (prefixAllowedTokens). What must answer at once runs in the page: open the model without a worker.",
        "InputError: createWorkerPipeline: a device cannot be passed to a worker: got Gpu (gpu). Leave it out: the worker opens its own (gpuOptions).",
        "InputError: run: an argument cannot be passed to a worker. Pass numbers, texts, arrays, pictures, Blobs and folders.",
        "InputError: createWorkerPipeline: no worker: expected a Worker or a MessagePort (worker)",
        "InputError: createWorkerPipeline: arguments go by name: expected an object, got null",
      ]
    `);
  });

  it('answers no calls but those of its face', async () => {
    const pipe = await open({ secret: 5 });
    const call = (method: string) =>
      (pipe as unknown as { call(m: string, a: unknown[]): Promise<unknown> }).call(method, []);
    for (const method of ['constructor', 'fromPretrained', 'secret', 'nothing', 'dispose'])
      await expect(call(method)).rejects.toThrow(/there is no such call/);
  });

  it('says that it was disposed, also to a call that runs', async () => {
    const pipe = await open({ run: () => new Promise(() => undefined) });
    const running = pipe.run(prompts).catch((error: unknown) => error);
    pipe.dispose();
    pipe.dispose();
    await expect(pipe.run(prompts)).rejects.toThrow(/the model was disposed/);
    void running; // a worker that is shared goes on: the model itself ends the call there
  });

  it('tells a worker that fails, and one of another version', async () => {
    const { port1, port2 } = new MessageChannel();
    channels.push({ port1, port2 } as MessageChannel);
    const listeners: Record<string, (event: object) => void> = {};
    const broken: PortLike = {
      postMessage: () => setTimeout(() => listeners['error']?.({ message: 'no script' })),
      addEventListener: (type, listener) => void Object.assign(listeners, { [type]: listener }),
      removeEventListener() {},
    };
    await expect(createWorkerPipeline(folder, { worker: broken })).rejects.toThrow(
      /createWorkerPipeline: the worker failed: got no script/,
    );
    serveModels(port2 as unknown as PortLike, {});
    const answered = new Promise<{ error: { json: { message: string } } }>(resolve => {
      port1.onmessage = ({ data }) => resolve(data);
    });
    port1.postMessage({ pentimento: 99, is: 'call', id: 1, of: 'open', args: [] });
    expect((await answered).error.json.message).toMatch(/of different versions/);
    expect(() => startWorker()).toThrow(/this runtime has no Worker/);
  });
});

describe('errors', () => {
  const details = { op: 'run', problem: 'odd', path: 'steps', fix: 'Give one.' };
  const bytes = { asked: 3e9, held: 2e6, available: 1e9 };
  it.each([
    new InputError({ ...details, expected: [1, 2], value: 'text' }),
    new InputError({ ...details, expected: 'a size', received: 'text' }),
    new ShapeError({ ...details, received: [2, 3] }),
    new WeightsError({ ...details, cause: new InputError({ op: 'a', problem: 'b' }) }),
    new LoadError(details),
    new NumericsError(details),
    new DeviceError({ op: 'x', problem: 'y' }),
    new OutOfMemoryError('run', 'arena', bytes),
    new StorageFullError('http://x/y', bytes),
  ])('keep class and fields: %s', async error => {
    const pipe = await open({ run: () => Promise.reject(error) });
    const told = await pipe.run(prompts).catch((caught: unknown) => caught);
    expect(told).toBeInstanceOf(error.constructor);
    expect(told).toBeInstanceOf(PentimentoError);
    expect((told as PentimentoError).toJSON()).toEqual(error.toJSON());
    expect(String(told)).toBe(String(error));
    expect((told as PentimentoError).reworded(text => text)).toBe(error.reworded(text => text));
    expect(errorFromJson(JSON.parse(JSON.stringify(error)))).toBeInstanceOf(error.constructor);
  });

  it('of the platform stay what they are', async () => {
    for (const error of [new DOMException('enough', 'AbortError'), new RangeError('far'), 'words', { code: 5 }]) {
      const pipe = await open({ run: () => Promise.reject(error) });
      const told = await pipe.run(prompts).catch((caught: unknown) => caught);
      expect(String(told)).toBe(String(error));
      if (!(error instanceof DOMException)) expect(told).toEqual(error);
    }
    const holds = Object.assign(new RangeError('far'), { cause: () => 1 });
    const pipe = await open({ run: () => Promise.reject(holds) });
    await expect(pipe.run(prompts)).rejects.toThrow(/far/);
  });
});

describe('the embedded model behind a channel', () => {
  let pipe: WorkerPipeline | undefined;
  afterAll(() => pipe?.dispose());

  it('edits as it does without: the same pixels, masks and draws, and the same refusals', async () => {
    const { port1, port2 } = new MessageChannel();
    const gpu = await testGpu();
    vi.spyOn(gpu, 'dispose').mockImplementation(() => undefined);
    serveModels(port2 as unknown as PortLike, { requestGpu: async () => gpu });
    const source = repositoryFolder('models/orchard/stable-diffusion');
    const phases = new Set<string>();
    const onProgress = ({ phase }: ProgressEvent) => void phases.add(phase);
    pipe = await createWorkerPipeline(source, { worker: port1 as unknown as PortLike, onProgress });
    const here = await DiffEditPipeline.fromPretrained(source, { gpu });
    const picture = { width: 64, height: 64, data: new Uint8Array(64 * 64 * 3).map((_, i) => (i * 37) % 256) };
    const args = { image: picture, sourcePrompt: 'apples', targetPrompt: 'pears', seed: 0 } as const;
    const few = { ...args, numInferenceSteps: 3, numMapsPerMask: 1 };
    const [there, wanted] = [await pipe.run(few), await here.run(few)];
    expect(there.images[0]).toEqual(wanted.images[0]);
    expect(there.mask).toEqual(wanted.mask);
    expect([...phases].filter(phase => phase !== 'compile')).toEqual([
      'load',
      'text',
      'encode',
      'mask',
      'invert',
      'edit',
      'decode',
    ]);
    expect([pipe.vaeScaleFactor, pipe.defaultSize]).toEqual([here.vaeScaleFactor, here.defaultSize]);
    expect(pipe.recommended).toEqual(here.recommended);
    expect(pipe.schedulerConfig).toEqual(JSON.parse(JSON.stringify(here.scheduler)));
    const wrong = { ...few, numInferenceSteps: 0 };
    const [told, thrown] = [await pipe.run(wrong).catch(String), await here.run(wrong).catch(String)];
    expect(told).toBe(thrown);
    expect(pipe.bytes).toBeGreaterThan(0);
    here.dispose();
    pipe.dispose();
    vi.restoreAllMocks();
    for (const port of [port1, port2]) port.close();
  });
});
