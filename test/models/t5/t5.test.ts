import { describe, expect, test } from 'vitest';
import type { StoredTensor, TensorSource } from '../../../src/core/tensor-source.ts';
import type { Gpu } from '../../../src/gpu/device.ts';
import type { T5Model } from '../../../src/models/t5/index.ts';
import { DeviceTensor } from '../../../src/tensor/device-tensor.ts';
import { Graph } from '../../../src/tensor/graph.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { renamed } from '../../support/checkpoint.ts';
import { expectClose } from '../../support/close.ts';
import { type GoldenTensor, loadGolden } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';
import { modes } from '../../support/stable-diffusion.ts';
import { loadT5, type T5Change } from '../../support/t5.ts';
import { evaluate, expectAllClose, tap } from '../../support/taps.ts';

const golden = loadGolden('t5');
const inputs = golden.ints('input_ids');
const mask = golden.ints('attention_mask');
const answers = golden.ints('decoder_input_ids');

interface Call {
  readonly graph: Graph;
  readonly encoded: Tensor;
  readonly logits: Tensor;
  dispose(): void;
}

/** Records the recorded call. */
function record(gpu: Gpu, model: T5Model, dtype: 'float32' | 'float16', ids: GoldenTensor = inputs): Call {
  const graph = new Graph(gpu, { dtype });
  const owned: DeviceTensor[] = [];
  const input = (data: ArrayLike<number>, shape: readonly number[], type: 'uint32' | 'float32') => {
    owned.push(DeviceTensor.from(gpu, data, shape, type));
    return graph.input(owned[owned.length - 1]);
  };
  const keyMask = input(
    Array.from(mask.data, counts => (counts ? 0 : -1e30)),
    mask.shape,
    'float32',
  );
  const encoded = model.encoder.forward(input(ids.data, ids.shape, 'uint32'), keyMask);
  const keyValues = model.decoder.context(encoded);
  const logits = model.decoder.forward(input(answers.data, answers.shape, 'uint32'), { keyValues, keyMask });
  return {
    graph,
    encoded,
    logits,
    dispose: () => {
      for (const tensor of owned) tensor.dispose();
    },
  };
}

async function run(
  gpu: Gpu,
  change: T5Change = {},
  ids?: GoldenTensor,
): Promise<{ encoded: Float32Array; logits: Float32Array }> {
  const { model, weights } = await loadT5(gpu, change);
  const call = record(gpu, model, change.dtype ?? 'float32', ids);
  const wanted = new Map([
    ['encoded', call.encoded],
    ['logits', call.logits],
  ]);
  const values = await evaluate(call.graph, wanted, { fuse: true });
  call.dispose();
  weights.dispose();
  return { encoded: values.get('encoded') as Float32Array, logits: values.get('logits') as Float32Array };
}

describe('T5', () => {
  test.each(modes)('meets every recorded activation: $name', async ({ fuse, dtype, bare, tolerance }) => {
    const gpu = await testGpu(bare ? { bare } : {});
    const { model, weights } = await loadT5(gpu, { dtype });
    const taps = tap(model);
    const call = record(gpu, model, dtype);
    const wanted = new Map<string, Tensor>();
    for (const [path, tensor] of taps) {
      const name = path === 'shared' ? 'encoder.embed_tokens' : path;
      if (golden.has(name)) wanted.set(name, tensor);
    }
    wanted.set('encoder.out', call.encoded).set('logits', call.logits);
    const activations = golden.names.filter(name => golden.tensor(name).data instanceof Float32Array);
    expect(new Set(wanted.keys())).toEqual(new Set(activations));
    expect(wanted.get('encoder.block.2')?.dtype).toBe('float32');
    expectAllClose(await evaluate(call.graph, wanted, { fuse }), golden, tolerance);
    call.dispose();
    weights.dispose();
  });

  test('ids behind the mask change no row before it, and no logits', async () => {
    const gpu = await testGpu();
    const other = inputs.data.map((id, i) => (mask.data[i] ? id : 7));
    expect(other).not.toEqual(inputs.data);
    const [one, two] = [await run(gpu), await run(gpu, {}, { data: other, shape: inputs.shape })];
    expect(two.logits).toEqual(one.logits);
    const width = one.encoded.length / mask.data.length;
    mask.data.forEach((counts, row) => {
      const [a, b] = [one, two].map(({ encoded }) => encoded.slice(row * width, (row + 1) * width));
      if (counts) expect(b).toEqual(a);
      else expect(b).not.toEqual(a);
    });
  });
});

