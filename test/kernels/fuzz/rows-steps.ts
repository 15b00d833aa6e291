/** Group normalisation, the sampler's steps, masks, and the caches of decoders. */
import type { Caps } from '../../../src/gpu/caps.ts';
import { cacheAppend } from '../../../src/kernels/cache-append.ts';
import { cacheGather } from '../../../src/kernels/cache-gather.ts';
import { cleanBound } from '../../../src/kernels/clean-bound.ts';
import { drawLatents } from '../../../src/kernels/draw-latents.ts';
import { firstNonFinite } from '../../../src/kernels/first-nonfinite.ts';
import { MOMENT_ROWS, momentsPitch } from '../../../src/kernels/gemm.ts';
import { groupNormSizes } from '../../../src/kernels/group-norm.ts';
import { groupNormApply } from '../../../src/kernels/group-norm-apply.ts';
import { GROUP_NORM_FINALIZE } from '../../../src/kernels/group-norm-finalize.ts';
import { groupNormMerge } from '../../../src/kernels/group-norm-merge.ts';
import { groupNormStats } from '../../../src/kernels/group-norm-stats.ts';
import { guidanceRescale } from '../../../src/kernels/guidance-rescale.ts';
import { guidedNoise } from '../../../src/kernels/guided-noise.ts';
import { guidedStep } from '../../../src/kernels/guided-step.ts';
import { historyStore } from '../../../src/kernels/history-store.ts';
import type { Storage } from '../../../src/kernels/kernel.ts';
import { linearStep, linearStepWeights } from '../../../src/kernels/linear-step.ts';
import { cleanupWords, maskCleanup } from '../../../src/kernels/mask-cleanup.ts';
import { maskMap } from '../../../src/kernels/mask-map.ts';
import { maskThreshold } from '../../../src/kernels/mask-threshold.ts';
import { noisedBlend } from '../../../src/kernels/noised-blend.ts';
import { packStep, type StepValues } from '../../../src/kernels/step.ts';
import type { Draw } from './draw.ts';
import { nothing, pitchFor, type Row, row, rowsOf } from './problem.ts';

function eights(count: number): number {
  return Math.ceil(count / 8) * 8;
}

/** A map of one source, or of two side by side on channels. */
function groupNorm(draw: Draw, two: boolean) {
  const source = () => {
    const channels = two ? 4 * draw.int(1, 12) : draw.int(1, 48);
    return { channels, pitch: pitchFor(draw, channels) };
  };
  const sources = (two ? [source(), source()] : [source()]) as [{ channels: number; pitch: number }];
  return { images: draw.int(1, 3), pixels: draw.size(draw.pick([8, 32, 64]), 100), sources };
}

/** Both sources; where there is one, it is bound twice. */
function maps(draw: Draw, storage: Storage, { images, pixels, sources }: ReturnType<typeof groupNorm>) {
  const [x1, x2] = [sources[0], sources.at(1) ?? sources[0]].map(({ pitch }) =>
    draw.values(storage, images * pixels * pitch),
  );
  return { x1: x1 as Uint32Array, x2: x2 as Uint32Array };
}

const stats = row('group-norm-stats', (draw, { caps, storages }) => {
  const storage = draw.turn(storages);
  const two = draw.turn([false, true]);
  return own => {
    const problem = { ...groupNorm(own, two), storage };
    const { partials } = groupNormSizes(caps, problem);
    const buffers = { ...maps(own, storage, problem), partials: own.values('f32', partials) };
    return { call: groupNormStats(caps, problem), buffers, about: problem };
  };
});

/** Channels of a norm, and what is read and written for each. */
function factors(draw: Draw, { sources }: ReturnType<typeof groupNorm>) {
  const channels = sources.reduce((sum, source) => sum + source.channels, 0);
  return { channels, buffers: { weight: draw.values('f32', channels), bias: draw.values('f32', channels) } };
}

/** Groups of channels; measured ones come in pairs. */
function groupsOf(draw: Draw, channels: number, each: number): number {
  return draw.pick([1, 2, 4, 8, channels / each].filter(count => channels % (each * count) === 0));
}

const finalize = rowsOf(GROUP_NORM_FINALIZE, (draw, { caps }) => {
  const [two, measured] = draw.turn([
    [false, false],
    [true, true],
    [false, true],
    [true, false],
  ] as const);
  return own => {
    if (measured) return measuredNorm(own, two, caps);
    const problem = groupNorm(own, two);
    const { channels, buffers } = factors(own, problem);
    const { partials, scaleShift } = groupNormSizes(caps, problem);
    return {
      problem: { ...problem, groups: groupsOf(own, channels, 1), eps: 1e-5 },
      buffers: { ...buffers, partials: own.values('f32', partials), scale_shift: own.values('f32', scaleShift) },
    };
  };
});

