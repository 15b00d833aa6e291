import { describe, expect, test } from 'vitest';
import { SD21_UNET } from '../../../src/models/stable-diffusion/config.ts';
import { timestepFeatures, UNet2DConditionModel } from '../../../src/models/stable-diffusion/unet.ts';
import { silu } from '../../../src/nn/functional.ts';
import { GroupNorm, LayerNorm } from '../../../src/nn/norm.ts';
import { Weights } from '../../../src/nn/weights.ts';
import { DeviceTensor } from '../../../src/tensor/device-tensor.ts';
import { Graph } from '../../../src/tensor/graph.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { expectClose, maxError } from '../../support/close.ts';
import { type GoldenTensor, loadGolden } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';
import { memoryCheckpoint } from '../../support/memory-checkpoint.ts';
import { loadPart, modes } from '../../support/stable-diffusion.ts';
import { asGolden, evaluate, expectAllClose, modulesOf, tap } from '../../support/taps.ts';

/** Activation functions are modules in the reference; at their first call they follow these. */
const activations: Record<string, string> = {
  'unet.conv_act': 'conv_norm_out',
  'unet.time_embedding.act': 'time_embedding.linear_1',
  'unet.mid_block.resnets.0.nonlinearity': 'mid_block.resnets.0.norm1',
  'unet.mid_block.resnets.1.nonlinearity': 'mid_block.resnets.1.norm1',
};
const inputs = ['unet.sample', 'unet.context'];
const isBlock = (path: string) => /^(down_blocks\.\d+|mid_block|up_blocks\.\d+)$/.test(path);

describe.each(['sd1', 'sd2'])('the UNet of %s', folder => {
  test.each(modes)('meets every recorded activation: $name', async ({ fuse, dtype, bare, tolerance }) => {
    const golden = loadGolden(folder);
    const gpu = await testGpu(bare ? { bare } : {});
    const { model, weights } = await loadPart(gpu, `${folder}/model`, 'unet', { dtype });
    const graph = new Graph(gpu, { dtype });
    const input = (g: GoldenTensor) => graph.input(DeviceTensor.from(gpu, g.data, g.shape));
    // One row of time features a picture, as the reference has them, or one for all.
    const times = fuse ? [481] : [481, 481];
    const features = timestepFeatures(times, model.config);
    const time = {
      data: features,
      shape: [times.length, features.length / times.length],
    };
    const taps = tap(model);
    const context = model.context(input(golden.tensor('unet.context')));
    const out = model.forward(input(golden.tensor('unet.sample')), input(time), context);
    const wanted = new Map<string, Tensor>();
    for (const [path, tensor] of taps) {
      const name = `unet.${path}`;
      if (golden.has(name) && (!fuse || isBlock(path))) wanted.set(name, asGolden(tensor, golden.tensor(name)));
    }
    if (!fuse) for (const [name, of] of Object.entries(activations)) wanted.set(name, silu(taps.get(of) as Tensor));
    wanted.set('unet.out', out);
    if (!fuse) {
      expectClose(features, golden.tensor('unet.time_proj').data, 1e-6, 'unet.time_proj');
      const recorded = golden.names.filter(name => name.startsWith('unet.'));
      expect(new Set([...wanted.keys(), ...inputs, 'unet.time_proj'])).toEqual(new Set(recorded));
    }
    expect([...wanted.keys()].filter(name => isBlock(name.slice(5)))).toHaveLength(folder === 'sd1' ? 7 : 9);
    expectAllClose(await evaluate(graph, wanted, { fuse }), golden, tolerance);
    weights.dispose();
  });
});

test.each([
  ['sd1', 'sd1'],
  ['sd1_thin', 'sd1'],
  ['sd2', 'sd2'],
])('takes latents whose sides do not halve evenly: %s', async (name, folder) => {
  const golden = loadGolden('sd-variants');
  const out = await predict(
    `${folder}/model`,
    [golden.tensor(`${name}.sample`), golden.tensor(`${name}.context`)],
    [261],
  );
  expectClose(out, golden.tensor(`${name}.out`).data, 1e-4, name);
});

test('honours configs that no published model has', async () => {
  const golden = loadGolden('sd-variants');
  const timesteps = [...golden.tensor('unet.timesteps').data];
  const out = await predict('sd-variants', [golden.tensor('unet.sample'), golden.tensor('unet.context')], timesteps);
  expectClose(out, golden.tensor('unet.out').data, 1e-4, 'unet.out');
});

