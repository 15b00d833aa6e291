/**
 * Every kernel on the largest operands of Stable Diffusion 2.1 at 1024 x 1024 with 8 images, 50 steps and guidance, all in float32, and
 * of Flan-T5 xl: with the bindings that every WebGPU device allows, each call is cut and none refused.
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { alignUp } from '../../src/core/shape.ts';
import { DEFAULT_BINDING_BYTES } from '../../src/gpu/caps.ts';
import { DEFAULT_CAPS } from '../../src/gpu/dry-device.ts';
import { attention } from '../../src/kernels/attention.ts';
import { blendEdge } from '../../src/kernels/blend-edge.ts';
import { cacheAppend } from '../../src/kernels/cache-append.ts';
import { cacheGather } from '../../src/kernels/cache-gather.ts';
import { cleanBound } from '../../src/kernels/clean-bound.ts';
import { CONV2D, conv2d } from '../../src/kernels/conv2d.ts';
import { copy } from '../../src/kernels/copy.ts';
import { splitTiles } from '../../src/kernels/dispatch.ts';
import { drawLatents } from '../../src/kernels/draw-latents.ts';
import { elementwiseBinary } from '../../src/kernels/elementwise-binary.ts';
import { elementwiseUnary } from '../../src/kernels/elementwise-unary.ts';
import { embedding, embeddingWindows } from '../../src/kernels/embedding.ts';
import { firstNonFinite } from '../../src/kernels/first-nonfinite.ts';
import { foldDoubling } from '../../src/kernels/fold-doubling.ts';
import { gatherColumns } from '../../src/kernels/gather-columns.ts';
import { MOMENT_ROWS } from '../../src/kernels/gemm.ts';
import { groupNormSizes } from '../../src/kernels/group-norm.ts';
import { groupNormApply } from '../../src/kernels/group-norm-apply.ts';
import { groupNormFinalize } from '../../src/kernels/group-norm-finalize.ts';
import { groupNormMerge } from '../../src/kernels/group-norm-merge.ts';
import { groupNormStats } from '../../src/kernels/group-norm-stats.ts';
import { guidanceRescale } from '../../src/kernels/guidance-rescale.ts';
import { guidedNoise } from '../../src/kernels/guided-noise.ts';
import { guidedStep } from '../../src/kernels/guided-step.ts';
import { historyStore } from '../../src/kernels/history-store.ts';
import type { KernelCall } from '../../src/kernels/kernel.ts';
import { layerNorm } from '../../src/kernels/layer-norm.ts';
import { linear } from '../../src/kernels/linear.ts';
import { linearStep } from '../../src/kernels/linear-step.ts';
import { cleanupWords, maskCleanup } from '../../src/kernels/mask-cleanup.ts';
import { maskMap } from '../../src/kernels/mask-map.ts';
import { maskThreshold } from '../../src/kernels/mask-threshold.ts';
import { matmul } from '../../src/kernels/matmul.ts';
import { noisedBlend } from '../../src/kernels/noised-blend.ts';
import { callsOf } from '../../src/kernels/op.ts';
import { panelWindows } from '../../src/kernels/panel-windows.ts';
import { softmax } from '../../src/kernels/softmax.ts';
import { topK } from '../../src/kernels/top-k.ts';
import { upsampleNearest } from '../../src/kernels/upsample-nearest.ts';
import { force } from '../support/rows.ts';

const MIB = 2 ** 20;
const IMAGES = 8;
const BATCH = 2 * IMAGES; // with guidance
const LATENT = 128 * 128;
const PIXELS = 1024 * 1024;
const STEPS = 50;
const SLABS = (IMAGES * PIXELS) / MOMENT_ROWS;
const LATENTS = IMAGES * LATENT * 32; // bytes: rows of 8 floats
const f32 = (pitch: number) => ({ pitch, storage: 'f32' as const });

/** A call and the bytes of its operands; one name may stand for several. */
interface Case {
  readonly call: KernelCall;
  readonly bytes: Readonly<Record<string, number>>;
}

const caps = DEFAULT_CAPS;
const broadcasting = { ...caps, software: true, subgroupSize: 8 };
const units = { m: 16, n: 16, k: 16, component: 'f16', lanes: 32, pinned: true, preferred: true } as const;
const multiplying = { ...caps, matrix: units, maxInvocations: 256, maxWorkgroupBytes: 32768 };

function attentions(): Case[] {
  const side = (offset: number) => ({ ...f32(960), offset });
  const sizes = { batch: BATCH, heads: 5, queries: LATENT, keys: LATENT, headWidth: 64, scale: 0.125 };
  const problem = { ...sizes, q: side(0), k: side(320), v: side(640), out: { ...f32(320), offset: 0 } };
  const fused = BATCH * LATENT * 960 * 4;
  const bytes = { 'q k v bias key_mask lengths': fused, out: BATCH * LATENT * 320 * 4 };
  const variants = ['attention-broadcast', 'attention-broadcast-wide', 'attention-tile', 'attention-matrix'];
  return variants.map(variant => ({
    call: attention(variant === 'attention-matrix' ? multiplying : broadcasting, problem, {
      force: { attention: variant },
    }),
    bytes,
  }));
}

