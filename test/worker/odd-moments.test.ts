/** What callers of a model in a worker do at odd moments: their arrays stay theirs, and what goes wrong is told. */
import { describe, expect, it } from 'vitest';
import { DeviceError, InputError } from '../../src/core/errors.ts';
import type { NdArray } from '../../src/core/ndarray.ts';
import { mapFolder } from '../../src/io/sources.ts';
import { Generator } from '../../src/schedulers/index.ts';
import {
  createWorkerPipeline,
  type PortLike,
  WorkerPipeline,
  type WorkerPipelineFacts,
} from '../../src/worker/index.ts';
import { ScriptPort } from '../../src/worker/script-port.ts';
import { openInWorker } from '../../src/worker/worker-model.ts';
import { type Stand, workersOfTests } from '../support/stand-in-worker.ts';

const { standIn } = workersOfTests();
const folder = mapFolder({ 'a.json': '{"a": 1}' }, 'mine');
const prompts = { image: { width: 1, height: 1, data: new Uint8Array(3) }, sourcePrompt: 'a', targetPrompt: 'b' };
const open = (model: Stand) => createWorkerPipeline(folder, { worker: standIn(() => model) });
const caught = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'nothing',
    (error: unknown) => error,
  );

describe('arrays of the page', () => {
  it('stay its own where a callback returns what it keeps', async () => {
    const pipe = await open({
      async run({ callback, onProgress }: Stand) {
        const latents = async () => ({ data: new Float32Array([6]), shape: [1] });
        (onProgress as (event: unknown) => void)({});
        await (callback as (...args: unknown[]) => Promise<void>)(0, 981, latents);
        return {};
      },
    });
    const mine = new Float32Array([1, 2]);
    let last: NdArray | undefined;
    const callback = async (_step: number, _timestep: number, latents: () => Promise<NdArray>) =>
      (last = await latents());
    await pipe.run({ ...prompts, callback: callback as never, onProgress: (() => mine) as never });
    expect(last?.data).toEqual(new Float32Array([6]));
    expect(mine.length).toBe(2);
  });

  it('are not read where they hold themselves', async () => {
    const pipe = await open({ run: async () => ({}) });
    const odd: Stand = { ...prompts };
    odd['negativePrompt'] = { odd };
    const told = await caught(pipe.run(odd as never));
    expect(told).toBeInstanceOf(InputError);
    expect(String(told)).toMatch(/run: an argument holds itself/);
  });
});

describe('a call step by step', () => {
  it("moves the page's random stream on with each step", async () => {
    const pipe = await open({
      async *runSteps({ generator }: { generator: Generator }) {
        for (let step = 0; step < 2; step++) yield { step, drawn: generator.randn([1])[0] };
        return { images: [generator.randn([1])[0]] };
      },
    });
    const [mine, same] = [new Generator(1), new Generator(1)];
    const steps = pipe.runSteps({ ...prompts, generator: mine } as never);
    const draw = () => same.randn([1])[0];
    expect((await steps.next()).value).toMatchObject({ drawn: draw() });
    expect(mine.getState()).toEqual(same.getState());
    await steps.next();
    const [second, third, fourth] = [draw(), draw(), draw()];
    expect(second).not.toBe(third);
    expect((await steps.next()).value).toEqual({ images: [third] });
    expect(mine.randn([1])[0]).toBe(fourth);
  });

  it('ends with the reason of its signal, the same object', async () => {
    const pipe = await open({
      async *runSteps({ signal }: { signal: AbortSignal }) {
        for (let step = 0; ; step++) {
          signal.throwIfAborted();
          yield { step };
        }
      },
    });
    const [abort, reason] = [new AbortController(), { mine: true }];
    const steps = pipe.runSteps({ ...prompts, signal: abort.signal });
    await steps.next();
    abort.abort(reason);
    expect(await caught(steps.next())).toBe(reason);
  });

  it('may be left behind a dispose', async () => {
    const model = {
      async *runSteps() {
        for (let step = 0; ; step++) yield { step };
      },
    };
    // A worker of its own, which ends with it.
    const opened = await openInWorker<WorkerPipelineFacts>('open', 'diffedit', folder, {}, () => standIn(() => model));
    const pipe = new WorkerPipeline(opened);
    const seen: number[] = [];
    for await (const { step } of pipe.runSteps(prompts)) {
      seen.push(step);
      pipe.dispose();
      break;
    }
    expect(seen).toEqual([0]);
  });
});

