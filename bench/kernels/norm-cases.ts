/** Group normalisation with SiLU: three calls that make one operation. */
import type { Caps } from '../../src/gpu/caps.ts';
import { groupNormSizes } from '../../src/kernels/group-norm.ts';
import { groupNormApply } from '../../src/kernels/group-norm-apply.ts';
import { groupNormFinalize } from '../../src/kernels/group-norm-finalize.ts';
import { groupNormStats } from '../../src/kernels/group-norm-stats.ts';
import type { Storage } from '../../src/kernels/kernel.ts';
import type { KernelBench, Values } from './bench-case.ts';

const EPS = 1e-5;

/** y = silu(groupNorm(x)), x [images, side * side, channels]. */
function groupNormCase(
  caps: Caps,
  images: number,
  side: number,
  channels: number,
  groups: number,
  act: Storage,
): KernelBench {
  const pixels = side * side;
  const sources = [{ channels, pitch: channels }] as const;
  const problem = { images, pixels, sources, storage: act };
  const sizes = groupNormSizes(caps, problem);
  const width = channels / groups;
  const moments = new Map<string, readonly [mean: number, variance: number]>();
  const momentsOf = (x: ArrayLike<number>, image: number, group: number): readonly [number, number] => {
    const key = `${image},${group}`;
    const known = moments.get(key);
    if (known) return known;
    const all: number[] = [];
    for (let p = 0; p < pixels; p++) {
      for (let c = 0; c < width; c++) all.push(x[(image * pixels + p) * channels + group * width + c] ?? 0);
    }
    const mean = all.reduce((a, b) => a + b, 0) / all.length;
    const made = [mean, all.reduce((sum, v) => sum + (v - mean) ** 2, 0) / all.length] as const;
    moments.set(key, made);
    return made;
  };
  const expected = (values: Values, at: number): number => {
    const x = values('x1');
    const [image, channel] = [Math.floor(at / (pixels * channels)), at % channels];
    const [mean, variance] = momentsOf(x, image, Math.floor(channel / width));
    const n = ((x[at] ?? 0) - mean) / Math.sqrt(variance + EPS);
    const h = n * (values('weight')[channel] ?? 0) + (values('bias')[channel] ?? 0);
    return h / (1 + Math.exp(-h));
  };
  return {
    name: `group-norm + silu ${images}x${side}x${side}x${channels} activations ${act}`,
    calls: [
      groupNormStats(caps, problem),
      groupNormFinalize(caps, { ...problem, groups, eps: EPS }),
      groupNormApply({ ...problem, output: act, activation: 'silu' }),
    ],
    buffers: {
      x1: [images * pixels * channels, act],
      x2: [4, act],
      partials: [sizes.partials, 'f32'],
      weight: [sizes.pitch, 'f32'],
      bias: [sizes.pitch, 'f32'],
      scale_shift: [sizes.scaleShift, 'f32'],
      y: [images * pixels * channels, act],
    },
    output: 'y',
    expected,
    peer: { op: 'group-norm-silu', images, side, channels, groups },
  };
}

/** Group norms. */
export function normCases(caps: Caps): KernelBench[] {
  return [
    groupNormCase(caps, 1, 32, 320, 32, 'f32'),
    groupNormCase(caps, 1, 32, 320, 32, caps.half),
    groupNormCase(caps, 2, 16, 64, 16, 'f32'),
  ];
}
