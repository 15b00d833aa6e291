/** A device that is lost while a model is made ready (weights, kernels, plans): another one is taken, or an error says what happened. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import { DeviceLostError } from '../../src/gpu/device-lost.ts';
import { urlFolder } from '../../src/io/url-source.ts';
import { cachedFolder } from '../../src/page.ts';
import { DiffEditPipeline, type PretrainedOptions } from '../../src/pipeline/diffedit/pipeline.ts';
import type { DeviceLossEvent } from '../../src/pipeline/runtime/device-recovery.ts';
import type { ProgressEvent } from '../../src/pipeline/runtime/progress.ts';
import { fakeStorage } from '../support/fake-storage.ts';
import { type FileServer, fileServer } from '../support/file-server.ts';
import { diskFolder } from '../support/folder.ts';
import { freshGpu } from '../support/gpu.ts';
import { shortRun } from '../support/scene.ts';

/** Long proofs of what the others show in part. */
const FULL = process.env['PENTIMENTO_FULL'];

const gpu = await freshGpu();
afterAll(() => gpu.dispose());

const FOLDER = new URL('../golden/sd1/model', import.meta.url).pathname;
const disk = diskFolder(FOLDER);
const run = { ...shortRun, outputType: 'latent' } as const;

const told: DeviceLossEvent[] = [];
const opened: DiffEditPipeline[] = [];
async function open(folder: FolderSource = disk, more: PretrainedOptions = {}): Promise<DiffEditPipeline> {
  const onDeviceLoss = (event: DeviceLossEvent) => void told.push(event);
  const pipeline = await DiffEditPipeline.fromPretrained(folder, { gpu, onDeviceLoss, ...more });
  opened.push(pipeline);
  return pipeline;
}
const latentsOf = async (pipeline: DiffEditPipeline, more: object = {}) =>
  (await pipeline.run({ ...run, ...more })).images;

let expected: unknown;
let weightBytes = 0;
beforeAll(async () => {
  const pipeline = await open();
  weightBytes = pipeline.bytes;
  expected = await latentsOf(pipeline);
  opened.pop()?.dispose();
});
beforeEach(() => {
  told.length = 0;
});
afterEach(() => {
  for (const pipeline of opened.splice(0)) pipeline.dispose();
  expect(gpu.memory.bytes).toBe(0);
});

/** A folder whose reads of some file lose the device: the first `times` of them, in their middle. */
function losingFolder(file: string, times = 1, from = disk): FolderSource {
  let left = times;
  const bytes = async (path: string) => {
    const source = await from.bytes(path);
    const read = async (offset: number, into: Uint8Array) => {
      if (path.startsWith(file) && offset > 1000 && left-- > 0) {
        gpu.device.destroy();
        await gpu.device.lost;
      }
      await source.read(offset, into);
    };
    const { label, byteLength } = source;
    return { label, byteLength, read, close: async () => source.close?.() };
  };
  return { label: from.label, has: path => from.has(path), text: path => from.text(path), bytes };
}

