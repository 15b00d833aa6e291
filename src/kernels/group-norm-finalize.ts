import broadcastSource from '../../wgsl/group-norm-finalize-broadcast.wgsl';
import tileSource from '../../wgsl/group-norm-finalize-tile.wgsl';
import { ShapeError } from '../core/errors.ts';
import type { Caps } from '../gpu/caps.ts';
import { checkGroupNorm, type GroupNormProblem, groupNormChannels, groupNormSizes } from './group-norm.ts';
import { chooseFamily, type Family, type KernelCall } from './kernel.ts';
import { requireSizes } from './rows.ts';

/** Partial sums of slabs, to be combined into a factor and a shift for each image and channel. */
export interface GroupNormFinalizeProblem extends Omit<GroupNormProblem, 'storage'> {
  /** Divides the number of channels. */
  readonly groups: number;
  readonly eps: number;
  readonly family?: Family | undefined;
}

/**
 * scale = weight / sqrt(var + eps), shift = bias - mean * scale for each image and channel.
 * Bindings: partials, weight [C] f32, bias [C] f32, scale_shift [N, 2, pitch] f32.
 *
 * @throws ShapeError where groups do not divide the channels
 */
export function groupNormFinalize(caps: Caps, problem: GroupNormFinalizeProblem): KernelCall {
  const op = 'group-norm-finalize';
  checkGroupNorm(op, problem);
  const { images, pixels, sources, groups, eps } = problem;
  const channels = groupNormChannels(sources);
  requireSizes(op, { groups });
  if (channels % groups !== 0) {
    throw new ShapeError({
      op,
      problem: 'groups must divide the channels',
      expected: `a divisor of ${channels}`,
      received: groups,
    });
  }
  const { slabPixels, slabs, pitch, partials, scaleShift } = groupNormSizes(caps, problem);
  const broadcast = chooseFamily(caps, problem.family) === 'broadcast';
  return {
    kernel: broadcast ? 'group-norm-finalize-broadcast' : 'group-norm-finalize-tile',
    source: broadcast ? broadcastSource : tileSource,
    libs: [],
    values: broadcast ? { LANES: caps.subgroupSize } : {},
    bindings: [
      { name: 'partials', access: 'read' },
      { name: 'weight', access: 'read' },
      { name: 'bias', access: 'read' },
      { name: 'scale_shift', access: 'write' },
    ],
    params: {
      ...{ groups, group_channels: channels / groups, channels, pitch },
      ...{ pixels, slab_pixels: slabPixels, slabs, eps },
    },
    tiles: images * groups,
    cost: { flops: partials * 6, bytes: 8 * partials + 4 * scaleShift },
  };
}
