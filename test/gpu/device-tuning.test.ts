/** A tuning that a device is requested with: checked then, and what everything on the device runs by that names none. */
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { Caps } from '../../src/gpu/caps.ts';
import { type DryOptions, Gpu } from '../../src/gpu/device.ts';
import { DEFAULT_CAPS } from '../../src/gpu/dry-device.ts';
import type { GpuOptions } from '../../src/gpu/grant.ts';
import { CheckedTuning } from '../../src/kernels/op.ts';
import { checkTuning } from '../../src/kernels/registry.ts';
import { Linear } from '../../src/nn/linear.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import type { PlanOptions } from '../../src/tensor/plan.ts';
import { createWorkerPipeline } from '../../src/worker/index.ts';
import { serveModels } from '../../src/worker/serve.ts';
import { freshGpu, testGpu } from '../support/gpu.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
import { openPipeline } from '../support/pipeline.ts';
import { SOURCE } from '../support/scene.ts';
import { builtOn, tableOf } from '../support/tuning.ts';

const made: { dispose(): void }[] = [];
afterEach(() => {
  for (const thing of made.splice(0).reverse()) thing.dispose();
});
const request = async (options: GpuOptions): Promise<Gpu> => {
  const gpu = await freshGpu(options);
  made.push(gpu);
  return gpu;
};

/** Families by force: on lavapipe ranks choose broadcasts, on other devices tiles do the same. */
const TILES = { linear: 'gemm-tile', attention: 'attention-tile', layerNorm: 'layer-norm-tile' };