/** The feed-forward layer of the UNet's first level, the head of Flan-T5 xl, and its widest convolution. */
function products(): Case[] {
  const rows = BATCH * LATENT;
  const geglu = {
    ...{ batch: 1, rows, columns: 1280, k: 320, a: f32(320), y: f32(1280), epilogue: { geglu: true } },
    b: { layout: 'panels', storage: 'f32' },
  } as const;
  const unread = { 'channel_add residual': 1280 * 640 * 4 };
  const bytes = { a: rows * 320 * 4, b: 2560 * 320 * 4, bias: 2560 * 4, ...unread, y: rows * 1280 * 4 };
  const gemms = (['broadcast', 'tile'] as const).map(family => ({
    call: linear(broadcasting, geglu, force(family)),
    bytes,
  }));
  const inRows = { ...geglu, b: { layout: 'rows', storage: 'f32' } } as const;
  const matrix = { call: linear(multiplying, inRows, force('matrix')), bytes };
  const [head] = panelWindows(caps.maxBindingBytes, { columns: 32128, k: 2048, storage: 'f32' });
  const step = {
    ...{ batch: 1, rows: 16, columns: head.columns, k: 2048, a: f32(2048), y: f32(32128), epilogue: { bias: false } },
    b: { layout: 'panels', storage: 'f32' },
  } as const;
  const gemvs = (['broadcast', 'tile'] as const).map(family => ({
    call: linear(broadcasting, step, force(family, 'gemv')),
    bytes: { a: 16 * 2048 * 4, 'b bias residual': head.size, y: 16 * 32128 * 4 },
  }));
  const image = { images: IMAGES, height: 1024, width: 1024, channels: 256, outChannels: 256, kernel: [3, 3] } as const;
  const around = { stride: 1, padding: { top: 1, right: 1, bottom: 1, left: 1 } };
  const forms = { input: 'f32', weight: 'f32', output: 'f32' } as const;
  const conv = conv2d(caps, { ...image, ...around, ...forms });
  const patches = { force: { conv2d: 'conv-tile' } };
  const patched = conv2d(caps, { ...image, ...around, ...forms }, patches);
  const measured = conv2d(caps, { ...image, ...around, ...forms, moments: true });
  const half = { ...image, height: 512, width: 512, kernel: [2, 2], phases: 'all' } as const;
  const doubling = conv2d(caps, { ...half, ...around, ...forms });
  const map = IMAGES * PIXELS * 256 * 4;
  // The deepest maps of 32 x 32 behind a concatenation: three lines of taps, summed apart.
  const deep = { images: BATCH, height: 32, width: 32, channels: 2560, outChannels: 1280, kernel: [3, 3] } as const;
  const cut = callsOf(CONV2D, caps, { ...deep, ...around, input: 'f32', weight: 'f16', output: 'f32' });
  const split = 'partials' in cut ? cut : undefined;
  const pixels = BATCH * 32 * 32;
  const thirds = { a: pixels * 2560 * 4, 'b bias channel_add residual': 1280 * 2560 * 18, y: 3 * pixels * 1280 * 4 };
  const whole = { partials: thirds.y, bias: 5120, 'channel_add residual': 1280 * 2560 * 18, y: pixels * 1280 * 4 };
  const scores = { batch: 16 * 5, rows: 1024, columns: 1024, k: 1024, a: 'f32', b: 'f32', y: 'f32' } as const;
  const one = 80 * MIB * 4;
  return [
    ...[...gemms, matrix, ...gemvs],
    ...[conv, patched].map(call => ({
      call,
      bytes: { a: map, 'b channel_add residual': 256 * 256 * 36, bias: 1024, y: map },
    })),
    {
      call: measured,
      bytes: { a: map, 'b channel_add residual': 256 * 256 * 36, bias: 1024, y: map, moments: SLABS * 1536 },
    },
    // At most 2^23 sums at once.
    {
      call: foldDoubling({ columns: 384, k: 1280, weight: 'f32', output: 'f32' }),
      bytes: { b: 384 * 1280 * 36, y: 384 * 1280 * 64 },
    },
    ...(split
      ? [
          { call: split.partials, bytes: thirds },
          { call: split.sum, bytes: whole },
        ]
      : []),
    { call: doubling, bytes: { a: map / 4, 'b channel_add residual': 256 * 256 * 64, bias: 1024, y: map } },
    {
      call: matmul(caps, { ...scores, epilogue: { bias: false } }),
      bytes: { a: one, 'b bias channel_add residual': one, y: one },
    },
  ];
}