describe('a device that is lost while weights are loaded', () => {
  test.each(FULL ? ['text_encoder', 'unet', 'vae'] : ['unet'])(
    'in the middle of the %s: another one gets them all',
    async file => {
      const pipeline = await open(losingFolder(file), { stagingBytes: 2 ** 18 });
      expect(told.map(e => [e.state, e.reason, e.phase])).toEqual([
        ['lost', 'destroyed', 'load'],
        ['restored', 'destroyed', 'load'],
      ]);
      expect([pipeline.bytes, gpu.memory.bytes]).toEqual([weightBytes, weightBytes]);
      expect(await latentsOf(pipeline)).toEqual(expected);
    },
  );

  test.runIf(FULL)('behind the last read, in the listener: the same', async () => {
    let lost = false;
    const onProgress = ({ step, of }: ProgressEvent): void => {
      if (lost || step < of) return;
      lost = true;
      gpu.device.destroy();
    };
    const pipeline = await open(disk, { onProgress });
    expect(await latentsOf(pipeline)).toEqual(expected);
    expect(told.map(e => e.state)).toEqual(['lost', 'restored']);
  });

  test('again and again: an error that names it, and nothing is left', async () => {
    const error = await open(losingFolder('unet', 3), { stagingBytes: 2 ** 18 }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DeviceLostError);
    expect(String(error)).toContain(
      "DiffEditPipeline.fromPretrained: the device was lost 3 times in one place, in the phase 'load'",
    );
    expect((error as DeviceLostError).loss.losses).toBe(3);
    expect(gpu.memory.bytes).toBe(0);
    expect((await open()).bytes).toBe(weightBytes); // on the next device
  });

  test('where recovery is off: an error that names it, and nothing is left', async () => {
    const call = open(losingFolder('unet'), { stagingBytes: 2 ** 18, deviceRecovery: false });
    const error = await call.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DeviceLostError);
    expect((error as DeviceLostError).loss.reason).toBe('destroyed');
    expect(gpu.memory.bytes).toBe(0);
    await gpu.renew();
  });

  test('in a call that brings them, offloaded or streamed: the call goes on', async () => {
    for (const more of FULL ? [{ modelCpuOffload: true }, { loadWhenNeeded: true }] : [{ modelCpuOffload: true }]) {
      const pipeline = await open(losingFolder('unet'), { ...more, stagingBytes: 2 ** 18 });
      told.length = 0;
      expect(await latentsOf(pipeline)).toEqual(expected);
      expect(told.map(e => [e.state, e.phase])).toEqual([
        ['lost', 'load'],
        ['restored', undefined],
      ]);
      pipeline.dispose();
    }
  });

  test('a signal ends the wait for another one, and what a listener throws ends the loading', async () => {
    const stop = new AbortController();
    const aborting = () => stop.abort(new Error('enough'));
    await expect(
      open(losingFolder('unet'), { stagingBytes: 2 ** 18, signal: stop.signal, onDeviceLoss: aborting }),
    ).rejects.toThrow('enough');
    await gpu.renew();
    const onDeviceLoss = () => {
      throw new RangeError('mine');
    };
    await expect(open(losingFolder('unet'), { stagingBytes: 2 ** 18, onDeviceLoss })).rejects.toThrow('mine');
    expect(gpu.memory.bytes).toBe(0);
    await gpu.renew();
  });
});

describe('while weights are fetched', () => {
  let server: FileServer;
  beforeAll(async () => {
    server = await fileServer(FOLDER);
  });
  afterAll(() => server.close());
  beforeEach(() => server.reset());
  const asked = () => server.asked.filter(({ path }) => path.endsWith('.safetensors')).map(({ path }) => path);

  test.runIf(FULL)('from an address: they are fetched again', async () => {
    const pipeline = await open(losingFolder('unet', 1, urlFolder(server.url)), { stagingBytes: 2 ** 18 });
    expect(await latentsOf(pipeline)).toEqual(expected);
    expect(told.map(e => e.state)).toEqual(['lost', 'restored']);
  });

  test('into the browser’s storage: each file is fetched once all the same', async () => {
    let lost = false;
    const onProgress = ({ file }: { file: string }): void => {
      if (lost || !file.startsWith('unet/diffusion')) return;
      lost = true;
      gpu.device.destroy();
    };
    const folder = cachedFolder(urlFolder(server.url), { root: fakeStorage(), pieceBytes: 2 ** 16, onProgress });
    const pipeline = await open(folder, { stagingBytes: 2 ** 18 });
    expect(lost).toBe(true);
    expect(await latentsOf(pipeline)).toEqual(expected);
    expect(asked()).toEqual([...new Set(asked())]);
    expect(told.map(e => e.state)).toEqual(['lost', 'restored']);
  });
});

