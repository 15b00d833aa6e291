import { describe, expect, test } from 'vitest';
import type { NdArray } from '../../../src/core/ndarray.ts';
import type { TensorSource } from '../../../src/core/tensor-source.ts';
import type { Gpu } from '../../../src/gpu/device.ts';
import type { AutoencoderKL } from '../../../src/models/stable-diffusion/vae.ts';
import {
  decoderTiling,
  encoderTiling,
  pasteTile,
  type TileSizes,
  type Tiling,
} from '../../../src/models/stable-diffusion/vae-tiling.ts';
import { silu } from '../../../src/nn/functional.ts';
import { GroupNorm } from '../../../src/nn/norm.ts';
import { byTiles, joinedSides } from '../../../src/pipeline/diffusion/autoencoder-tiles.ts';
import { DeviceTensor } from '../../../src/tensor/device-tensor.ts';
import { Graph } from '../../../src/tensor/graph.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { renamed } from '../../support/checkpoint.ts';
import { expectClose } from '../../support/close.ts';
import { bareCall } from '../../support/device-call.ts';
import { type Golden, loadGolden } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';
import { loadPart, modes } from '../../support/stable-diffusion.ts';
import { evaluate, expectAllClose, modulesOf, tap } from '../../support/taps.ts';

const activations: Record<string, string> = {
  'vae.encoder.conv_act': 'encoder.conv_norm_out',
  'vae.decoder.conv_act': 'decoder.conv_norm_out',
};
const isBlock = (path: string) => /^(encoder|decoder)(\.(down_blocks|up_blocks)\.\d+|\.mid_block)?$/.test(path);

describe.each(['sd1', 'sd2'])('the autoencoder of %s', folder => {
  test.each(modes)('meets every recorded activation: $name', async ({ fuse, dtype, bare, tolerance }) => {
    const golden = loadGolden(folder);
    const gpu = await testGpu(bare ? { bare } : {});
    const { model, weights } = await loadPart(gpu, `${folder}/model`, 'vae', { dtype });
    const graph = new Graph(gpu, { dtype });
    const input = (x: NdArray) => graph.input(DeviceTensor.from(gpu, x.data, x.shape));
    const taps = tap(model);
    const moments = model.encode(input(picture(golden)));
    const decoded = model.decode(input(golden.floats('vae.z')));
    const wanted = new Map<string, Tensor>();
    for (const [path, tensor] of taps) {
      if (golden.has(`vae.${path}`) && (!fuse || isBlock(path))) wanted.set(`vae.${path}`, tensor);
    }
    if (!fuse) for (const [name, of] of Object.entries(activations)) wanted.set(name, silu(taps.get(of) as Tensor));
    wanted.set('vae.quant_conv', moments);
    wanted.set('vae.decoded', decoded);
    const values = await evaluate(graph, wanted, { fuse });
    const { mean, std } = posterior(values.get('vae.quant_conv') ?? new Float32Array());
    values.set('vae.mean', mean).set('vae.std', std);
    if (!fuse) {
      const recorded = golden.names.filter(name => name.startsWith('vae.') && !name.startsWith('vae.tiled_'));
      expect(new Set([...values.keys(), 'vae.z'])).toEqual(new Set(recorded));
    }
    expect(values.size).toBeGreaterThan(8);
    expectAllClose(values, golden, tolerance);
    weights.dispose();
  });

  test.each([
    ['float32', 1e-4],
    ['float16', 1e-2],
  ] as const)('meets the tiled reference in %s', async (dtype, tolerance) => {
    const golden = loadGolden(folder);
    const { vae_tiling: t } = golden.json;
    const sizes: TileSizes = {
      pixels: t.tile_sample_min_size,
      latents: t.tile_latent_min_size,
      overlap: t.tile_overlap_factor,
    };
    const gpu = await testGpu();
    const { model, weights } = await loadPart(gpu, `${folder}/model`, 'vae', { dtype });
    const image = picture(golden);
    const cutImage = encoderTiling(image.shape[2], image.shape[3], sizes);
    const moments = await tiled(image, cutImage, gpu, model, 'encode', dtype);
    expectClose(posterior(moments.data).mean, golden.tensor('vae.tiled_mean').data, tolerance, 'vae.tiled_mean');
    const z = golden.floats('vae.z');
    const cutLatents = decoderTiling(z.shape[2], z.shape[3], sizes);
    const decoded = await tiled(z, cutLatents, gpu, model, 'decode', dtype);
    expect(decoded.shape).toEqual(golden.tensor('vae.tiled_decoded').shape);
    expectClose(decoded.data, golden.tensor('vae.tiled_decoded').data, tolerance, 'vae.tiled_decoded');
    expect(cutImage.rows.flat().length).toBeGreaterThan(3);
    weights.dispose();
  });
});