function norms(): Case[] {
  const map = { images: IMAGES, pixels: PIXELS, sources: [{ channels: 256, pitch: 256 }], storage: 'f32' } as const;
  const { partials, scaleShift } = groupNormSizes(caps, map);
  const x = IMAGES * PIXELS * 1024;
  const sizes = { partials: 4 * partials, scale_shift: 4 * scaleShift, 'weight bias': 1024 };
  const rows = BATCH * LATENT;
  return [
    { call: groupNormStats(caps, map), bytes: { 'x1 x2': x, ...sizes } },
    ...(['broadcast', 'tile'] as const).map(family => ({
      call: groupNormFinalize(broadcasting, { ...map, groups: 32, eps: 1e-6 }, force(family)),
      bytes: sizes,
    })),
    {
      call: groupNormMerge({ images: IMAGES, slabs: PIXELS / MOMENT_ROWS, together: 32, values: 32, pitch: 256 }),
      bytes: { x: SLABS * 1536, y: SLABS * 48 },
    },
    {
      call: groupNormFinalize(caps, { ...map, groups: 32, eps: 1e-6, measuredPixels: 32 * MOMENT_ROWS }),
      bytes: { 'partials partials2': SLABS * 48, scale_shift: 4 * scaleShift, 'weight bias': 1024 },
    },
    { call: groupNormApply({ ...map, output: 'f32' }), bytes: { 'x1 x2 y': x, ...sizes } },
    ...(['broadcast', 'tile'] as const).flatMap(family => [
      {
        call: layerNorm(broadcasting, { rows, width: 320, eps: 1e-5, x: f32(320), y: f32(320) }, force(family)),
        bytes: { 'x y': rows * 1280, 'weight bias': 1280 },
      },
      {
        call: softmax(broadcasting, { rows, width: 1024, x: f32(1024), y: f32(1024) }, force(family)),
        bytes: { 'x y': rows * 4096 },
      },
    ]),
  ];
}

function steps(): Case[] {
  const latents = { images: IMAGES, pixels: LATENT, channels: 4, storage: 'f32' as const };
  const blend = { masks: 1, order: 'tiled' as const, references: IMAGES, frames: STEPS };
  const step = { step: 64 };
  const prediction = { 'prediction conditional': 2 * LATENTS };
  return [
    {
      call: guidedStep(caps, { ...latents, guided: true, noise: true, bounded: true, blend }),
      bytes: {
        ...prediction,
        ...step,
        'x noise': LATENTS,
        mask: LATENT * 32,
        bound: IMAGES * 32,
        reference: STEPS * LATENTS,
      },
    },
    {
      call: linearStep({ ...latents, guided: true, noise: true, bounded: true, slots: 3 }),
      bytes: { ...prediction, ...step, 'x noise': LATENTS, kept: 3 * LATENTS, weights: 112, bound: IMAGES * 32 },
    },
    {
      call: noisedBlend({ images: IMAGES, pixels: LATENT, channels: 4 }),
      bytes: { 'x clean noise': LATENTS, ...step, mask: IMAGES * LATENT * 32 },
    },
    {
      call: cleanBound({ images: IMAGES, pixels: LATENT, channels: 4, ratio: 0.995, most: 1 }),
      bytes: { 'e x': LATENTS, ...step, bound: IMAGES * 32 },
    },
    { call: guidedNoise(latents), bytes: { ...prediction, ...step, e: LATENTS } },
    { call: guidanceRescale(latents), bytes: { conditional: 2 * LATENTS, ...step, e: LATENTS } },
    {
      call: historyStore(caps, { rows: IMAGES * LATENT, pitch: 8, entries: STEPS }),
      bytes: { x: LATENTS, ...step, history: STEPS * LATENTS },
    },
    {
      call: maskMap({ maps: IMAGES, pixels: LATENT, channels: 4, prediction: f32(8), guided: true }),
      bytes: { 'a b c d': 4 * LATENTS, ...step, map: LATENTS },
    },
    {
      call: maskCleanup({ images: IMAGES, height: 128, width: 128 }),
      bytes: { mask: LATENTS, labels: IMAGES * 4 * alignUp(cleanupWords(128, 128), 8) },
    },
    {
      call: maskThreshold({ images: IMAGES, pixels: LATENT, ratio: 3, mean: 'batch' }),
      bytes: { 'map mask': LATENTS },
    },
    {
      call: drawLatents({ images: IMAGES, pictures: IMAGES, pixels: LATENT, channels: 4, x: f32(8), drawn: true }),
      bytes: { 'x noise level_noise y': LATENTS, ...step },
    },
    { call: firstNonFinite({ rows: IMAGES * LATENT, pitch: 8 }), bytes: { x: LATENTS, ...step, found: 32 } },
  ];
}

