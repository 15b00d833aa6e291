/** Norms and softmax: group normalisation with SiLU, three calls that make one operation, and rows of transformers. */
import type { Caps } from '../../src/gpu/caps.ts';
import { groupNormSizes } from '../../src/kernels/group-norm.ts';
import { groupNormApply } from '../../src/kernels/group-norm-apply.ts';
import { GROUP_NORM_FINALIZE } from '../../src/kernels/group-norm-finalize.ts';
import { groupNormStats } from '../../src/kernels/group-norm-stats.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import { LAYER_NORM, RMS_NORM } from '../../src/kernels/layer-norm.ts';
import { choose, nameOf } from '../../src/kernels/op.ts';
import { SOFTMAX } from '../../src/kernels/softmax.ts';
import type { Values } from '../../src/tuning/problem-case.ts';
import { type Choosing, type KernelCase, opCase } from './kernel-case.ts';

const EPS = 1e-5;

interface FeatureMap {
  readonly images: number;
  readonly side: number;
  readonly channels: number;
  readonly groups: number;
}

/** Mean and variance of each group of each image, once. */
function groupMoments({ side, channels, groups }: FeatureMap) {
  const [pixels, width] = [side * side, channels / groups];
  const known = new Map<string, readonly [mean: number, variance: number]>();
  return (x: ArrayLike<number>, image: number, group: number): readonly [number, number] => {
    const key = `${image},${group}`;
    const found = known.get(key);
    if (found) return found;
    const all = new Float64Array(pixels * width);
    for (let p = 0; p < pixels; p++) {
      for (let c = 0; c < width; c++) all[p * width + c] = x[(image * pixels + p) * channels + group * width + c] ?? 0;
    }
    const mean = all.reduce((a, b) => a + b, 0) / all.length;
    const made = [mean, all.reduce((sum, v) => sum + (v - mean) ** 2, 0) / all.length] as const;
    known.set(key, made);
    return made;
  };
}

/** y = silu(groupNorm(x)), x [images, side * side, channels]. */
function groupNormCase({ caps, tuning }: Choosing, map: FeatureMap, activations: Storage): KernelCase {
  const { images, side, channels, groups } = map;
  const pixels = side * side;
  const sources = [{ channels, pitch: channels }] as const;
  const problem = { images, pixels, sources, storage: activations };
  const finalize = { images, pixels, sources, groups, eps: EPS };
  const variant = choose(GROUP_NORM_FINALIZE, caps, finalize, tuning);
  const tiles = variant.tiles(caps, finalize);
  const momentsOf = groupMoments(map);
  const expected = (values: Values, at: number): number => {
    const x = values('x1');
    const [image, channel] = [Math.floor(at / (pixels * channels)), at % channels];
    const [mean, variance] = momentsOf(x, image, Math.floor((channel * groups) / channels));
    const n = ((x[at] ?? 0) - mean) / Math.sqrt(variance + EPS);
    const h = n * (values('weight')[channel] ?? 0) + (values('bias')[channel] ?? 0);
    return h / (1 + Math.exp(-h));
  };
  return {
    name: `group-norm + silu ${images}x${side}x${side}x${channels} activations ${activations}`,
    op: 'group-norm-silu',
    shape: { images, height: side, width: side, channels, groups },
    storage: { activations },
    variant: nameOf(variant),
    tiles,
    calls: [
      groupNormStats(caps, problem),
      variant.call(caps, finalize, tiles),
      groupNormApply({ ...problem, output: activations, activation: 'silu' }),
    ],
    buffers: groupNormBuffers(caps, map, activations),
    output: 'y',
    expected,
  };
}

function groupNormBuffers(caps: Caps, { images, side, channels }: FeatureMap, act: Storage): KernelCase['buffers'] {
  const pixels = side * side;
  const sizes = groupNormSizes(caps, { images, pixels, sources: [{ channels, pitch: channels }] });
  return {
    x1: [images * pixels * channels, act],
    x2: [4, act],
    partials: [sizes.partials, 'f32'],
    partials2: [4, 'f32'],
    weight: [sizes.pitch, 'f32'],
    bias: [sizes.pitch, 'f32'],
    scale_shift: [sizes.scaleShift, 'f32'],
    y: [images * pixels * channels, act],
  };
}

/** Rows of width, each by itself. */
function rowCase(
  how: Choosing,
  op: 'layer-norm' | 'rms-norm' | 'softmax',
  rows: number,
  width: number,
  activations: Storage,
): KernelCase {
  const side = { pitch: width, storage: activations };
  const words = {
    name: `${op} ${rows}x${width} activations ${activations}`,
    op,
    shape: { rows, width },
    storage: { activations },
  };
  if (op === 'softmax') return opCase(how, SOFTMAX, { rows, width, x: side, y: side }, words);
  const norm = op === 'layer-norm' ? LAYER_NORM : RMS_NORM;
  return opCase(how, norm, { rows, width, eps: EPS, x: side, y: side }, words);
}

/** Norms of Stable Diffusion, of T5 and of the embedded family, and the softmax of a vocabulary. */
export function normCases(how: Choosing): KernelCase[] {
  const forms = ['f32', how.caps.half] as const;
  const maps: readonly FeatureMap[] = [
    { images: 1, side: 32, channels: 320, groups: 32 },
    { images: 1, side: 64, channels: 320, groups: 32 },
    { images: 1, side: 256, channels: 128, groups: 32 }, // the VAE
    { images: 2, side: 16, channels: 64, groups: 16 }, // embedded
  ];
  return [
    ...maps.flatMap(map => forms.map(form => groupNormCase(how, map, form))),
    ...forms.map(form => rowCase(how, 'layer-norm', 4096, 320, form)),
    ...forms.map(form => rowCase(how, 'layer-norm', 256, 1280, form)),
    ...forms.map(form => rowCase(how, 'rms-norm', 64, 1024, form)),
    ...forms.map(form => rowCase(how, 'softmax', 1024, 1024, form)),
    rowCase(how, 'softmax', 16, 32128, 'f32'), // Flan-T5's vocabulary, a token of sixteen texts
  ];
}
