import { afterAll, describe, expect, test } from 'vitest';
import type { TensorSource } from '../../src/core/tensor-source.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { Attention } from '../../src/nn/attention.ts';
import { Embedding } from '../../src/nn/embedding.ts';
import { gelu } from '../../src/nn/functional.ts';
import { GegluLinear, Linear } from '../../src/nn/linear.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { countDevice } from '../support/counting.ts';
import { freshGpu, testGpu } from '../support/gpu.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
import { randoms } from '../support/run-kernel.ts';

const [WIDTH, WIDE, COUNT, LENGTH] = [24, 650, 100, 7];
const WATCH = { check: () => undefined };

function checkpoint(dtype = 'F32'): TensorSource {
  const matrix = (rows: number, columns: number, seed: number) => {
    return { shape: [rows, columns], values: randoms(rows * columns, seed).map(x => x / 4), dtype };
  };
  const spoilt = matrix(WIDE, WIDTH, 20);
  return memoryCheckpoint({
    'table.weight': matrix(COUNT, WIDTH, 1),
    'wide.weight': matrix(WIDE, WIDTH, 2),
    'wide.bias': { shape: [WIDE], values: randoms(WIDE, 3) },
    ...Object.fromEntries(['q', 'k', 'v'].map((name, i) => [`mix.${name}.weight`, matrix(150, WIDTH, 5 + i)])),
    'mix.o.weight': matrix(WIDTH, 150, 8),
    'gated.weight': matrix(2 * 40, WIDTH, 9),
    'gated.bias': { shape: [80], values: randoms(80, 10) },
    'narrow.weight': matrix(WIDTH, 40, 11),
    'spoilt.weight': { ...spoilt, values: spoilt.values.map((_, i) => (i % 2 ? Number.NaN : 6e4)) },
  });
}

interface Layers {
  readonly table: Embedding;
  readonly wide: Linear;
  readonly mix: Attention;
  readonly gated: GegluLinear;
  readonly narrow: Linear;
  readonly spoilt: Linear;
}

/** Tables, odd heads, gates, and layers that the network uses twice: nothing is read in the order of the modules. */
function open(source: TensorSource): { weights: Weights; layers: Layers } {
  const w = Weights.open(source);
  const names = { q: 'q', k: 'k', v: 'v', out: 'o' };
  return {
    weights: w,
    layers: {
      spoilt: new Linear(w.at('spoilt'), { in: WIDTH, out: WIDE, bias: false }),
      narrow: new Linear(w.at('narrow'), { in: 40, out: WIDTH, bias: false }),
      wide: new Linear(w.at('wide'), { in: WIDTH, out: WIDE }),
      mix: new Attention(w.at('mix'), { query: WIDTH, heads: 30, headWidth: 5, outBias: false, names }),
      table: new Embedding(w.at('table'), { count: COUNT, width: WIDTH }),
      gated: new GegluLinear(w.at('gated'), { in: WIDTH, out: 40 }),
    },
  };
}

/** A plan of the layers, and one that leaves NaN in the slots. */
async function record(gpu: Gpu, { table, wide, mix, gated, narrow, spoilt }: Layers, dtype: 'float32' | 'float16') {
  const numbers = Array.from({ length: LENGTH }, (_, i) => (i * 37) % COUNT);
  const ids = DeviceTensor.from(gpu, numbers, [1, LENGTH], 'uint32');
  const [out, other] = [WIDTH, WIDE].map(width => DeviceTensor.create(gpu, [1, LENGTH, width], dtype));
  const graph = new Graph(gpu, { dtype });
  let h = table.forward(graph.input(ids));
  for (let times = 0; times < 2; times++) {
    h = h.add(narrow.forward(gated.forward(h)));
    h = h.add(mix.forward(h));
    h = h.add(gelu(wide.forward(h)).slice(2, 611, 611 + WIDTH));
  }
  graph.store(h, out as DeviceTensor);
  const second = new Graph(gpu, { dtype });
  second.store(spoilt.forward(second.input(out as DeviceTensor)), other as DeviceTensor);
  const plans = [await graph.compile(), await second.compile()] as const;
  const dispose = () => {
    for (const thing of [...plans, ids, out, other]) thing?.dispose();
  };
  return { plans, out: out as DeviceTensor, other: other as DeviceTensor, dispose };
}

const windows = { maxBindingBytes: 2 ** 15 };
const cases = [
  { name: 'float32', dtype: 'float32', stored: 'F32', options: {} },
  { name: 'bfloat16', dtype: 'float32', stored: 'BF16', options: {} },
  { name: 'float16 in windows', dtype: 'float16', stored: 'F32', options: windows },
  { name: 'float16 on a bare device', dtype: 'float16', stored: 'F16', options: { bare: true } },
] as const;