function texts(): Case[] {
  const cache = 16 * 2048 * 4096 * 4;
  const table = { rows: 32128, pitch: 2048, storage: 'f32' } as const;
  const [window] = embeddingWindows(caps, table);
  const ids = { items: 16, length: 512, idsPitch: 512, width: 2048 };
  const sizes = { batch: 16, capacity: 2048, width: 4096 };
  const x = { ...f32(6144), first: 2048 };
  return [
    {
      call: cacheAppend({ ...sizes, length: 1, x, cache: 'f32' }),
      bytes: { x: 16 * 6144 * 4, lengths: 32, cache },
    },
    { call: cacheGather({ ...sizes, group: 4, storage: 'f32' }), bytes: { index: 64, lengths: 32, cache } },
    {
      call: gatherColumns({ n: 4095, width: 32, table: { rows: 32, ...f32(32) } }),
      bytes: { ids: 16384, table: 4096, y: 32 * 16384 },
    },
    {
      call: embedding({ ...ids, table, window, output: 'f32' }),
      bytes: { ids: 16 * 2048, table: window.size, y: 16 * 512 * 8192 },
    },
    {
      call: topK({ rows: 16, width: 32128, ...f32(32128), k: 8, group: 4 }),
      bytes: { x: 16 * 32128 * 4, 'ids values': 4 * 128 },
    },
  ];
}

function maps(): Case[] {
  const rows = IMAGES * PIXELS;
  const bytes = rows * 512;
  const side = { height: 1024, width: 1024 };
  const image = { images: IMAGES, inHeight: 512, inWidth: 512, outHeight: 1024, outWidth: 1024, channels: 128 };
  return [
    {
      call: copy({ rows, sources: [{ channels: 128, pitch: 128 }], storage: 'f32', y: f32(128) }),
      bytes: { 'x1 x2 y': bytes },
    },
    {
      call: elementwiseUnary({ rows, width: 128, x: f32(128), y: f32(128) }),
      bytes: { 'x y': bytes },
    },
    {
      call: elementwiseBinary({ operation: 'add', rows, width: 128, a: f32(128), b: f32(128), y: f32(128) }),
      bytes: { 'a b y': bytes },
    },
    {
      call: elementwiseBinary({
        ...{ operation: 'add', rows, width: 128, a: f32(128), y: f32(128) },
        b: { ...f32(128), broadcast: { rows: PIXELS } },
      }),
      bytes: { 'a y': bytes, b: PIXELS * 512 },
    },
    ...(['above', 'left'] as const).map(from => ({
      call: blendEdge({ images: IMAGES, pitch: 8, tile: side, near: side, from, extent: 256 }),
      bytes: { 'tile near': rows * 32 },
    })),
    { call: upsampleNearest({ ...image, ...f32(128) }), bytes: { x: bytes / 4, y: bytes } },
  ];
}

describe('operands at full size', () => {
  const cases = [...attentions(), ...products(), ...norms(), ...steps(), ...texts(), ...maps()];

  it.each(cases.map(c => [c.call.kernel, c] as const))('%s fits the least of devices', (_, { call, bytes }) => {
    const sizes = Object.fromEntries(
      Object.entries(bytes).flatMap(([names, size]) => names.split(' ').map(name => [name, { size }])),
    );
    const ranges = splitTiles(call, sizes, caps, Number.POSITIVE_INFINITY);
    expect(ranges.at(0)?.first).toBe(0);
    expect(ranges.at(-1)?.end).toBe(call.tiles);
    for (const { name, window } of call.bindings) {
      expect(sizes[name], `the size of '${name}'`).toBeDefined();
      if (!window)
        expect(sizes[name]?.size, `'${name}', which is bound whole`).toBeLessThanOrEqual(DEFAULT_BINDING_BYTES);
      for (const { first, end } of window && sizes[name].size > DEFAULT_BINDING_BYTES ? ranges : []) {
        const [from, to] = window?.range(first, end) ?? [0, 0];
        expect((to - from) * (window?.elementBytes ?? 0)).toBeLessThanOrEqual(DEFAULT_BINDING_BYTES);
        expect(to * (window?.elementBytes ?? 0), `the end of '${name}'`).toBeLessThanOrEqual(sizes[name].size);
      }
    }
  });

  it('are those of every kernel', () => {
    const stems = readdirSync(new URL('../../wgsl', import.meta.url))
      .filter(file => file.endsWith('.wgsl'))
      .map(file => file.slice(0, -'.wgsl'.length));
    const known = new Set([...cases.map(c => c.call.kernel), 'pack-weight']); // which is given windows by the upload
    expect(stems.filter(stem => !known.has(stem))).toEqual([]);
  });
});
