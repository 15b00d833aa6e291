import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { Gpu, GpuOptions } from '../../src/gpu/device.ts';
import { openSafetensors } from '../../src/io/safetensors.ts';
import { parseVaeConfig } from '../../src/models/stable-diffusion/config.ts';
import { AutoencoderKL } from '../../src/models/stable-diffusion/vae.ts';
import { Attention } from '../../src/nn/attention.ts';
import { Conv2d } from '../../src/nn/conv2d.ts';
import { concat, silu, upsampleNearest } from '../../src/nn/functional.ts';
import { GroupNorm, LayerNorm } from '../../src/nn/norm.ts';
import { Weights } from '../../src/nn/weights.ts';
import { fileSource } from '../../src/node/files.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { countDevice } from '../support/counting.ts';
import { testGpu } from '../support/gpu.ts';
import { memoryCheckpoint, randomLayer } from '../support/memory-checkpoint.ts';
import { randoms } from '../support/run-kernel.ts';

const CHANNELS = 12;
const checkpoint = memoryCheckpoint({
  ...randomLayer('norm', [CHANNELS], 1),
  ...randomLayer('both', [2 * CHANNELS], 3),
  ...randomLayer('rows', [CHANNELS], 5),
  ...randomLayer('conv', [CHANNELS, CHANNELS, 3, 3], 7),
  ...randomLayer('join', [CHANNELS, 2 * CHANNELS, 1, 1], 9),
  ...randomLayer('wide', [CHANNELS, 2 * CHANNELS, 3, 3], 11),
  ...randomLayer('down', [CHANNELS, CHANNELS, 3, 3], 13),
  ...randomLayer('to_q', [CHANNELS, CHANNELS], 15),
  ...randomLayer('to_k', [CHANNELS, CHANNELS], 17),
  ...randomLayer('to_v', [CHANNELS, CHANNELS], 19),
  ...randomLayer('to_out.0', [CHANNELS, CHANNELS], 21),
});

/** Every operation on maps, each by a name: x [N, CHANNELS, H, W] of any size. */
function operations(w: Weights): Record<string, (x: Tensor) => Tensor> {
  const norm = new GroupNorm(w.at('norm'), { channels: CHANNELS, groups: 3, eps: 1e-5 });
  const both = new GroupNorm(w.at('both'), { channels: 2 * CHANNELS, groups: 4, eps: 1e-5 });
  const rows = new LayerNorm(w.at('rows'), { width: CHANNELS, eps: 1e-5 });
  const conv = new Conv2d(w.at('conv'), { in: CHANNELS, out: CHANNELS, kernel: 3, padding: 1 });
  const join = new Conv2d(w.at('join'), { in: 2 * CHANNELS, out: CHANNELS, kernel: 1 });
  const wide = new Conv2d(w.at('wide'), { in: 2 * CHANNELS, out: CHANNELS, kernel: 3, padding: 1 });
  const down = new Conv2d(w.at('down'), { in: CHANNELS, out: CHANNELS, kernel: 3, stride: 2, padding: 1 });
  const attention = new Attention(w, { query: CHANNELS, heads: 1, bias: true, outBias: true });
  const twice = (x: Tensor) => [2 * x.dim(2), 2 * x.dim(3)] as const;
  const image = (x: Tensor, tokens: Tensor) => tokens.image(x.dim(2), x.dim(3));
  return {
    'convolution, residual': x => conv.forward(x).add(x),
    'convolution of stride 2': x => down.forward(x),
    'convolution behind an upsampling': x => conv.forward(upsampleNearest(x, twice(x))),
    'upsampling to an odd size': x => upsampleNearest(x, [2 * x.dim(2) + 1, 2 * x.dim(3) - 1]),
    'group norm, silu': x => silu(norm.forward(x)),
    'group norm and products of a concatenation': x =>
      join.forward(silu(both.forward(concat([x, conv.forward(x)], 1)))),
    'convolution of a concatenation': x => wide.forward(concat([x.scale(0.5), x], 1)),
    'product of a concatenation': x => join.forward(concat([x, x.scale(2)], 1)).add(x),
    'channels out of the middle': x => concat([x, x], 1).slice(1, 5, 5 + CHANNELS),
    'layer norm': x => image(x, rows.forward(x.tokens())),
    'attention at a lower resolution, added': x => {
      const low = norm.forward(down.forward(down.forward(x)));
      return x.add(upsampleNearest(image(low, attention.forward(low.tokens())), [x.dim(2), x.dim(3)]));
    },
    'arithmetic and casts': x =>
      x.mul(x).sub(
        x
          .scale(3)
          .cast('float16')
          .cast(x.dtype as 'float32'),
      ),
    'repetition and slices': x => {
      const low = down.forward(x);
      return low
        .repeat(4, 'consecutive')
        .slice(0, 1, 1 + 3 * low.dim(0))
        .add(low.repeat(3));
    },
    'repetition of large images': x => x.repeat(2),
    'repetition of large images, each at once': x => concat([x, x.scale(2)], 0).repeat(2, 'consecutive'),
    'a stack': x => concat([x, x.scale(2), x], 0),
  };
}

