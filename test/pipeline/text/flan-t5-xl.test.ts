import { expect, test } from 'vitest';
import type { TensorSource } from '../../../src/core/tensor-source.ts';
import { Gpu } from '../../../src/gpu/device.ts';
import { parseT5Config, T5Model } from '../../../src/models/t5/index.ts';
import { Weights } from '../../../src/nn/weights.ts';
import { BlipForConditionalGeneration } from '../../../src/pipeline/text/blip.ts';
import { T5ForConditionalGeneration } from '../../../src/pipeline/text/t5.ts';
import { DeviceTensor } from '../../../src/tensor/device-tensor.ts';
import { Graph } from '../../../src/tensor/graph.ts';
import { repositoryFolder } from '../../support/captioner.ts';
import { relativeL2 } from '../../support/close.ts';
import { fakeModel } from '../../support/fake-models.ts';
import { fullSize } from '../../support/fake-weights.ts';
import { loadGolden } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';
import { evaluate } from '../../support/taps.ts';

const MIB = 2 ** 20;
const LIMITS = { bindings: 128 * MIB, buffers: 256 * MIB };
const PARAMETERS = 2_849_757_184;
const ids = [Array.from({ length: 19 }, (_, i) => 100 + i)];
const quiet = { onWarning: () => undefined };

test.each([
  ['F16', 'float16', {}],
  ['F16', 'float32', { numBeams: 4 }],
  ['F32', 'float32', { doSample: true, numReturnSequences: 16 }],
] as const)('a sharded folder of %s as %s fits the default limits, %o', async (type, dtype, settings) => {
  const folder = fakeModel('flan-t5-xl', { dtype: type, shardBytes: 1e9 });
  const options = { gpu: Gpu.dry(), dtype, loadWhenNeeded: true, ...quiet };
  const t5 = await T5ForConditionalGeneration.fromPretrained(folder, options);
  const plan = await t5.plan({ ids }, { maxNewTokens: 4, eosTokenId: null, ...settings });
  expect(plan.largestBinding).toBeLessThanOrEqual(LIMITS.bindings);
  expect(plan.largestBuffer).toBeLessThanOrEqual(LIMITS.buffers);
  const bytes = (type === 'F32' ? 4 : 2) * PARAMETERS;
  expect(plan.weightBytes).toBeGreaterThanOrEqual(bytes);
  expect(plan.weightBytes).toBeLessThan(1.001 * bytes);
  t5.dispose();
});

test('texts on a device that runs nothing go on to their longest length', async () => {
  for (const settings of [{}, { numBeams: 3 }, { doSample: true, numReturnSequences: 2 }]) {
    const own = { maxNewTokens: 5, eosTokenId: null, ...settings };
    const gpu = Gpu.dry();
    const t5 = await T5ForConditionalGeneration.fromPretrained(repositoryFolder('models/orchard/t5'), { gpu });
    for (const ids of (await t5.generate('a bowl of pears', own)).sequences) expect(ids).toHaveLength(6);
    t5.dispose();
    const blip = await BlipForConditionalGeneration.fromPretrained(repositoryFolder('models/orchard/blip'), { gpu });
    const picture = { width: 40, height: 30, data: new Uint8Array(3600) };
    const prefixed = (await blip.generate(picture, own)).sequences;
    for (const ids of prefixed) expect(ids.length).toBeGreaterThan(5);
    blip.dispose();
  }
});

/** The first block of each stack, and 512 rows of the vocabulary. */
function twoBlocks(): { config: unknown; source: TensorSource } {
  const { config, source } = fullSize('t5-xl');
  const kept = [...source.tensors.values()].filter(({ name }) => !/\.block\.(?!0\.)/.test(name));
  const tensors = new Map(
    kept.map(tensor => {
      if (tensor.shape[0] !== 32128) return [tensor.name, tensor];
      return [tensor.name, { ...tensor, shape: [512, 2048], byteLength: 2 * 512 * 2048 }];
    }),
  );
  const small = { ...(config as object), vocab_size: 512, num_layers: 1, num_decoder_layers: 1 };
  return { config: small, source: { ...source, tensors } };
}

test('a block of each stack gives the numbers of float64', async () => {
  const golden = loadGolden('t5-xl');
  const gpu = await testGpu({ bare: true });
  const { config, source } = twoBlocks();
  const w = Weights.open(source);
  const model = new T5Model(w, parseT5Config(config, 't5-xl'));
  const weights = await w.load(gpu, { dtype: 'float32' });
  const graph = new Graph(gpu, { dtype: 'float32' });
  const input = (name: string) => {
    const { data, shape } = golden.ints(name);
    return graph.input(DeviceTensor.from(gpu, data, shape, 'uint32'));
  };
  const encoder = model.encoder.forward(input('input_ids'));
  const logits = model.decoder.forward(input('decoder_input_ids'), { keyValues: model.decoder.context(encoder) });
  const values = await evaluate(graph, new Map(Object.entries({ encoder, logits })), { fuse: true });
  for (const [name, value] of values) {
    const { data } = golden.floats(name);
    const error = relativeL2(value.subarray(0, data.length), data);
    expect(error, name).toBeLessThan(3 * golden.json.torch_error[name]);
  }
  weights.dispose();
});

/** 5.7 GB on the device, which is this machine's memory on a software adapter. */
const whole = process.env.PENTIMENTO_FULL ? (['float16'] as const) : [];
test.each(whole)(
  'the whole network takes a step within the default limits, weights as %s',
  async dtype => {
    const gpu = await testGpu({ bare: true });
    const folder = fakeModel('flan-t5-xl', { shardBytes: 1e9 });
    const t5 = await T5ForConditionalGeneration.fromPretrained(folder, { gpu, dtype, ...quiet });
    const { data, shape } = await t5.logits({ ids }, [[0]]);
    expect(shape).toEqual([1, 1, 32128]);
    expect(data.every(Number.isFinite)).toBe(true);
    const likeliest = data.indexOf(data.reduce((a, b) => Math.max(a, b)));
    expect(Math.max(...data) - Math.min(...data)).toBeGreaterThan(0.1);
    const { sequences } = await t5.generate({ ids }, { maxNewTokens: 1, eosTokenId: null });
    expect(sequences).toEqual([[0, likeliest]]);
    t5.dispose();
  },
  3_600_000,
);