describe('weights in slots', () => {
  test.each(cases)('$name: the same bits whatever lay there before', async ({ dtype, stored, options }) => {
    const gpu = await testGpu(options);
    const source = checkpoint(stored);
    const { weights, layers } = open(source);
    const loaded = await weights.load(gpu, { dtype });
    const whole = await record(gpu, layers, dtype);
    whole.plans[0].run();
    const expected = await whole.out.read();
    for (const thing of [whole, loaded]) thing.dispose();
    expect(expected.every(Number.isFinite)).toBe(true);

    for (const slotBytes of [1, 2 ** 17]) {
      const streamed = await weights.stream(gpu, { dtype, slotBytes, stagingBytes: 2 ** 12 });
      const parts = await record(gpu, layers, dtype);
      const [first, second] = parts.plans.map(plan => plan.stream?.prepare(plan));
      for (let times = 0; times < 2; times++) {
        await first?.run(WATCH);
        expect(await parts.out.read()).toEqual(expected);
        await second?.run(WATCH);
        expect((await parts.other.read()).some(Number.isNaN)).toBe(true);
      }
      expect(() => parts.plans[0].run()).toThrow('the weights pass through the device while it runs');
      for (const thing of [parts, streamed]) thing.dispose();
    }
  });
});

describe('a replay', () => {
  const made: Gpu[] = [];
  const fresh = async (): Promise<Gpu> => {
    const gpu = await freshGpu();
    made.push(gpu);
    return gpu;
  };
  afterAll(() => {
    for (const gpu of made) gpu.dispose();
  });

  test('reads ahead of the device, but only so far', async () => {
    const gpu = await fresh();
    const counter = countDevice(gpu);
    const { createBuffer } = gpu.device;
    /** What gives staging memory back to the host. */
    const waiting: (() => void)[] = [];
    let held = false;
    gpu.device.createBuffer = descriptor => {
      const buffer = createBuffer(descriptor);
      const map = buffer.mapAsync.bind(buffer);
      buffer.mapAsync = async (...args) => {
        if (held) await new Promise<void>(resolve => waiting.push(resolve));
        return map(...args);
      };
      return buffer;
    };
    const source = checkpoint();
    const reads: string[] = [];
    const { weights, layers } = open({
      ...source,
      read: async (name, ...range) => {
        reads.push(name);
        await source.read(name, ...range);
      },
    });
    // Every group is one weight, read and packed at once.
    const streamed = await weights.stream(gpu, { slotBytes: 1 });
    expect(streamed.bytes).toBe(counter.liveBytes);
    const { plans, out, dispose } = await record(gpu, layers, 'float32');
    await gpu.idle();
    const turn = () => new Promise(resolve => setTimeout(resolve, 50));
    const since = () => [[...new Set(reads.splice(0))].join(' '), waiting.length, counter.take().submits];
    since();
    held = true;
    const replay = plans[0].stream?.prepare(plans[0]).run(WATCH) as Promise<void>;
    await turn();
    // Biases went through the first of three buffers; the others take a weight each, and the dispatches that read it are submitted.
    expect(since()).toEqual(['table.weight gated.weight', 1, 4]);
    waiting.shift()?.();
    await turn();
    expect(since()).toEqual(['narrow.weight', 1, 2]);
    held = false;
    for (const free of waiting) free();
    await replay;
    expect((await out.read()).every(Number.isFinite)).toBe(true);
    expect(() => streamed.dispose()).not.toThrow();
    dispose();
    expect(counter.liveBytes).toBe(0);
    counter.stop();
  });

  test('does not begin while another one runs, and ends when the weights go', async () => {
    const gpu = await fresh();
    const { weights, layers } = open(checkpoint());
    const streamed = await weights.stream(gpu, { slotBytes: 1 });
    const { plans, dispose } = await record(gpu, layers, 'float32');
    const parts = plans[0].stream?.prepare(plans[0]);
    const [one, two] = [parts?.run(WATCH), parts?.run(WATCH)];
    await expect(two).rejects.toThrow('the streamed weights are in use. Await one replay before the next.');
    streamed.dispose();
    await expect(one).rejects.toThrow('the weights left the device during a replay');
    dispose();
    await gpu.idle();
  });

  test('of the weights of two networks is refused', async () => {
    const shared = await testGpu();
    const networks = [open(checkpoint()), open(checkpoint())] as const;
    const streams = [await networks[0].weights.stream(shared), await networks[1].weights.stream(shared)];
    const mixed = { ...networks[0].layers, gated: networks[1].layers.gated };
    const { plans, dispose } = await record(shared, mixed, 'float32');
    expect(() => plans[0].stream?.prepare(plans[0])).toThrow('the plan reads the streamed weights of two networks');
    for (const thing of [...streams, { dispose }]) thing.dispose();
  });
});