interface Setting {
  readonly dtype?: 'float32' | 'float16';
  readonly fuse?: boolean;
  readonly size?: readonly [images: number, height: number, width: number];
}

/** Rows of a result that are read at once: results are larger than a buffer may be. */
const CHUNK = 600;

/** The bits that an operation gives between two others, so that its operand and its result are the plan's own: 4 parts at least. */
async function bitsOf(gpu: Gpu, name: string, setting: Setting) {
  const { dtype = 'float32', fuse = true, size: [images, height, width] = [1, 24, 17] } = setting;
  const w = Weights.open(checkpoint);
  const operation = operations(w)[name];
  const weights = await w.load(gpu, { dtype });
  const values = randoms(images * CHANNELS * height * width, 99);
  const x = DeviceTensor.from(gpu, values, [images, CHANNELS, height, width], dtype);
  const graph = new Graph(gpu, { dtype });
  const y = operation(upsampleNearest(graph.input(x), [2 * height, 2 * width]).scale(1.25)).scale(0.75);
  const flat = y.reshape([y.rows, y.width]);
  const starts = Array.from({ length: Math.ceil(y.rows / CHUNK) }, (_, i) => i * CHUNK);
  const outs = starts.map(start => {
    const part = flat.slice(0, start, Math.min(y.rows, start + CHUNK));
    const out = DeviceTensor.create(gpu, part.shape, part.dtype);
    graph.store(part, out);
    return out;
  });
  const plan = await graph.compile({ fuse });
  const made = countDevice(gpu);
  plan.run();
  const { buffers, bindGroups, pipelines } = made.take();
  made.stop();
  const bits: Float32Array[] = [];
  for (const out of outs) bits.push(await out.read());
  const count = plan.dispatches;
  for (const d of [plan, weights, x, ...outs]) d.dispose();
  return { bits, count, made: buffers + bindGroups + pipelines };
}

async function same(name: string, small: GpuOptions, setting: Setting = {}, options: GpuOptions = {}): Promise<void> {
  const whole = await bitsOf(await testGpu(options), name, setting);
  const gpu = await testGpu({ ...options, ...small });
  const counter = countDevice(gpu);
  const spread = await bitsOf(gpu, name, setting);
  counter.stop();
  expect(spread.bits).toEqual(whole.bits);
  expect(spread.bits.some(part => part.some(v => v !== 0))).toBe(true);
  expect(spread.count).toBeGreaterThan(whole.count);
  expect(spread.made).toBe(0);
  expect(counter.largestStorage).toBeLessThanOrEqual(small.maxBufferBytes ?? 0);
  expect(counter.largestBinding).toBeLessThanOrEqual(small.maxBindingBytes ?? Number.POSITIVE_INFINITY);
}