/** A norm of what products measured, slab by slab or several slabs together. */
function measuredNorm(draw: Draw, two: boolean, caps: Caps) {
  const drawn = groupNorm(draw, two);
  const sources = drawn.sources.map(({ channels }) => {
    const even = channels + (channels % 2);
    return { channels: even, pitch: pitchFor(draw, even) };
  }) as unknown as typeof drawn.sources;
  const problem = { ...drawn, sources, pixels: MOMENT_ROWS * draw.int(1, 12) };
  const measuredPixels = MOMENT_ROWS * draw.pick([1, 1, 2, 3]);
  const { channels, buffers } = factors(draw, problem);
  const slabs = problem.images * Math.ceil(problem.pixels / measuredPixels);
  const [first, second = first] = sources.map(({ pitch }) => draw.values('f32', slabs * momentsPitch(pitch)));
  if (!first || !second) throw new Error('a source');
  const scaleShift = draw.values('f32', groupNormSizes(caps, problem).scaleShift);
  return {
    problem: { ...problem, groups: groupsOf(draw, channels, 2), eps: 1e-5, measuredPixels },
    buffers: { ...buffers, partials: first, partials2: second, scale_shift: scaleShift },
  };
}

const merge = row('group-norm-merge', () => {
  return own => {
    const sizes = { images: own.int(1, 3), slabs: own.size(8, 30), together: own.int(1, 9), values: 32 };
    const problem = { ...sizes, pitch: pitchFor(own, own.int(1, 64)) };
    const { images, slabs, together } = sizes;
    const pitch = momentsPitch(problem.pitch);
    const buffers = {
      x: own.values('f32', images * slabs * pitch),
      y: own.values('f32', images * Math.ceil(slabs / together) * pitch),
    };
    return { call: groupNormMerge(problem), buffers, about: problem };
  };
});

const apply = row('group-norm-apply', (draw, { caps, storages }) => {
  const [storage, output] = [draw.turn(storages), draw.pick(storages)];
  const two = draw.turn([false, true]);
  const activation = draw.pick(['none', 'silu'] as const);
  return own => {
    const problem = { ...groupNorm(own, two), storage, output, activation };
    const { scaleShift, pitch } = groupNormSizes(caps, problem);
    const buffers = {
      ...maps(own, storage, problem),
      scale_shift: own.values('f32', scaleShift),
      y: own.values(output, problem.images * problem.pixels * pitch),
    };
    return { call: groupNormApply(problem), buffers, about: problem };
  };
});

/** Latents of at most a few tiles. */
function latents(draw: Draw) {
  return {
    images: draw.int(1, 4),
    pixels: draw.size(draw.pick([16, 64]), 130),
    channels: draw.pick([4, 4, 1, 3, 8, 9, 12]),
  };
}

function stepOf(values: StepValues = {}): Uint32Array {
  return new Uint32Array(
    packStep({ guidance: 2, x0FromX: 1, outFromX0: 1, outFromEps: 0.5, epsFromNoise: 1, ...values }),
  );
}

const drawing = row('draw-latents', (draw, { storages }) => {
  const storage = draw.turn(storages);
  const drawn = draw.turn([true, false]);
  return own => {
    const { images, pixels, channels } = latents(own);
    const x = { pitch: pitchFor(own, (drawn ? 2 : 1) * channels), storage };
    const problem = { images, pictures: own.int(1, 4), pixels, channels, x, drawn, scaling: 0.5 };
    const elements = images * pixels * eights(channels);
    const buffers = {
      x: own.values(storage, problem.pictures * pixels * x.pitch),
      noise: drawn ? own.values('f32', elements) : nothing(own),
      step: stepOf({ sigma: own.chance() ? 0.1 : 0 }),
      level_noise: own.values('f32', elements),
      y: own.values('f32', elements),
    };
    return { call: drawLatents(problem), buffers, about: problem };
  };
});

const noise = row('guided-noise', (draw, { storages }) => {
  const storage = draw.turn(storages);
  return own => {
    const problem = { ...latents(own), storage };
    const elements = problem.images * problem.pixels * eights(problem.channels);
    const both = () => own.values(storage, 2 * elements);
    const buffers = { prediction: both(), conditional: both(), step: stepOf(), e: own.values('f32', elements) };
    return { call: guidedNoise(problem), buffers, about: problem };
  };
});

