import { describe, expect, test } from 'vitest';
import type { TensorSource } from '../../../src/core/tensor-source.ts';
import { DeviceTensor } from '../../../src/tensor/device-tensor.ts';
import { Graph } from '../../../src/tensor/graph.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { checkpoint, renamed } from '../../support/checkpoint.ts';
import { expectClose } from '../../support/close.ts';
import { type Golden, type GoldenTensor, loadGolden } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';
import { fromHalf } from '../../support/half.ts';
import { loadPart, modes } from '../../support/stable-diffusion.ts';
import { evaluate, expectAllClose, tap } from '../../support/taps.ts';

const recorded = (golden: Golden) => golden.names.filter(name => name.startsWith('text.'));

describe.each(['sd1', 'sd2'])('the text encoder of %s', folder => {
  test.each(modes)('meets every recorded activation: $name', async ({ fuse, dtype, bare, tolerance }) => {
    const golden = loadGolden(folder);
    const gpu = await testGpu(bare ? { bare } : {});
    const { model, weights } = await loadPart(gpu, `${folder}/model`, 'text_encoder', { dtype });
    const ids = golden.tensor('text.input_ids');
    const input = DeviceTensor.from(gpu, ids.data, ids.shape, 'uint32');
    const graph = new Graph(gpu, { dtype });
    const taps = tap(model);
    const out = model.forward(graph.input(input));
    const wanted = new Map<string, Tensor>();
    for (const [path, tensor] of taps) {
      const name = `text.${path}`;
      if (golden.has(name) && (!fuse || /layers\.\d+$/.test(path))) wanted.set(name, tensor);
    }
    wanted.set('text.last_hidden_state', out);
    if (!fuse) expect(new Set([...wanted.keys(), 'text.input_ids'])).toEqual(new Set(recorded(golden)));
    expect(wanted.size).toBeGreaterThan(3);
    expectAllClose(await evaluate(graph, wanted, { fuse }), golden, tolerance);
    input.dispose();
    weights.dispose();
  });

  test.each([0, 1, 2, 3])('clipSkip %i ends that many layers earlier, behind the final norm', async clipSkip => {
    const golden = loadGolden(folder);
    const state = clipSkip === 3 ? 'text.text_model.embeddings' : `text.text_model.encoder.layers.${2 - clipSkip}`;
    const expected = await finalNorm(folder, golden.tensor(state));
    expectClose(await encode(folder, { clipSkip }), expected, 1e-4, `clipSkip ${clipSkip}`);
  });
});

test('reads files without the prefix, and files with the old position_ids', async () => {
  const golden = loadGolden('sd1');
  const expected = golden.tensor('text.last_hidden_state').data;
  const bare = (source: TensorSource) => renamed(source, name => name.replace('text_model.', ''));
  const old = (source: TensorSource): TensorSource => {
    const name = 'text_model.embeddings.position_ids';
    return {
      ...source,
      tensors: new Map([...source.tensors, [name, { name, dtype: 'I64', shape: [1, 77], byteLength: 616 }]]),
    };
  };
  for (const change of [bare, old]) expectClose(await encode('sd1', { change }), expected, 1e-4);
});

test('shorter inputs give the same rows: nothing looks ahead', async () => {
  const golden = loadGolden('sd1');
  const gpu = await testGpu();
  const { model, weights } = await loadPart(gpu, 'sd1/model', 'text_encoder');
  const length = 5;
  const ids = golden.tensor('text.input_ids').data.slice(0, length);
  const graph = new Graph(gpu);
  const out = model.forward(graph.input(DeviceTensor.from(gpu, ids, [1, length], 'uint32')));
  const values = await evaluate(graph, new Map([['out', out]]), { fuse: true });
  const expected = golden.tensor('text.last_hidden_state').data.slice(0, length * 48);
  expectClose(values.get('out') ?? [], expected, 1e-4);
  weights.dispose();
});

test('refuses a clipSkip beyond the layers and inputs that are too long', async () => {
  const gpu = await testGpu();
  const { model, weights } = await loadPart(gpu, 'sd1/model', 'text_encoder');
  const ids = (length: number) => new Graph(gpu).input(DeviceTensor.create(gpu, [1, length], 'uint32'));
  expect(() => model.forward(ids(77), { clipSkip: 4 })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: clipText: clipSkip out of range: expected a whole number from 0 to 3, got 4. Leave out fewer layers.]`,
  );
  expect(() => model.forward(ids(77), { clipSkip: -1 })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: clipText: clipSkip out of range: expected a whole number from 0 to 3, got -1. Leave out fewer layers.]`,
  );
  expect(() => model.forward(ids(78))).toThrowErrorMatchingInlineSnapshot(
    `[InputError: clipText: tokens out of range: expected a whole number from 1 to 77, got 78. Truncate the ids.]`,
  );
  weights.dispose();
});

async function encode(
  folder: string,
  o: { clipSkip?: number; change?: (s: TensorSource) => TensorSource },
): Promise<Float32Array> {
  const golden = loadGolden(folder);
  const gpu = await testGpu();
  const { change } = o;
  const { model, weights } = await loadPart(gpu, `${folder}/model`, 'text_encoder', change ? { change } : {});
  const ids = golden.tensor('text.input_ids');
  const graph = new Graph(gpu);
  const out = model.forward(graph.input(DeviceTensor.from(gpu, ids.data, ids.shape, 'uint32')), {
    clipSkip: o.clipSkip,
  });
  const values = await evaluate(graph, new Map([['out', out]]), { fuse: true });
  weights.dispose();
  return values.get('out') ?? new Float32Array();
}

/** The final LayerNorm in f64, with the scale and shift of the file. */
async function finalNorm(folder: string, state: GoldenTensor): Promise<Float64Array> {
  const model = await checkpoint(`${folder}/model/text_encoder/model.safetensors`);
  const vector = async (name: string): Promise<ArrayLike<number>> => {
    const stored = model.tensors.get(`text_model.final_layer_norm.${name}`);
    const bytes = new Uint8Array(stored?.byteLength ?? 0);
    await model.read(`text_model.final_layer_norm.${name}`, 0, bytes);
    return stored?.dtype === 'F16' ? fromHalf(new Uint16Array(bytes.buffer)) : new Float32Array(bytes.buffer);
  };
  const [weight, bias] = [await vector('weight'), await vector('bias')];
  await model.close?.();
  const width = weight.length;
  const out = new Float64Array(state.data.length);
  for (let row = 0; row < out.length; row += width) {
    const x = Array.from(state.data.subarray(row, row + width));
    const mean = x.reduce((a, b) => a + b, 0) / width;
    const variance = x.reduce((a, b) => a + (b - mean) ** 2, 0) / width;
    x.forEach((value, i) => {
      out[row + i] = ((value - mean) / Math.sqrt(variance + 1e-5)) * weight[i] + bias[i];
    });
  }
  return out;
}