describe('a device with a tuning', () => {
  it('runs a network by it, on the device that takes its place too', async () => {
    const plain = await request({});
    const byRank = builtOn(plain);
    const untuned = await openPipeline('test/golden/sd1/model', { gpu: plain });
    made.push(untuned);
    const expected = await untuned.encodePrompt(SOURCE);
    expect([...byRank].some(label => /-broadcast/.test(label))).toBe(plain.caps.subgroupSize > 0);

    const gpu = await request({ tuning: { force: TILES } });
    const pipeline = await openPipeline('test/golden/sd1/model', { gpu });
    made.push(pipeline);
    const built = builtOn(gpu);
    const { promptEmbeds } = await pipeline.encodePrompt(SOURCE);
    for (const variant of Object.values(TILES)) expect(built).toContain(variant);
    expect([...built].filter(label => /broadcast/.test(label))).toEqual([]);
    expect(promptEmbeds.data.every((x, i) => Math.abs(x - expected.promptEmbeds.data[i]) < 1e-4)).toBe(true);

    gpu.device.destroy();
    await gpu.device.lost;
    await gpu.renew();
    expect(gpu.tuning).toEqual({ force: TILES });
    const again = builtOn(gpu);
    const { promptEmbeds: renewed } = await pipeline.encodePrompt(`${SOURCE} again`);
    expect(renewed.shape).toEqual(promptEmbeds.shape);
    expect([...again].filter(label => /broadcast/.test(label))).toEqual([]);
    expect(again).toContain('gemm-tile');
  });

  it('plans by it what a call takes', async () => {
    const heard = new Map<string, unknown>();
    const tuning = new CheckedTuning({ force: { linear: 'gemm-tile' } }, (op, problem) => heard.set(op.name, problem));
    const gpu = Gpu.dry({}, undefined, { tuning });
    const pipeline = await openPipeline('test/golden/sd1/model', { gpu, loadWhenNeeded: true });
    made.push(pipeline, gpu);
    const image = { width: 64, height: 64, data: new Uint8Array(3 * 64 * 64) };
    await pipeline.plan({ image, sourcePrompt: 'a', targetPrompt: 'b', numInferenceSteps: 2 });
    expect([...heard.keys()].sort()).toEqual(['attention', 'conv2d', 'groupNormFinalize', 'layerNorm', 'linear']);
  });

  it('gives way, all of it, to what a plan or weights name', async () => {
    const gpu = await request({ tuning: { table: [{ op: 'linear', variant: 'gemv-tile' }] } });
    const weight = Float32Array.from({ length: 40 * 24 }, (_, i) => i % 7);
    const w = Weights.open(memoryCheckpoint({ weight: { shape: [40, 24], values: weight } }));
    const layer = new Linear(w.forRows(1), { in: 24, out: 40, bias: false });
    made.push(await w.load(gpu, {}));
    const run = async (options: PlanOptions): Promise<string | undefined> => {
      const x = DeviceTensor.from(gpu, new Float32Array(24), [1, 24]);
      const y = DeviceTensor.create(gpu, [1, 40]);
      const graph = new Graph(gpu);
      graph.store(layer.forward(graph.input(x)), y);
      const plan = await graph.compile(options);
      made.push(x, y, plan);
      return (await plan.profile())[0].label;
    };
    expect(await run({})).toBe('gemv-tile');
    expect(await run({ tuning: { force: { linear: 'gemm-tile' } } })).toBe('gemm-tile');
    expect(await run({ tuning: { table: [{ op: 'softmax', variant: 'softmax-tile' }] } })).toBe(
      gpu.caps.subgroupSize > 0 ? 'gemv-broadcast' : 'gemv-tile',
    );
  });

  it('has weights packed as its choices read them', async () => {
    const matrix = { m: 8, n: 8, k: 8, component: 'f16', lanes: 32, pinned: false, preferred: true } as const;
    const layoutWith = async (tuning: DryOptions['tuning']): Promise<string> => {
      const gpu = Gpu.dry({ half: 'f16', matrix, maxWorkgroupBytes: 32768 }, undefined, { tuning });
      const w = Weights.open(memoryCheckpoint({ weight: { shape: [64, 64], values: new Float32Array(4096) } }));
      const layer = new Linear(w.forRows(64), { in: 64, out: 64, bias: false });
      made.push(await w.load(gpu, { dtype: 'float16' }));
      return layer.weight.layout;
    };
    expect(await layoutWith(undefined)).toBe('rows');
    expect(await layoutWith({ force: { linear: 'gemm-tile' } })).toBe('panels');
    expect(await layoutWith({ table: [{ op: 'linear', variant: 'gemm-tile' }] })).toBe('panels');
  });

  it('keeps what it was given as it was', async () => {
    const { caps } = await testGpu();
    const table = structuredClone(tableOf(caps, [{ op: 'linear', where: { k: [40, 40] }, variant: 'gemm-tile' }]));
    const gpu = await request({ tuning: table });
    expect(gpu.tuning).toEqual(table);
    Object.assign(table, { choices: [] });
    expect(gpu.tuning).not.toEqual(table);
    const row = { op: 'linear', where: { k: [40, 40] as [number, number] }, variant: 'gemm-tile' };
    const choices = checkTuning({ table: [row] });
    Object.assign(row.where.k, [1, 1]);
    expect(choices.table).toEqual([{ ...row, where: { k: [40, 40] } }]);
    expect((await request({})).tuning).toBeUndefined();
    expect((await request({ tuning: async () => undefined })).tuning).toBeUndefined();
    expect((await request({ tuning: 'kept' })).tuning).toBeUndefined(); // Node has no IndexedDB
    const asked: Caps[] = [];
    const found = await request({
      tuning: own => {
        asked.push(own);
        return tableOf(own, []);
      },
    });
    expect(found.tuning).toEqual(tableOf(found.caps, []));
    expect(asked).toEqual([found.caps]);
  });
});