describe('a reason that no message holds', () => {
  it('ends the call all the same', async () => {
    const pipe = await open({
      run: ({ signal }: { signal: AbortSignal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    });
    const abort = new AbortController();
    const running = caught(pipe.run({ ...prompts, signal: abort.signal }));
    const reason = { why: () => 1 };
    setTimeout(() => abort.abort(reason), 5);
    expect(await running).toBe(reason);
  });
});

describe('a worker that its owner terminates', () => {
  const started = (): ScriptPort => {
    const port = standIn(() => ({ run: () => new Promise(() => undefined) })) as PortLike & { terminate?(): void };
    // As a worker says that it hears.
    const worker = Object.assign(port, { terminate: () => undefined });
    return new ScriptPort([
      async () => {
        setTimeout(() => (port as unknown as EventTarget).dispatchEvent(new MessageEvent('message', { data: {} })));
        return worker as unknown as Worker;
      },
    ]);
  };

  it('ends the calls that run and those behind', async () => {
    const worker = started();
    const pipe = await createWorkerPipeline(folder, { worker });
    const running = caught(pipe.run(prompts));
    setTimeout(() => worker.terminate(), 5);
    expect(await running).toBeInstanceOf(DeviceError);
    expect(String(await caught(pipe.run(prompts)))).toMatch(/the worker failed: got it was terminated/);
    expect(String(await caught(createWorkerPipeline(folder, { worker })))).toMatch(/it was terminated/);
    worker.terminate();
  });

  it('also before it was found', async () => {
    const worker = started();
    worker.terminate();
    expect(String(await caught(createWorkerPipeline(folder, { worker })))).toMatch(/it was terminated/);
  });
});

describe('a worker that several models share', () => {
  const portOf = (onMessage: (say: (event: object) => void) => void) => {
    const heard = new Map<string, Set<(event: object) => void>>();
    const of = (type: string) => heard.get(type) ?? new Set();
    const port = {
      postMessage: () => onMessage(event => [...of('error')].forEach(listener => void listener(event))),
      addEventListener: (type: string, listener: (event: object) => void) => heard.set(type, of(type).add(listener)),
      removeEventListener: (type: string, listener: (event: object) => void) => void of(type).delete(listener),
    };
    return {
      worker: port as unknown as PortLike,
      listeners: () => [...heard.values()].reduce((n, s) => n + s.size, 0),
    };
  };

  it('whose script did not come is asked no more: nobody would answer', async () => {
    let asked = 0;
    const { worker, listeners } = portOf(say => {
      asked++;
      setTimeout(() => say({ type: 'error' })); // as browsers tell it: an event without a message
    });
    const message =
      'createWorkerPipeline: the worker failed: got its script did not come. Try again with a new worker, or reload the page.';
    for (let i = 0; i < 2; i++) {
      const told = await caught(createWorkerPipeline(folder, { worker }));
      expect([told instanceof DeviceError, (told as Error).message]).toEqual([true, message]);
    }
    expect([asked, listeners()]).toEqual([1, 0]);
  });

  it('whose script has thrown is asked again', async () => {
    let asked = 0;
    const { worker } = portOf(say => {
      asked++;
      setTimeout(() => say({ type: 'error', message: 'Uncaught RangeError: x' }));
    });
    for (let i = 0; i < 2; i++)
      await expect(createWorkerPipeline(folder, { worker })).rejects.toThrow('RangeError: x. Look into the console.');
    expect(asked).toBe(2);
  });

  it('is listened to once, however many models open in it', async () => {
    const worker = standIn(() => ({}));
    let listeners = 0;
    const counted = new Proxy(worker, {
      get: (target, name) => {
        const value = Reflect.get(target, name) as (...args: unknown[]) => unknown;
        return (...args: unknown[]) => {
          if (name === 'addEventListener') listeners++;
          return value.apply(target, args);
        };
      },
    });
    for (let i = 0; i < 3; i++) (await createWorkerPipeline(folder, { worker: counted })).dispose();
    expect(listeners).toBe(3); // messages, errors, and messages that cannot be read
  });
});
