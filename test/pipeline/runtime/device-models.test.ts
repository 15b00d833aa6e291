/** What all three models show of the device: the same options, the same methods, the same refusals. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { FolderSource } from '../../../src/core/tensor-source.ts';
import { Gpu } from '../../../src/gpu/device.ts';
import { DiffEditPipeline } from '../../../src/pipeline/diffedit/pipeline.ts';
import type { DeviceModelOptions } from '../../../src/pipeline/runtime/model-options.ts';
import type { PretrainedModel } from '../../../src/pipeline/runtime/pretrained-model.ts';
import type { CallOptions, ProgressEvent } from '../../../src/pipeline/runtime/progress.ts';
import { BlipForConditionalGeneration } from '../../../src/pipeline/text/blip.ts';
import { T5ForConditionalGeneration } from '../../../src/pipeline/text/t5.ts';
import { overlay, repositoryFolder } from '../../support/captioner.ts';
import { type Counter, countDevice } from '../../support/counting.ts';
import { loadGolden } from '../../support/golden.ts';
import { freshGpu } from '../../support/gpu.ts';

/** A model, and one call on it that gives the same numbers each time. */
interface Opened {
  readonly model: PretrainedModel;
  call(options?: CallOptions): Promise<unknown>;
}

interface Face {
  readonly noun: string;
  /** The method that `call` calls. */
  readonly method: string;
  /** Networks in the order in which they are loaded. */
  readonly networks: number;
  readonly folder: FolderSource;
  open(folder: FolderSource, options: DeviceModelOptions): Promise<Opened>;
}

const { data, shape } = loadGolden('blip').floats('pixel_values');

const FACES: Readonly<Record<string, Face>> = {
  DiffEditPipeline: {
    ...{ noun: 'pipeline', method: 'encodePrompt', networks: 3, folder: repositoryFolder('test/golden/sd1/model') },
    open: async (folder, options) => {
      const model = await DiffEditPipeline.fromPretrained(folder, options);
      let prompts = 0; // what was encoded is remembered on the host: each call brings a prompt that works
      const embeds = async (more: CallOptions = {}) => {
        await model.encodePrompt(`a bowl of ${prompts++} fruits`, more);
        return model.encodePrompt('a bowl of fruits', more);
      };
      return { model, call: embeds };
    },
  },
  T5ForConditionalGeneration: {
    ...{ noun: 'model', method: 'generate', networks: 1, folder: repositoryFolder('test/golden/t5/model') },
    open: async (folder, options) => {
      const model = await T5ForConditionalGeneration.fromPretrained(folder, options);
      return { model, call: more => model.generate({ ids: [[3, 9, 1]] }, more) };
    },
  },
  BlipForConditionalGeneration: {
    ...{ noun: 'captioner', method: 'generate', networks: 1 },
    folder: overlay(
      repositoryFolder('test/golden/blip/model'),
      repositoryFolder('test/golden/tokenizers/orchard-blip'),
    ),
    open: async (folder, options) => {
      const model = await BlipForConditionalGeneration.fromPretrained(folder, options);
      return { model, call: more => model.generate({ pixels: { data, shape } }, more) };
    },
  },
};

let gpu: Gpu;
let counter: Counter;
// A device for each test: what one of them leaves there is no other's.
beforeEach(async () => {
  gpu = await freshGpu();
  counter = countDevice(gpu);
});
afterEach(() => {
  counter.stop();
  gpu.dispose();
});

/** A folder whose files are counted as they are closed. */
function watched(folder: FolderSource): { readonly folder: FolderSource; readonly closed: () => number } {
  let closed = 0;
  const bytes = async (path: string) => {
    const file = await folder.bytes(path);
    const close = async () => {
      closed++;
      await file.close?.();
    };
    return { ...file, read: file.read.bind(file), close };
  };
  return { folder: { ...folder, bytes }, closed: () => closed };
}