describe('the embedding table', () => {
  test.each(['encoder.embed_tokens', 'decoder.embed_tokens'])('may be called %s', async alias => {
    const source = (s: TensorSource) => renamed(s, name => (name === 'shared.weight' ? `${alias}.weight` : name));
    expectClose((await run(await testGpu(), { source })).logits, golden.tensor('logits').data, 1e-4);
  });

  test('is called shared where a file has all three names', async () => {
    const aliases = ['encoder.embed_tokens.weight', 'decoder.embed_tokens.weight'];
    const source = (s: TensorSource): TensorSource => {
      const table = s.tensors.get('shared.weight') as StoredTensor;
      const read: TensorSource['read'] = async (name, start, into) =>
        aliases.includes(name) ? void into.fill(63) : s.read(name, start, into);
      return {
        ...s,
        tensors: new Map([...aliases.map(name => [name, { ...table, name }] as const), ...s.tensors]),
        read,
      };
    };
    expectClose((await run(await testGpu(), { source })).logits, golden.tensor('logits').data, 1e-4);
  });

  test('is no head where transformers 5 wrote that its author did not tie them', async () => {
    const config = { tie_word_embeddings: true, scale_decoder_outputs: false };
    expectClose((await run(await testGpu(), { config })).logits, golden.tensor('logits').data, 1e-4);
  });

  test('is the head too where the config ties them, behind a factor of D^-1/2', async () => {
    const gpu = await testGpu();
    // A head equal to the table gives the tied logits but for the factor.
    const copy = (s: TensorSource): TensorSource => ({
      ...s,
      read: (name, start, into) => s.read(name === 'lm_head.weight' ? 'shared.weight' : name, start, into),
    });
    const untied = await run(gpu, { source: copy });
    const expected = untied.logits.map(x => x / Math.sqrt(48));
    expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(0.1);
    for (const config of [{ tie_word_embeddings: true }, { tie_word_embeddings: undefined }]) {
      expectClose((await run(gpu, { config })).logits, expected, 1e-5);
    }
    const without = (s: TensorSource): TensorSource => ({
      ...s,
      tensors: new Map([...s.tensors].filter(([name]) => name !== 'lm_head.weight')),
    });
    const config = { tie_word_embeddings: true };
    expectClose((await run(gpu, { config, source: without })).logits, expected, 1e-5);
    await expect(run(gpu, { source: without })).rejects.toThrow('missing: lm_head.weight');
  });
});

test('half storage holds no infinity, however large the feed-forward products are', async () => {
  const gpu = await testGpu();
  const gain = 2 ** 9;
  const large = (s: TensorSource): TensorSource => ({
    ...s,
    read: async (name, start, into) => {
      await s.read(name, start, into);
      if (!/DenseReluDense/.test(name)) return;
      const bytes = new Uint8Array(into);
      const values = new Float32Array(bytes.buffer).map(x => x * gain);
      into.set(new Uint8Array(values.buffer));
    },
  });
  const exact = await run(gpu, { source: large });
  for (const device of [gpu, await testGpu({ bare: true })]) {
    const { model, weights } = await loadT5(device, { source: large, dtype: 'float16' });
    const taps = tap(model);
    const call = record(device, model, 'float16');
    const stream = taps.get('encoder.block.0') as Tensor;
    const wanted = new Map([
      ['stream', stream],
      ['logits', call.logits],
    ]);
    const values = await evaluate(call.graph, wanted, { fuse: true });
    expect(Math.max(...(values.get('stream') ?? []).map(Math.abs))).toBeGreaterThan(65504);
    expectClose(values.get('logits') ?? [], exact.logits, 3e-2);
    call.dispose();
    weights.dispose();
  }
});