test('time features are the reference’s but for the last bit of a frequency, 6e-5 at t = 999', async () => {
  const golden = loadGolden('sd-variants');
  const times = [...golden.tensor('features.timesteps').data];
  expect(maxError(timestepFeatures(times, SD21_UNET), golden.tensor('features.cosines_first').data)).toBeLessThan(7e-5);
  const [first] = SD21_UNET.levels;
  const odd = { ...SD21_UNET, levels: [{ ...first, channels: 33 }], flipSinToCos: false, freqShift: 1 };
  expect(maxError(timestepFeatures(times, odd), golden.tensor('features.odd').data)).toBeLessThan(7e-5);
});

test('one context serves any number of predictions', async () => {
  const { model, weights, sample, time, text } = await small();
  const context = model.context(text);
  model.forward(sample, time, context);
  expect(model.forward(sample, time, context).shape).toEqual([2, 4, 8, 8]);
  weights.dispose();
});

test('refuses inputs that do not belong together or to the model', async () => {
  const { model, weights, sample, time, text, zeros } = await small();
  const context = model.context(text);
  expect(() => model.context(zeros([2, 3, 41]))).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: unet: text embeddings of another shape: expected [N, S, 48], got [2, 3, 41]. Use the text encoder of the same folder.]`,
  );
  expect(() => model.forward(zeros([2, 3, 8, 8]), time, context)).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: unet: not a map with the channels that the model takes: expected [N, 4, H, W], got [2, 3, 8, 8]]`,
  );
  expect(() => model.forward(zeros([6, 4, 8, 8]), time, context)).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: unet: time features of another shape: expected [1, 32] or [6, 32], got [2, 32]. Make them by timestepFeatures().]`,
  );
  expect(() => model.forward(sample, zeros([2, 31]), context)).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: unet: time features of another shape: expected [1, 32] or [2, 32], got [2, 31]. Make them by timestepFeatures().]`,
  );
  expect(() => model.forward(sample, time, context.slice(1))).toThrowErrorMatchingInlineSnapshot(
    `[InputError: unet: wrong number of contexts: expected 7, got 6. Make it by context() of the same model.]`,
  );
  weights.dispose();
});

test('refuses a config made by hand without levels', () => {
  const w = Weights.open(memoryCheckpoint({}));
  expect(() => new UNet2DConditionModel(w, { ...SD21_UNET, levels: [] })).toThrowErrorMatchingInlineSnapshot(
    `[InputError: UNetConfig: no levels: expected at least one, got []]`,
  );
});

test('every norm has the reference’s epsilon, which numbers of this size hardly show', async () => {
  const { model, weights } = await small();
  const norms = modulesOf(model).filter(m => m instanceof GroupNorm || m instanceof LayerNorm);
  for (const norm of norms) expect(norm.eps, norm.path).toBe(/attentions\.\d+\.norm$/.test(norm.path) ? 1e-6 : 1e-5);
  expect(norms).toHaveLength(2 * 11 + 7 + 3 * 7 + 1);
  weights.dispose();
});

async function small() {
  const gpu = await testGpu();
  const { model, weights } = await loadPart(gpu, 'sd1/model', 'unet');
  const graph = new Graph(gpu);
  const zeros = (shape: number[]) => graph.input(DeviceTensor.create(gpu, shape));
  return { model, weights, zeros, sample: zeros([2, 4, 8, 8]), time: zeros([2, 32]), text: zeros([2, 3, 48]) };
}

async function predict(
  folder: string,
  [sample, text]: [GoldenTensor, GoldenTensor],
  times: number[],
): Promise<Float32Array> {
  const gpu = await testGpu();
  const { model, weights } = await loadPart(gpu, folder, 'unet');
  const graph = new Graph(gpu);
  const input = (data: ArrayLike<number>, shape: readonly number[]) => graph.input(DeviceTensor.from(gpu, data, shape));
  const features = timestepFeatures(times, model.config);
  const time = input(features, [times.length, features.length / times.length]);
  const out = model.forward(input(sample.data, sample.shape), time, model.context(input(text.data, text.shape)));
  const values = await evaluate(graph, new Map([['out', out]]), { fuse: true });
  weights.dispose();
  return values.get('out') ?? new Float32Array();
}
