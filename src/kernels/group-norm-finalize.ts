import broadcastSource from '../../wgsl/group-norm-finalize-broadcast.wgsl';
import tileSource from '../../wgsl/group-norm-finalize-tile.wgsl';
import sharedLib from '../../wgsl/lib/group-norm-finalize.wgsl';
import { ShapeError } from '../core/errors.ts';
import type { Caps } from '../gpu/caps.ts';
import { checkGroupNorm, type GroupNormProblem, groupNormChannels, groupNormSizes } from './group-norm.ts';
import { canBroadcast, type KernelCall, RANK } from './kernel.ts';
import { callOf, type Op, type Tiles, type Tuning, type Variant } from './op.ts';
import { type RowRange, requireSizes, wordBinding } from './rows.ts';

/** Partial sums of slabs, to be combined into a factor and a shift for each image and channel. */
export interface GroupNormFinalizeProblem extends Omit<GroupNormProblem, 'storage'> {
  /** Divides the number of channels. */
  readonly groups: number;
  /** Added to the variance. */
  readonly eps: number;
}

const broadcast: Variant<GroupNormFinalizeProblem, { readonly LANES: number }> = {
  stem: 'group-norm-finalize-broadcast',
  fits: canBroadcast,
  rank: RANK.broadcast,
  tiles: caps => ({ LANES: caps.subgroupSize }),
  call: (caps, problem, tiles) => finalizeCall('group-norm-finalize-broadcast', broadcastSource, caps, problem, tiles),
};

const tile: Variant<GroupNormFinalizeProblem, { readonly LANES: number }> = {
  stem: 'group-norm-finalize-tile',
  fits: () => true,
  rank: RANK.tile,
  tiles: () => ({ LANES: 64 }),
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
  },
  variants: [broadcast, tile],
};

/**
 * scale = weight / sqrt(var + eps), shift = bias - mean * scale for each image and channel.
 * Bindings: partials, weight [C] f32, bias [C] f32, scale_shift [N, 2, pitch] f32.
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
  const { slabPixels, slabs, pitch, partials, scaleShift } = groupNormSizes(caps, problem);
  const imagesOf = (words: number): RowRange => {
    return (first, end) => [Math.floor(first / groups) * words, (Math.floor((end - 1) / groups) + 1) * words];
  };
  return {
    kernel,
    source,
    libs: [sharedLib],
    values: tiles,
    bindings: [
      wordBinding('partials', 'read', 'partials_base', imagesOf(slabs * 3 * pitch)),
      { name: 'weight', access: 'read' },
      { name: 'bias', access: 'read' },
      wordBinding('scale_shift', 'write', 'scale_shift_base', imagesOf(2 * pitch)),
    ],
    params: {
      ...{ groups, group_channels: channels / groups, channels, pitch },
      ...{ pixels, slab_pixels: slabPixels, slabs, eps },
    },
    tiles: images * groups,
    cost: { flops: partials * 6, bytes: 8 * partials + 4 * scaleShift },
  };
}
