import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { T5Model } from '../../../src/models/t5/index.ts';
import { DeviceMemory } from '../../../src/pipeline/runtime/device-memory.ts';
import type { Recording } from '../../../src/pipeline/runtime/device-program.ts';
import { Network } from '../../../src/pipeline/runtime/network.ts';
import { LatestEncoding } from '../../../src/pipeline/text/latest-encoding.ts';
import { openT5Folder } from '../../../src/pipeline/text/t5-folder.ts';
import { repositoryFolder } from '../../support/captioner.ts';
import { testGpu } from '../../support/gpu.ts';

let memory: DeviceMemory;
let network: Network<T5Model>;
let close: (() => void) | undefined;
beforeAll(async () => {
  const { networks } = await openT5Folder(repositoryFolder('test/golden/t5/model'), undefined, () => undefined);
  memory = new DeviceMemory(await testGpu());
  network = new Network(networks.t5, memory);
  close = () => void networks.t5.source.close?.();
});
beforeEach(() => network.unload());
afterAll(() => {
  network.unload();
  close?.();
  expect(memory.bytes).toBe(0);
});

/** Counts how often it is recorded. */
function recording() {
  const made = { times: 0 };
  const record: Recording<unknown> = (graph, scope) => {
    made.times++;
    return scope.store(graph, graph.input(scope.tensor([1, 4])).scale(2), 'y');
  };
  return { made, record };
}

describe('weights', () => {
  test('come once, are told of up to the last byte, and go', async () => {
    const steps: [number, number][] = [];
    await network.load({ onProgress: (done, total) => steps.push([done, total]) });
    expect(steps.at(-1)).toEqual([network.bytesToRead, network.bytesToRead]);
    const { bytes } = memory;
    await network.load({ onProgress: () => expect.unreachable() });
    expect([network.loaded, memory.bytes]).toEqual([true, bytes]);
    network.unload();
    expect([network.loaded, memory.bytes]).toEqual([false, 0]);
  });

  test('on their way when the network is unloaded are freed when they come', async () => {
    const loading = network.load();
    network.unload();
    await expect(loading).rejects.toThrow('t5: the network left the device while it was made ready');
    expect([network.loaded, memory.bytes]).toEqual([false, 0]);
  });
});

describe('programs', () => {
  test('are kept by key, the latest so many of them', async () => {
    const { made, record } = recording();
    const first = await network.program('a', 2, record);
    await network.program('b', 2, record);
    expect(await network.program('a', 2, record)).toBe(first);
    expect(made.times).toBe(2);
    await network.program('c', 2, record); // b was used longer ago than a
    expect(await network.program('a', 2, record)).toBe(first);
    expect(made.times).toBe(3);
    await network.program('b', 2, record);
    expect(made.times).toBe(4);
  });

  test('go at rest, and weights stay', async () => {
    await network.load();
    const { bytes } = memory;
    const { made, record } = recording();
    await network.program('a', 2, record);
    expect(memory.bytes).toBeGreaterThan(bytes);
    network.rest();
    expect([memory.bytes, network.loaded]).toEqual([bytes, true]);
    await network.program('a', 2, record);
    expect(made.times).toBe(2);
  });

  test('compiled when the network is unloaded are freed', async () => {
    const made = network.program('a', 2, recording().record);
    network.unload();
    await expect(made).rejects.toThrow('left the device');
    expect(memory.bytes).toBe(0);
  });
});

describe('attachments', () => {
  test('go with the network, or before it, once', () => {
    const gone: string[] = [];
    const thing = (name: string) => ({ dispose: () => void gone.push(name) });
    const [a, b] = [thing('a'), thing('b')];
    network.attach(a);
    network.attach(b);
    network.detach(b);
    expect(gone).toEqual(['b']);
    network.unload();
    network.unload();
    expect(gone).toEqual(['b', 'a']);
  });

  test('the latest encoding stays while its key does, and is made again after an unload', async () => {
    const log: string[] = [];
    const latest = new LatestEncoding(network);
    const make = (key: string) => async () => {
      log.push(`make ${key}`);
      return { key, dispose: () => void log.push(`free ${key}`) };
    };
    const first = await latest.take('one', make('one'));
    expect(await latest.take('one', make('one'))).toBe(first);
    await latest.take('two', make('two'));
    network.unload();
    await latest.take('two', make('two'));
    await expect(latest.take('three', () => Promise.reject(new TypeError('no')))).rejects.toThrow('no');
    await latest.take('two', make('two'));
    expect(log).toEqual(['make one', 'free one', 'make two', 'free two', 'make two', 'free two', 'make two']);
  });
});