const rescale = row('guidance-rescale', (draw, { storages }) => {
  const storage = draw.turn(storages);
  return own => {
    const problem = { ...latents(own), storage };
    const elements = problem.images * problem.pixels * eights(problem.channels);
    const buffers = {
      conditional: own.values(storage, 2 * elements),
      step: stepOf({ rescale: 0.7 }),
      e: own.values('f32', elements),
    };
    return { call: guidanceRescale(problem), buffers, about: problem };
  };
});

const step = row('guided-step', (draw, { storages }) => {
  const storage = draw.turn(storages);
  const [guided, noisy, blends, soft, bounded] = [0, 0, 0, 0, 0].map(() => draw.chance()) as [
    boolean,
    boolean,
    boolean,
    boolean,
    boolean,
  ];
  return own => {
    const { images, ...sizes } = latents(own);
    const divisor = () => own.pick([1, images, 2].filter(count => images % count === 0));
    const frames = own.int(1, 5);
    const order = own.pick(['tiled', 'consecutive'] as const);
    const blend = blends ? { masks: divisor(), order, references: divisor(), frames, soft } : undefined;
    const problem = { images, ...sizes, storage, guided, noise: noisy, bounded, blend };
    const image = sizes.pixels * eights(sizes.channels);
    const all = images * image;
    const buffers = {
      prediction: own.values(storage, (guided ? 2 : 1) * all),
      conditional: guided ? own.values(storage, 2 * all) : nothing(own),
      x: own.values('f32', all),
      step: stepOf({ referenceIndex: own.int(0, frames + 1), sigma: 0.1 }),
      noise: noisy ? own.values('f32', all) : nothing(own),
      mask: blend ? own.values('f32', blend.masks * sizes.pixels * 8) : nothing(own),
      reference: blend ? own.values('f32', frames * blend.references * image) : nothing(own),
      bound: bounded ? own.values('f32', 8 * images) : nothing(own),
    };
    return { call: guidedStep({ maxBindingBytes: frameBytes(own, all) }, problem), buffers, about: problem };
  };
});

const linear = row('linear-step', (draw, { storages }) => {
  const storage = draw.turn(storages);
  const slots = draw.turn([0, 1, 2, 5]);
  const [guided, noisy, bounded] = [0, 0, 0].map(() => draw.chance()) as [boolean, boolean, boolean];
  return own => {
    const problem = { ...latents(own), storage, guided, noise: noisy, bounded, slots };
    const all = problem.images * problem.pixels * eights(problem.channels);
    const buffers = {
      prediction: own.values(storage, (guided ? 2 : 1) * all),
      conditional: guided ? own.values(storage, 2 * all) : nothing(own),
      x: own.values('f32', all),
      step: stepOf(),
      weights: own.values('f32', linearStepWeights(slots)),
      noise: noisy ? own.values('f32', all) : nothing(own),
      kept: slots > 0 ? own.values('f32', slots * all) : nothing(own),
      bound: bounded ? own.values('f32', 8 * problem.images) : nothing(own),
    };
    return { call: linearStep(problem), buffers, about: problem };
  };
});

const blend = row('noised-blend', () => {
  return own => {
    const problem = latents(own);
    const all = problem.images * problem.pixels * eights(problem.channels);
    const buffers = {
      x: own.values('f32', all),
      step: stepOf({ sigma: 0.3 }),
      mask: own.values('f32', problem.images * problem.pixels * 8),
      clean: own.values('f32', all),
      noise: own.values('f32', all),
    };
    return { call: noisedBlend(problem), buffers, about: problem };
  };
});

const bound = row('clean-bound', () => {
  return own => {
    const problem = { ...latents(own), ratio: own.int(0, 100) / 100, most: 2 };
    const elements = problem.images * problem.pixels * eights(problem.channels);
    const buffers = {
      e: own.values('f32', elements),
      x: own.values('f32', elements),
      step: stepOf({ x0FromX: 1.5, x0FromNoise: -0.5 }),
      bound: own.values('f32', 8 * problem.images),
    };
    return { call: cleanBound(problem), buffers, about: problem };
  };
});

/** Most of a binding: frames go in groups of it. */
function frameBytes(draw: Draw, elements: number): number {
  return draw.chance() ? 2 ** 27 : 4096 + 4 * elements * draw.int(1, 3);
}

const history = row('history-store', () => {
  return own => {
    const problem = { rows: own.size(64, 130), pitch: pitchFor(own, own.int(1, 16)), entries: own.int(1, 6) };
    const elements = problem.rows * problem.pitch;
    const buffers = {
      x: own.values('f32', elements),
      step: stepOf({ historyIndex: own.int(0, problem.entries + 1) }),
      history: own.values('f32', problem.entries * elements),
    };
    return { call: historyStore({ maxBindingBytes: frameBytes(own, elements) }, problem), buffers, about: problem };
  };
});

