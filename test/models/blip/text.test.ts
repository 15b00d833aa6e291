import { describe, expect, test } from 'vitest';
import type { TensorSource } from '../../../src/core/tensor-source.ts';
import { DeviceTensor } from '../../../src/tensor/device-tensor.ts';
import { Graph } from '../../../src/tensor/graph.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { loadBlip } from '../../support/blip.ts';
import { renamed } from '../../support/checkpoint.ts';
import { expectClose } from '../../support/close.ts';
import { loadGolden } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';
import { modes, type Precision } from '../../support/stable-diffusion.ts';
import { evaluate, expectAllClose, tap } from '../../support/taps.ts';

const golden = loadGolden('blip');
const variants = loadGolden('blip-variants');

interface Run {
  readonly folder: string;
  readonly pixels: string;
  readonly ids: string;
  readonly mask?: string;
  readonly dtype?: Precision;
  readonly fuse?: boolean;
  readonly bare?: boolean;
  readonly change?: (source: TensorSource) => TensorSource;
}

/** Logits as 'logits', and what every module returned, by path. */
async function run(o: Run): Promise<Map<string, Float32Array>> {
  const gpu = await testGpu(o.bare ? { bare: true } : {});
  const { dtype = 'float32' } = o;
  const { model, weights } = await loadBlip(gpu, o.folder, { dtype, ...(o.change ? { change: o.change } : {}) });
  const from = (name: string) => (golden.has(name) ? golden : variants).tensor(name);
  const [pixels, ids] = [from(o.pixels), from(o.ids)];
  const graph = new Graph(gpu, { dtype });
  const taps = tap(model);
  const picture = model.vision.forward(graph.input(DeviceTensor.from(gpu, pixels.data, pixels.shape)));
  const keyMask =
    o.mask &&
    graph.constant(
      Array.from(from(o.mask).data, m => (m ? 0 : -10000)),
      ids.shape,
    );
  const input = graph.input(DeviceTensor.from(gpu, ids.data, ids.shape, 'uint32'));
  const logits = model.text.forward(input, model.text.context(picture), keyMask ? { keyMask } : {});
  const wanted = new Map<string, Tensor>([['logits', logits]]);
  for (const [path, tensor] of taps) if (variants.has(path) || variants.has(`odd.${path}`)) wanted.set(path, tensor);
  const values = await evaluate(graph, wanted, { fuse: o.fuse ?? true });
  weights.dispose();
  return values;
}

const plain: Run = { folder: 'blip/model', pixels: 'pixel_values', ids: 'input_ids' };

describe.each(modes)('the text decoder: $name', ({ fuse, dtype, bare, tolerance }) => {
  test('gives the recorded logits', async () => {
    const values = await run({ ...plain, fuse, dtype, bare });
    expectClose(values.get('logits') ?? [], golden.floats('logits').data, tolerance);
  });

  test('meets every block and the logits of two rows, one of them padded', async () => {
    const values = await run({ ...plain, fuse, dtype, bare, pixels: 'pixels', ids: 'ids', mask: 'mask' });
    const logits = values.get('logits') ?? new Float32Array();
    values.delete('logits');
    expect([...values.keys()].filter(name => name.startsWith('text_decoder.bert')).length).toBe(4);
    values.set('masked.logits', logits);
    expectAllClose(values, variants, tolerance);
  });
});

// Fused and packed, the odd model's other activations would take pipelines of their own and show nothing new.
test.each([modes[0], modes[2]])(
  'a model of odd widths with a head of its own meets every block and its logits: $name',
  async mode => {
    const { fuse, dtype, tolerance } = mode;
    const values = await run({ folder: 'blip-variants/odd', pixels: 'odd.pixels', ids: 'odd.ids', fuse, dtype });
    expect([...values.keys()].filter(name => name.startsWith('text_decoder.bert')).length).toBe(3);
    const named = new Map([...values].map(([path, data]) => [`odd.${path}`, data]));
    expectAllClose(named, variants, tolerance);
  },
);