test('reads the attention names of older files, as matrices and as 1x1 convolutions', async () => {
  const golden = loadGolden('sd1');
  const names: Record<string, string> = { to_q: 'query', to_k: 'key', to_v: 'value', 'to_out.0': 'proj_attn' };
  const old = (name: string) =>
    name.replace(/(to_q|to_k|to_v|to_out\.0)\.(weight|bias)$/, (_, n, end) => `${names[n]}.${end}`);
  const pointwise = (name: string, shape: readonly number[]) => {
    return /(query|key|value|proj_attn)\.weight$/.test(name) ? [...shape, 1, 1] : shape;
  };
  for (const reshape of [undefined, pointwise]) {
    const change = (source: TensorSource) => renamed(source, old, reshape);
    const decoded = await run('sd1/model', golden.floats('vae.z'), 'decode', change);
    expectClose(decoded, golden.tensor('vae.decoded').data, 1e-4);
  }
});

test('does without attention and without the convolutions around the latents where the config says so', async () => {
  const golden = loadGolden('sd-variants');
  const moments = await run('sd-variants', golden.floats('vae.image'), 'encode');
  expectClose(moments, golden.tensor('vae.moments').data, 1e-4, 'moments');
  const decoded = await run('sd-variants', golden.floats('vae.z'), 'decode');
  expectClose(decoded, golden.tensor('vae.decoded').data, 1e-4, 'decoded');
});

test('a batch gives what its images give one at a time', async () => {
  const golden = loadGolden('sd-variants');
  const { data, shape } = golden.floats('vae.image');
  const size = data.length / shape[0];
  const slices = [0, 1].map(i => ({
    data: data.slice(i * size, (i + 1) * size),
    shape: [1, ...shape.slice(1)],
  }));
  const single = [];
  for (const slice of slices) single.push(...(await run('sd-variants', slice, 'encode')));
  expectClose(single, await run('sd-variants', { data: data, shape }, 'encode'), 1e-5);
});

test('refuses pictures and latents with other channels: padding would hide a fourth', async () => {
  const gpu = await testGpu();
  const { model, weights } = await loadPart(gpu, 'sd1/model', 'vae');
  const zeros = (shape: number[]) => new Graph(gpu).input(DeviceTensor.create(gpu, shape));
  expect(() => model.encode(zeros([1, 4, 8, 8]))).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: vae.encode: not a map with the channels that the model takes: expected [N, 3, H, W], got [1, 4, 8, 8]]`,
  );
  expect(() => model.decode(zeros([1, 3, 8, 8]))).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: vae.decode: not a map with the channels that the model takes: expected [N, 4, H, W], got [1, 3, 8, 8]]`,
  );
  const norms = modulesOf(model).filter(m => m instanceof GroupNorm);
  expect(new Set(norms.map(norm => norm.eps))).toEqual(new Set([1e-6]));
  weights.dispose();
});

/** The golden picture as [1, 3, H, W] in [-1, 1]. */
function picture(golden: Golden): NdArray {
  const { data, shape } = golden.tensor('image'); // [H, W, 3]
  const [height, width] = shape;
  const plane = height * width;
  const x = Float32Array.from(
    { length: 3 * plane },
    (_, i) => (data[(i % plane) * 3 + Math.floor(i / plane)] / 255) * 2 - 1,
  );
  return { data: x, shape: [1, 3, height, width] };
}

/** Mean and standard deviation of moments of one picture. */
function posterior(moments: Float32Array): { mean: Float32Array; std: Float32Array } {
  const half = moments.length / 2;
  const std = moments.slice(half).map(logvar => Math.exp(0.5 * Math.min(Math.max(logvar, -30), 20)));
  return { mean: moments.slice(0, half), std };
}

async function run(folder: string, x: NdArray, way: 'encode' | 'decode', change?: (s: TensorSource) => TensorSource) {
  const gpu = await testGpu();
  const { model, weights } = await loadPart(gpu, folder, 'vae', change ? { change } : {});
  const { data } = await once(gpu, model, way, x, 'float32');
  weights.dispose();
  return data;
}

async function tiled(
  x: NdArray,
  tiling: Tiling,
  gpu: Gpu,
  model: AutoencoderKL,
  way: 'encode' | 'decode',
  dtype: 'float32' | 'float16',
): Promise<NdArray> {
  let joined: NdArray | undefined;
  await byTiles(bareCall(gpu), x, tiling, {
    run: async tile => {
      const { data, shape } = await once(gpu, model, way, tile, dtype);
      return DeviceTensor.from(gpu, data, shape);
    },
    take: async (tile, at) => {
      const { height, width } = joinedSides(tiling, tile.shape[2] / tiling.rows[0][0].height);
      const shape = [...tile.shape.slice(0, 2), height, width];
      joined ??= { data: new Float32Array(shape.reduce((a, b) => a * b)), shape };
      pasteTile({ data: await tile.read(), shape: tile.shape }, joined, at);
      tile.dispose();
    },
  });
  return joined as NdArray;
}

async function once(
  gpu: Gpu,
  model: AutoencoderKL,
  way: 'encode' | 'decode',
  x: NdArray,
  dtype: 'float32' | 'float16',
): Promise<NdArray> {
  const graph = new Graph(gpu, { dtype });
  const input = DeviceTensor.from(gpu, x.data, x.shape);
  const out = model[way](graph.input(input));
  const values = await evaluate(graph, new Map([['out', out]]), { fuse: true });
  input.dispose();
  return { data: values.get('out') ?? new Float32Array(), shape: out.shape };
}