const nonFinite = row('first-nonfinite', () => {
  return own => {
    const problem = { rows: own.size(64, 130), pitch: pitchFor(own, own.int(1, 16)) };
    const x = own.values('f32', problem.rows * problem.pitch);
    if (own.chance()) x[own.int(0, x.length - 1)] = 0x7f800000;
    const buffers = { x, step: stepOf({ stepNumber: 3 }), found: Uint32Array.of(2 ** 24 - 1) };
    return { call: firstNonFinite(problem), buffers, about: problem };
  };
});

const map = row('mask-map', (draw, { storages }) => {
  const storage = draw.turn(storages);
  const guided = draw.turn([false, true]);
  return own => {
    const sizes = {
      maps: own.int(1, 3),
      perMap: own.int(1, 3),
      pixels: own.size(64, 130),
      channels: own.pick([4, 3, 8, 9]),
    };
    const prediction = { pitch: pitchFor(own, sizes.channels), storage };
    const problem = { ...sizes, prediction, guided };
    const elements = (guided ? 4 : 2) * sizes.maps * sizes.perMap * sizes.pixels * prediction.pitch;
    const block = (read: boolean) => (read ? own.values(storage, elements) : nothing(own));
    const buffers = {
      ...{ a: block(true), b: block(true), c: block(guided), d: block(guided) },
      step: stepOf({ mapWeight: 0.5, mapFirst: own.chance() }),
      map: own.values('f32', sizes.maps * sizes.pixels * 8),
    };
    return { call: maskMap(problem), buffers, about: problem };
  };
});

const threshold = row('mask-threshold', () => {
  return own => {
    const sizes = { images: own.int(1, 4), pixels: own.size(64, 300) };
    const problem = { ...sizes, ratio: 3, mean: own.pick(['batch', 'image'] as const), continuous: own.chance() };
    const side = () => own.values('f32', sizes.images * sizes.pixels * 8);
    return { call: maskThreshold(problem), buffers: { map: side(), mask: side() }, about: problem };
  };
});

const cleanup = row('mask-cleanup', draw => {
  const lift = draw.turn([false, true]);
  return own => {
    const problem = {
      images: own.int(1, 3),
      height: own.size(8, 20),
      width: own.size(8, 20),
      lift,
      threshold: own.pick([0, 0.5, -1]),
    };
    const { images, height, width } = problem;
    const buffers = {
      mask: own.values('f32', images * height * width * 8),
      labels: own.words(images * eights(cleanupWords(height, width))),
    };
    return { call: maskCleanup(problem), buffers, about: problem };
  };
});

const append = row('cache-append', (draw, { storages }) => {
  const [from, cache] = [draw.turn(storages), draw.pick(storages)];
  return own => {
    const width = 8 * own.int(1, 8);
    const length = own.int(1, 6);
    const first = 4 * own.int(0, 3);
    const sizes = { batch: own.int(1, 4), length, capacity: length + own.int(0, 12), width };
    const problem = { ...sizes, x: { pitch: pitchFor(own, first + width), first, storage: from }, cache };
    const start = own.int(0, sizes.capacity + 1);
    const buffers = {
      x: own.values(from, sizes.batch * length * problem.x.pitch),
      lengths: Uint32Array.of(start + length, start),
      cache: own.values(cache, sizes.batch * sizes.capacity * width),
    };
    return { call: cacheAppend(problem), buffers, about: problem };
  };
});

const reorder = row('cache-gather', (draw, { storages }) => {
  const storage = draw.turn(storages);
  const most = draw.turn([1, 2, 4, 8]);
  return own => {
    const group = own.int(Math.ceil((most + 1) / 2), most);
    const batch = group * own.int(1, 3);
    const problem = { batch, group, capacity: own.int(1, 20), width: 8 * own.int(1, 6), storage };
    const buffers = {
      // Sequences of the same group, and sometimes anything at all.
      index: Uint32Array.from({ length: batch }, (_, r) =>
        own.chance(8) ? own.word() : r - (r % group) + own.int(0, group - 1),
      ),
      lengths: Uint32Array.of(own.int(0, problem.capacity + 1)),
      cache: own.values(storage, batch * problem.capacity * problem.width),
    };
    return { call: cacheGather(problem), buffers, about: problem };
  };
});

/** Kernels of samplers, masks and decoders. */
export const STEPS: readonly Row[] = [
  ...[stats, merge, ...finalize, apply, drawing, noise, rescale, bound, step, linear, blend, history],
  ...[nonFinite, map, threshold, cleanup, append, reorder],
];
