/**
 * The middle one of group normalisation's calls: from parts of statistics, which group-norm-stats counted or products measured, to a
 * factor and a shift for each image and channel.
 */
import tileSource from '../../wgsl/group-norm-finalize-tile.wgsl';
import sharedLib from '../../wgsl/lib/group-norm-finalize.wgsl';
import momentsLib from '../../wgsl/lib/group-norm-finalize-moments.wgsl';
import { ShapeError } from '../core/errors.ts';
import { ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { familyText } from './family-texts.ts';
import {
  checkGroupNorm,
  type GroupNormProblem,
  groupNormChannels,
  groupNormSizes,
  isMeasurable,
} from './group-norm.ts';
import { canBroadcast, isTileBehind, type KernelBinding, type KernelCall, RANK } from './kernel.ts';
import { momentsPitch } from './moments.ts';
import { callOf, type Op, type Tiles, type Tuning, type Variant } from './op.ts';
import { type RowRange, requireSizes, wordBinding } from './rows.ts';

/** Partial sums of slabs, to be combined into a factor and a shift for each image and channel. */
export interface GroupNormFinalizeProblem extends Omit<GroupNormProblem, 'storage'> {
  /** Divides the number of channels. */
  readonly groups: number;
  /** Added to the variance. */
  readonly eps: number;
  /**
   * What products measured of the sources stands in place of group-norm-stats' statistics, of so many neighbouring pixels at once:
   * groups are of pairs of channels, and a second source has a binding of its own.
   */
  readonly measuredPixels?: number | undefined;
}

const broadcast: Variant<GroupNormFinalizeProblem, { readonly LANES: number }> = {
  stem: 'group-norm-finalize-broadcast',
  fits: canBroadcast,
  rank: RANK.broadcast,
  tiles: caps => ({ LANES: caps.subgroupSize }),
  call: (caps, problem, tiles) =>
    finalizeCall('group-norm-finalize-broadcast', familyText('group-norm-finalize-broadcast'), caps, problem, tiles),
};

const tile: Variant<GroupNormFinalizeProblem, { readonly LANES: number }> = {
  stem: 'group-norm-finalize-tile',
  fits: () => true,
  rank: RANK.tile,
  tiles: () => ({ LANES: 64 }),
  candidates: caps =>
    (isTileBehind(caps) ? [] : [32, 128, 256]).filter(LANES => LANES <= caps.maxInvocations).map(LANES => ({ LANES })),
  call: (caps, problem, tiles) => finalizeCall('group-norm-finalize-tile', tileSource, caps, problem, tiles),
};

/** The middle one of group normalisation's three calls; the other two have one variant. */
export const GROUP_NORM_FINALIZE: Op<GroupNormFinalizeProblem> = {
  name: 'groupNormFinalize',
  check: problem => {
    const op = 'group-norm-finalize';
    checkGroupNorm(op, problem);
    requireSizes(op, { groups: problem.groups });
    const channels = groupNormChannels(problem.sources);
    if (channels % problem.groups !== 0) {
      throw new ShapeError({
        op,
        problem: 'groups must divide the channels',
        expected: `a divisor of ${channels}`,
        received: problem.groups,
      });
    }
    if (problem.measuredPixels !== undefined && !isMeasurable(problem, problem.groups)) {
      throw new ShapeError({ op, problem: 'measured channels come in pairs', received: channels / problem.groups });
    }
  },
  tunedBy: ['pixels', 'groups', 'sources.0.channels', 'sources.1.channels', 'measuredPixels'],
  variants: [broadcast, tile],
};

/**
 * scale = weight / sqrt(var + eps), shift = bias - mean * scale for each image and channel.
 * Bindings: partials, weight [C] f32, bias [C] f32, scale_shift [N, 2, pitch] f32; where measured, partials2 (with one source: partials
 * again).
 *
 * @throws ShapeError where groups do not divide the channels
 */
export function groupNormFinalize(caps: Caps, problem: GroupNormFinalizeProblem, tuning?: Tuning): KernelCall {
  return callOf(GROUP_NORM_FINALIZE, caps, problem, tuning);
}

function finalizeCall(
  kernel: string,
  source: string,
  caps: Caps,
  problem: GroupNormFinalizeProblem,
  tiles: Tiles,
): KernelCall {
  const { images, pixels, sources, groups, eps } = problem;
  const channels = groupNormChannels(sources);
  const { slabs, slabPixels, bindings, params, parts } = problem.measuredPixels
    ? measuredParts(problem, problem.measuredPixels)
    : countedParts(caps, problem);
  const { pitch, scaleShift } = groupNormSizes(caps, problem);
  return {
    kernel,
    source,
    libs: [problem.measuredPixels ? momentsLib : sharedLib],
    values: { ...tiles, TWO: problem.measuredPixels !== undefined && sources.length === 2 },
    bindings: [
      ...bindings,
      { name: 'weight', access: 'read' },
      { name: 'bias', access: 'read' },
      wordBinding('scale_shift', 'write', 'scale_shift_base', imagesOf(groups, 2 * pitch)),
    ],
    params: {
      ...{ groups, group_channels: channels / groups, channels, pitch },
      ...{ pixels, slab_pixels: slabPixels, slabs, eps },
      ...params,
    },
    tiles: images * groups,
    cost: { flops: parts * 6, bytes: 8 * parts + 4 * scaleShift },
  };
}

/** Where a text finds its parts. */
interface Parts extends Pick<KernelCall, 'bindings' | 'params'> {
  readonly slabs: number;
  readonly slabPixels: number;
  /** f32 elements of all. */
  readonly parts: number;
}

/** Words of the images that tiles touch. */
function imagesOf(groups: number, words: number): RowRange {
  return (first, end) => [Math.floor(first / groups) * words, (Math.floor((end - 1) / groups) + 1) * words];
}

/** What group-norm-stats counted. */
function countedParts(caps: Caps, problem: GroupNormFinalizeProblem): Parts {
  const { slabPixels, slabs, pitch, partials } = groupNormSizes(caps, problem);
  const range = imagesOf(problem.groups, slabs * 3 * pitch);
  const bindings = [wordBinding('partials', 'read', 'partials_base', range)];
  return { slabs, slabPixels, bindings, params: {}, parts: partials };
}

/** What products measured. */
function measuredParts({ images, pixels, sources, groups }: GroupNormFinalizeProblem, slabPixels: number): Parts {
  const [first, second = first] = sources;
  const slabs = ceilDiv(pixels, slabPixels);
  const [pitch1, pitch2] = [momentsPitch(first.pitch), momentsPitch(second.pitch)];
  const binding = (name: string, pitch: number): KernelBinding =>
    wordBinding(name, 'read', `${name}_base`, imagesOf(groups, slabs * pitch));
  return {
    slabs,
    slabPixels,
    bindings: [binding('partials', pitch1), binding('partials2', pitch2)],
    params: { split: first.channels, pitch1, pitch2 },
    parts: images * slabs * (pitch1 + (sources.length > 1 ? pitch2 : 0)),
  };
}