describe.each(Object.entries(FACES))('%s', (name, face) => {
  const open = (options: DeviceModelOptions = {}) => face.open(face.folder, { gpu, ...options });

  test('bytes are those on the device, and peakBytes the most that there were', async () => {
    const { model, call } = await open();
    expect(model.bytes).toBe(counter.liveBytes);
    await call();
    expect(model.bytes).toBe(counter.liveBytes);
    expect(model.peakBytes).toBeGreaterThanOrEqual(model.bytes);
    const { peakBytes } = model;
    model.dispose();
    expect([model.bytes, counter.liveBytes]).toEqual([0, 0]);
    expect(model.peakBytes).toBe(peakBytes);
  });

  test('unload() takes everything off the device, and the next call loads it again with the same result', async () => {
    const phases: string[] = [];
    const { model, call } = await open();
    const expected = await call();
    model.unload();
    expect([model.bytes, counter.liveBytes]).toEqual([0, 0]);
    expect(await call({ onProgress: e => phases.push(e.phase) })).toEqual(expected);
    expect(phases).toContain('load');
    expect(model.bytes).toBeGreaterThan(0);
    expect(model.bytes).toBe(counter.liveBytes);
    model.dispose();
  });

  test('enableModelCpuOffload() unloads at once, and from then on after each call', async () => {
    const { model, call } = await open();
    const expected = await call();
    model.enableModelCpuOffload();
    expect(counter.liveBytes).toBe(0);
    const phases: string[] = [];
    for (let i = 0; i < 2; i++) {
      phases.length = 0;
      expect(await call({ onProgress: e => phases.push(e.phase) })).toEqual(expected);
      expect([model.bytes, counter.liveBytes]).toEqual([0, 0]);
      expect(phases).toContain('load');
    }
    model.dispose();
  });

  test('modelCpuOffload leaves the weights in the file until a call', async () => {
    const { model, call } = await open({ modelCpuOffload: true });
    expect(model.peakBytes).toBe(0);
    await call();
    expect(model.bytes).toBe(0);
    expect(model.peakBytes).toBeGreaterThan(0);
    model.dispose();
  });

  test('stagingBytes bounds what is on its way, when it is opened and when it is loaded again', async () => {
    /** Pieces in which the first network's weights came: when it was opened, and in a call after that. */
    const pieces = async (stagingBytes: number | undefined) => {
      const [opening, calling]: [ProgressEvent[], ProgressEvent[]] = [[], []];
      const { model, call } = await open({ stagingBytes, onProgress: e => opening.push(e) });
      model.unload();
      await call({ onProgress: e => calling.push(e) });
      model.dispose();
      return [opening, calling.filter(e => e.phase === 'load')].map(list => list.length);
    };
    const [small, whole] = [await pieces(2 ** 14), await pieces(undefined)];
    // That it begins, the whole at once, and, as it is opened, the word that a network has come.
    expect(whole).toEqual([1 + 2 * face.networks, 2]);
    for (const [i, count] of small.entries()) expect(count).toBeGreaterThan(2 * whole[i]);
    await expect(open({ stagingBytes: 0 })).rejects.toThrow(
      `${name}.fromPretrained: not a count: expected a whole number >= 1, got 0 (stagingBytes)`,
    );
  });

  test('onProgress of fromPretrained hears of loading, network by network, and of calls without one of their own', async () => {
    const events: ProgressEvent[] = [];
    const { model, call } = await open({ onProgress: e => events.push(e) });
    expect(new Set(events.map(e => e.phase))).toEqual(new Set(['load']));
    expect(new Set(events.map(e => e.of)).size).toBe(1);
    expect(events.map(e => e.step)).toEqual(events.map(e => e.step).sort((a, b) => a - b));
    expect(Math.max(...events.map(e => e.step))).toBe(events[0].of);
    expect(events.at(-1)).toMatchObject({ step: events[0].of, bytes: model.bytes });
    // Bytes grow when a network has come: none, then one more each time.
    expect(new Set(events.map(e => e.bytes)).size).toBe(face.networks + 1);
    model.unload();
    events.length = 0;
    await call({ onProgress: () => undefined });
    expect(events).toEqual([]);
    model.unload();
    await call();
    expect(events.map(e => e.phase)).toContain('load');
    model.dispose();
  });

  test('signal ends the opening, and a call, with its reason; the model stays usable', async () => {
    const reason = new TypeError('enough');
    await expect(open({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const late = new AbortController();
    const files = watched(face.folder);
    const onProgress = (e: ProgressEvent) => void (e.step === e.of && late.abort(reason));
    await expect(face.open(files.folder, { gpu, signal: late.signal, onProgress })).rejects.toBe(reason);
    expect(counter.liveBytes).toBe(0);
    expect(files.closed()).toBe(face.networks);

    const { model, call } = await open({ modelCpuOffload: true });
    await expect(call({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const during = new AbortController();
    const stop = (e: ProgressEvent) => void (e.phase === 'load' && during.abort(reason));
    await expect(call({ signal: during.signal, onProgress: stop })).rejects.toBe(reason);
    expect(counter.liveBytes).toBe(0);
    expect(await call()).toEqual(await call());
    model.dispose();
  });

  test('busy, it takes no other call, is neither unloaded nor offloaded, and says which call runs', async () => {
    const { model, call } = await open();
    const busy = `the ${face.noun} is busy: expected one call at a time, got ${face.method} is still running. Await the other`;
    const running = call();
    await expect(call()).rejects.toThrow(`${face.method}: ${busy}`);
    expect(() => model.unload()).toThrow(`unload: ${busy}`);
    expect(() => model.enableModelCpuOffload()).toThrow(`enableModelCpuOffload: ${busy}`);
    await running;
    model.unload();
    expect(counter.liveBytes).toBe(0);
    model.dispose();
  });

  test('a call without an object of arguments is refused, and leaves the model free for the next', async () => {
    const { model, call } = await open();
    for (const none of [null, 5, [], () => undefined]) {
      await expect(call(none as unknown as CallOptions)).rejects.toThrow(
        /^\w+: arguments go by name: expected an object, got/,
      );
    }
    const thrown = new RangeError('from a getter');
    const trap = {
      get signal(): never {
        throw thrown;
      },
    };
    await expect(call(trap)).rejects.toBe(thrown);
    await call();
    await expect(face.open(face.folder, null as unknown as DeviceModelOptions)).rejects.toThrow(
      `${name}.fromPretrained: arguments go by name: expected an object, got null`,
    );
    model.dispose();
  });

  test('what is no device of this library is refused, a promise of one too', async () => {
    const refused = `${name}.fromPretrained: no device of this library: expected a Gpu, got`;
    for (const [wrong, received] of [
      [{}, 'object'],
      [gpu.device, 'object'],
      [Promise.resolve(gpu), 'a promise'],
    ])
      await expect(face.open(face.folder, { gpu: wrong as Gpu })).rejects.toThrow(
        `${refused} ${received} (gpu). Pass await`,
      );
  });

  test('what is no folder is refused: a path, nothing, a promise that nobody awaited', async () => {
    const open = (folder: unknown) => face.open(folder as FolderSource, { gpu });
    for (const path of ['./model', null, undefined, 5, {}])
      await expect(open(path)).rejects.toThrow(
        /no model folder: expected a FolderSource, got .*Make one with await directory/,
      );
    await expect(open(Promise.resolve(face.folder))).rejects.toThrow('got a promise. Await it.');
  });

  test('disposed, it says so, closes its files once and frees a call in the middle', async () => {
    for (const modelCpuOffload of [true, false]) {
      const files = watched(face.folder);
      const { model, call } = await face.open(files.folder, { gpu, modelCpuOffload });
      const running = call();
      model.dispose();
      model.dispose();
      await expect(running).rejects.toThrow(
        `${name}: the ${face.noun} was disposed during a call. Abort the call by its signal and await it first.`,
      );
      expect([model.bytes, counter.liveBytes]).toEqual([0, 0]);
      expect(files.closed()).toBe(face.networks);
      await expect(call()).rejects.toThrow(
        `${face.method}: the ${face.noun} was disposed. Open it again with fromPretrained().`,
      );
      expect(() => model.enableModelCpuOffload()).toThrow('was disposed');
    }
  });

  test('owns the device that it made, and leaves one that it was given', async () => {
    const { model } = await open();
    model.dispose();
    expect(() => gpu.check('test')).not.toThrow();
    const request = vi.spyOn(Gpu, 'request').mockResolvedValue(gpu);
    const { model: alone } = await open({ gpu: undefined });
    expect(request).toHaveBeenCalledOnce();
    request.mockRestore();
    alone.dispose();
    expect(() => gpu.check('test')).toThrow('disposed');
  });

  test('refuses options by name', async () => {
    const wrong = { staging_bytes: 4096 } as DeviceModelOptions;
    await expect(open(wrong)).rejects.toThrow(
      `${name}.fromPretrained: there is no such argument: got staging_bytes. Write stagingBytes.`,
    );
    await expect(open({ dtype: 'float64' as 'float32' })).rejects.toThrow(
      `${name}.fromPretrained: unknown dtype: expected float32 or float16, got "float64" (dtype)`,
    );
    expect(counter.liveBytes).toBe(0);
  });
});