test.each([modes[1], modes[2]])(
  'with a cache, piece by piece, the logits are the same: $name',
  async ({ dtype, tolerance }) => {
    const gpu = await testGpu();
    const { model, weights } = await loadBlip(gpu, 'blip/model', { dtype });
    const [pixels, ids] = [variants.tensor('pixels'), variants.tensor('ids')];
    const graph = new Graph(gpu, { dtype });
    const context = model.text.context(
      model.vision.forward(graph.input(DeviceTensor.from(gpu, pixels.data, pixels.shape))),
    );
    const length = ids.shape[1] as number;
    const columns = (from: number, to: number) =>
      [0, 1].flatMap(r => [...ids.data.subarray(r * length + from, r * length + to)]);
    const whole = model.text.forward(graph.constant(ids.data, ids.shape, 'uint32'), context);
    // Garbage in the caches must not matter.
    const caches = model.text.layers.map(() => {
      const shape = [2, 9, model.text.cacheWidth];
      return graph.input(
        DeviceTensor.from(gpu, new Float32Array(shape[0] * shape[1] * shape[2]).fill(1e4), shape, dtype),
      );
    });
    const wanted = new Map<string, Tensor>([['whole', whole]]);
    for (const [from, to] of [
      [0, 3],
      [3, 4],
      [4, 6],
      [6, 7],
    ] as const) {
      const lengths = graph.constant([to, from], [1, 2], 'uint32');
      const positions = graph.constant(
        Array.from({ length: to - from }, (_, i) => from + i),
        [1, to - from],
        'uint32',
      );
      const input = graph.constant(columns(from, to), [2, to - from], 'uint32');
      const step = { positions, caches: caches.map(tensor => ({ tensor, lengths })) };
      wanted.set(`${to}`, model.text.forwardCached(input, context, step));
    }
    const values = await evaluate(graph, wanted, { fuse: true });
    const expected = values.get('whole') ?? new Float32Array();
    for (const to of [3, 4, 6, 7]) {
      const rows = [0, 1].flatMap(r => [...expected.subarray((r * length + to - 1) * 120, (r * length + to) * 120)]);
      expectClose(values.get(`${to}`) ?? [], rows, tolerance, `after ${to} ids`);
    }
    weights.dispose();
  },
);

test('a file of torch.save gives the same bits', async () => {
  const [a, b] = [await run(plain), await run({ ...plain, folder: 'blip-variants/model' })];
  expect(b.get('logits')).toEqual(a.get('logits'));
});

test('the bias of the head goes by either name', async () => {
  const expected = (await run(plain)).get('logits');
  const change = (source: TensorSource) =>
    renamed(source, name => name.replace('predictions.bias', 'predictions.decoder.bias'));
  expect((await run({ ...plain, change })).get('logits')).toEqual(expected);
});

test('a missing bias, and tensors that nobody knows, are reported by name', async () => {
  const change = (source: TensorSource) =>
    renamed(source, name => name.replace('cls.predictions.bias', 'cls.seq_relationship.bias'));
  await expect(run({ ...plain, change })).rejects.toThrowErrorMatchingInlineSnapshot(`
    [WeightsError: Weights.load: the checkpoint does not fit the model:
      missing: text_decoder.cls.predictions.bias
      unused: text_decoder.cls.seq_relationship.bias
     (blip/model). Check that config.json and the weights belong together.]
  `);
});

test('refuses rows that are too long, and the context of another model', async () => {
  const gpu = await testGpu();
  const { model, weights } = await loadBlip(gpu, 'blip/model');
  const graph = new Graph(gpu);
  const context = model.text.context(graph.input(DeviceTensor.create(gpu, [1, 37, 40])));
  const ids = (length: number) => graph.input(DeviceTensor.create(gpu, [1, length], 'uint32'));
  expect(() => model.text.forward(ids(65), context)).toThrowErrorMatchingInlineSnapshot(
    `[InputError: blipText: too many tokens: expected at most 64, got 65. Truncate the ids.]`,
  );
  expect(() => model.text.forward(ids(4), context.slice(1))).toThrowErrorMatchingInlineSnapshot(
    `[InputError: blipText: keys and values of another model: expected 3, got 2. Make one for each layer, by context() of the same model.]`,
  );
  weights.dispose();
});