describe('a tuning that cannot be', () => {
  const refusal = async (tuning: unknown): Promise<string> =>
    freshGpu({ tuning: tuning as GpuOptions['tuning'] }).then(
      () => 'taken',
      error => `${error.name}: ${error.message}`,
    );

  it.each([
    ['an op that there is not', { force: { lenear: 'gemm-tile' } }, /^InputError: .*no such op.*tuning\.force\.lenear/],
    ['a variant that there is not', { force: { linear: 'fast' } }, /no such variant.*"fast"/],
    ['a name that there is not', { forced: {} }, /there is no such argument: got forced.*Write force/],
    ['a choice with wrong bounds', { table: [{ op: 'linear', variant: 'gemm-tile', where: { k: 3 } }] }, /no bounds/],
    ['a list', [], /this is no tuning.*\(tuning\)/],
    ['a text', 'best', /this is no tuning.*'kept'.*best/],
    ['nothing at all', null, /this is no tuning/],
  ])('is refused where it is given: %s', async (_, tuning, message) => {
    expect(await refusal(tuning)).toMatch(message);
  });

  it('is refused by what differs, with the remedy: of another adapter, other features, other kernels, another version', async () => {
    const { caps } = await testGpu();
    const good = tableOf(caps, []);
    expect(await refusal({ ...good, adapter: { ...good.adapter, vendor: 'acme' } })).toMatch(
      /^InputError: .*on another adapter: expected .*, got "acme" \(adapter\.vendor\)\. Measure anew with `pentimento tune`/,
    );
    expect(await refusal({ ...good, device: { ...good.device, subgroupSize: 3 } })).toMatch(
      /grants other things.*got 3/,
    );
    expect(await refusal({ ...good, kernels: 'f'.repeat(64) })).toMatch(/with other kernels.*Measure anew/);
    expect(await refusal({ ...good, version: 2 })).toMatch(/of another version: expected 1, got 2/);
    expect(await refusal({ ...good, choices: [{ op: 'linear', variant: 'gone' }] })).toMatch(/no such variant/);
  });

  it('leaves no device behind', async () => {
    let destroyed = 0;
    const { dawn } = await import('../support/gpu.ts');
    const watched = Object.assign(Object.create(dawn) as GPU, {
      requestAdapter: async (options?: GPURequestAdapterOptions) => {
        const adapter = await dawn.requestAdapter(options);
        const requestDevice = adapter?.requestDevice.bind(adapter);
        return Object.assign(adapter as GPUAdapter, {
          requestDevice: async (descriptor?: GPUDeviceDescriptor) => {
            const device = await (requestDevice as GPUAdapter['requestDevice'])(descriptor);
            const destroy = device.destroy.bind(device);
            device.destroy = () => {
              destroyed++;
              return destroy();
            };
            return device;
          },
        });
      },
    });
    await expect(Gpu.request({ gpu: watched, tuning: { force: { linear: 'none' } } })).rejects.toThrow(
      'no such variant',
    );
    expect(destroyed).toBe(1);
  });

  it('is refused by the first plan of a dry device', async () => {
    const gpu = Gpu.dry(DEFAULT_CAPS, undefined, { tuning: { force: { linear: 'none' } } });
    await expect(new Graph(gpu).compile()).rejects.toThrow('no such variant');
    expect(() => Gpu.dry({}, undefined, { tunning: {} } as object)).toThrow('Write tuning.');
  });
});

describe('in a worker', () => {
  const channel = new MessageChannel();
  afterAll(() => {
    channel.port1.close();
    channel.port2.close();
  });

  it('comes as plain data, a table too', async () => {
    const asked: GpuOptions[] = [];
    const requestGpu = async (options: GpuOptions): Promise<Gpu> => {
      asked.push(options);
      throw new Error('enough');
    };
    serveModels(channel.port2 as never, { requestGpu });
    const { caps } = await testGpu();
    const tuning = tableOf(caps, [{ op: 'linear', variant: 'gemm-tile' }]);
    const open = createWorkerPipeline(
      {
        label: '',
        has: async () => false,
        text: async () => '',
        bytes: async () => {
          throw new Error('none');
        },
      },
      {
        worker: channel.port1 as never,
        gpuOptions: { tuning },
      },
    );
    await expect(open).rejects.toThrow('enough');
    expect(asked).toEqual([{ tuning }]);
  });
});