/** Encodes and decodes a picture by the model that lies with the library. */
async function autoencode(gpu: Gpu, dtype: 'float32' | 'float16', fuse: boolean) {
  const folder = new URL('../../models/orchard/stable-diffusion/vae/', import.meta.url);
  const config: unknown = JSON.parse(readFileSync(new URL('config.json', folder), 'utf8'));
  const source = await openSafetensors(
    await fileSource(fileURLToPath(new URL('diffusion_pytorch_model.safetensors', folder))),
  );
  const w = Weights.open(source);
  const model = new AutoencoderKL(w, parseVaeConfig(config, 'vae'));
  const weights = await w.load(gpu, { dtype, stagingBytes: 256 * 1024 });
  await source.close?.();
  const graph = new Graph(gpu, { dtype });
  const picture = DeviceTensor.from(gpu, randoms(3 * 80 * 88, 5), [1, 3, 80, 88], dtype);
  const moments = model.encode(graph.input(picture));
  const stored = [moments, model.decode(moments.slice(1, 0, 4))].map(tensor => {
    const target = DeviceTensor.create(gpu, tensor.shape, tensor.dtype);
    graph.store(tensor, target);
    return target;
  });
  const plan = await graph.compile({ fuse });
  plan.run();
  const bits = [await stored[0].read(), await stored[1].read()];
  const { peakBytes, dispatches } = plan;
  for (const d of [plan, weights, picture, ...stored]) d.dispose();
  return { bits, peakBytes, dispatches };
}

describe('an autoencoder', () => {
  const all = process.env.PENTIMENTO_FULL;
  const cases = [
    { dtype: 'float32', fuse: true, options: {}, limit: 600 * 1024 },
    { dtype: 'float16', fuse: true, options: { half: 'f16-packed' }, limit: 300 * 1024 },
    { dtype: 'float32', fuse: false, options: { bare: true }, limit: 600 * 1024 },
  ] as const;

  test.each(all ? cases : cases.slice(0, 1))(
    'gives the same bits: $dtype, $options',
    async ({ dtype, fuse, options, limit }) => {
      const limits = { maxBufferBytes: limit, maxBindingBytes: limit - 8192 };
      const whole = await autoencode(await testGpu(options), dtype, fuse);
      const gpu = await testGpu({ ...options, ...limits });
      const counter = countDevice(gpu);
      const spread = await autoencode(gpu, dtype, fuse);
      counter.stop();
      expect(spread.bits).toEqual(whole.bits);
      expect(spread.bits.flatMap(b => [...b]).every(Number.isFinite)).toBe(true);
      expect(spread.dispatches).toBeGreaterThan(1.5 * whole.dispatches);
      expect(spread.peakBytes).toBeLessThan(whole.peakBytes);
      expect(counter.largestStorage).toBeLessThanOrEqual(limits.maxBufferBytes);
      expect(counter.largestBinding).toBeLessThanOrEqual(limits.maxBindingBytes);
    },
  );
});

describe('values larger than a buffer', () => {
  const names = Object.keys(operations(Weights.open(checkpoint)));

  test.each(names)('%s: the same bits', async name => {
    await same(name, { maxBufferBytes: 48 * 1024 });
  });

  const some = process.env.PENTIMENTO_FULL
    ? names
    : ['convolution behind an upsampling', 'group norm and products of a concatenation'];

  test.each(some)('%s: with the kernels for GPUs, without fusion, and small bindings', async name => {
    await same(name, { maxBufferBytes: 48 * 1024, maxBindingBytes: 46 * 1024 }, { fuse: false }, { bare: true });
  });

  test('is refused where a kernel needs all of it', async () => {
    const gpu = await testGpu({ maxBufferBytes: 48 * 1024 });
    const w = Weights.open(checkpoint);
    const attention = new Attention(w, { query: CHANNELS, heads: 1, bias: true, outBias: true });
    w.allowUnused();
    const weights = await w.load(gpu, {});
    const graph = new Graph(gpu);
    const x = DeviceTensor.create(gpu, [1, CHANNELS, 16, 16]);
    const large = attention.forward(upsampleNearest(graph.input(x), [63, 63]).tokens());
    graph.store(large.reshape([63 * 63, CHANNELS]).slice(0, 0, 512), DeviceTensor.create(gpu, [512, CHANNELS]));
    await expect(graph.compile()).rejects.toThrow(
      /^attention-[\w-]+: the kernel needs more of 'k' at once than a buffer may hold: expected at most 49152 bytes, got \d{6}\. Use dtype float16 or a smaller picture/,
    );
    for (const d of [x, weights]) d.dispose();
  });

  test.each(some)('%s: in float16, of two images, with borders inside of lines', async name => {
    await same(name, { maxBufferBytes: 36 * 1024 }, { dtype: 'float16', size: [2, 19, 17] });
  });
});