describe('while kernels are built', () => {
  /** Loses the device with the first kernel of a name that is asked of it. */
  function losingCompiler(label: RegExp): () => boolean {
    const { device } = gpu;
    const compile = device.createComputePipelineAsync.bind(device);
    let lost = false;
    device.createComputePipelineAsync = descriptor => {
      if (!lost && label.test(descriptor.label ?? '')) {
        lost = true;
        device.destroy();
      }
      return compile(descriptor);
    };
    return () => lost;
  }

  test.each(FULL ? [/^layer-norm/, /^gemm/, /^mask-map/, /^guided-step/] : [/^mask-map/])(
    'such as %s: they are built on another one, and the call goes on',
    async label => {
      // A device that has built none of them.
      gpu.device.destroy();
      await gpu.device.lost;
      await gpu.renew();
      const pipeline = await open();
      told.length = 0;
      const wasLost = losingCompiler(label);
      expect(await latentsOf(pipeline)).toEqual(expected);
      expect(wasLost()).toBe(true);
      expect(told.map(e => e.state)).toEqual(['lost', 'restored']);
      expect(gpu.memory.bytes).toBe(pipeline.bytes);
    },
  );

  test('the listener is told how many are there, and may end the call', async () => {
    gpu.device.destroy();
    await gpu.device.lost;
    await gpu.renew();
    const pipeline = await open();
    const events: ProgressEvent[] = [];
    await latentsOf(pipeline, { onProgress: (e: ProgressEvent) => void (e.phase === 'compile' && events.push(e)) });
    // Bursts, each from none to all.
    for (const [i, { step, of }] of events.entries()) {
      const before = events[i - 1];
      if (step === 0) expect(before?.step).toBe(before?.of);
      else expect([step, of]).toEqual([(before as ProgressEvent).step + 1, before?.of]);
    }
    expect(events.filter(e => e.step === 0).reduce((sum, e) => sum + e.of, 0)).toBeGreaterThan(20);
    events.length = 0;
    const listen = (e: ProgressEvent) => void (e.phase === 'compile' && events.push(e));
    await latentsOf(pipeline, { onProgress: listen });
    expect(events).toEqual([]); // all are there
    gpu.device.destroy();
    await gpu.device.lost;
    const stop = new AbortController();
    const reason = new Error('enough');
    const ended = pipeline.run({
      ...{ ...run, signal: stop.signal },
      onProgress: e => void (e.phase === 'compile' && e.step === 1 && stop.abort(reason)),
    });
    await expect(ended).rejects.toBe(reason);
    expect(gpu.memory.bytes).toBe(pipeline.bytes);
    expect(await latentsOf(pipeline)).toEqual(expected);
  });
});

describe('before and while a call is planned', () => {
  test.runIf(FULL)('a plan needs no device', async () => {
    const pipeline = await open();
    const before = await pipeline.plan(run);
    gpu.device.destroy();
    await gpu.device.lost;
    expect(await pipeline.plan(run)).toEqual(before);
    expect(await latentsOf(pipeline)).toEqual(expected);
  });

  test('a call within a budget goes on, and stays within it', async () => {
    const full = (await (await open()).plan(run)).peakBytes;
    const maxBytes = Math.floor(0.8 * full);
    const pipeline = await open(disk, { maxBytes, loadWhenNeeded: true, onWarning: () => undefined });
    const call = latentsOf(pipeline); // plans first
    gpu.device.destroy();
    expect(await call).toEqual(expected);
    expect(pipeline.peakBytes).toBeLessThanOrEqual(maxBytes);
    expect(told.map(e => e.state)).toContain('restored');
  });
});

test('what a listener of losses throws ends the call that runs', async () => {
  const error = new RangeError('mine');
  let armed = true;
  const onDeviceLoss = ({ state }: DeviceLossEvent): void => {
    if (armed && state === 'lost') throw error;
  };
  const pipeline = await open(disk, { onDeviceLoss });
  const losing = (e: ProgressEvent) => void (e.phase === 'invert' && e.step === 1 && armed && gpu.device.destroy());
  await expect(pipeline.run({ ...run, onProgress: losing })).rejects.toBe(error);
  armed = false;
  expect(await latentsOf(pipeline)).toEqual(expected);
});
