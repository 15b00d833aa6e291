import source from '../../wgsl/mask-map.wgsl';
import { ceilDiv } from '../core/shape.ts';
import { type KernelCall, type RowLayout, storageBytes, unread } from './kernel.ts';
import { inputLib } from './libs.ts';
import { flatItems, type RowRange, requirePitch, requireSizes, rowBinding } from './rows.ts';
import { stepLib } from './step.ts';

/** Predictions for two prompts, whose difference becomes a map. */
export interface MaskMapProblem {
  /** N: maps, one for each latent. */
  readonly maps: number;
  /** Images in each block of the prediction that go into one map, next to each other; default 1. */
  readonly perMap?: number | undefined;
  /** H * W of the latents. */
  readonly pixels: number;
  /** Channels of the latents, without padding. */
  readonly channels: number;
  /** Pixels of the predictions. */
  readonly prediction: RowLayout;
  /** Four blocks a, b, c, d of maps * perMap images with S = a + g (b - a), T = c + g (d - c); else two, S = a and T = b. */
  readonly guided: boolean;
}

const WORKGROUP = 64;
/** Blocks of the prediction, each a binding of its own, so that windows of them may lie far apart. */
const BLOCKS = ['a', 'b', 'c', 'd'] as const;

/**
 * map += mapWeight * (sum over perMap of the mean over channels of |T - S|); with `mapFirst` it is set, not added to.
 * Bindings: a, b, c and d (each the whole prediction), step, map f32 [N, P, 8] in lane 0.
 *
 * @throws ShapeError for bad sizes or pitch
 * @see StableDiffusionDiffEditPipeline.generate_mask of diffusers; Couairon et al. 2022, https://arxiv.org/abs/2210.11427
 */
export function maskMap({ maps, perMap = 1, pixels, channels, prediction, guided }: MaskMapProblem): KernelCall {
  requireSizes('mask-map', { maps, perMap, pixels });
  requirePitch('mask-map', 'prediction', { width: channels, pitch: prediction.pitch });
  const block = maps * perMap * pixels * prediction.pitch;
  const blocks = guided ? 4 : 2;
  const pixelsOf = flatItems(maps * pixels, WORKGROUP);
  const rows =
    (i: number): RowRange =>
    (first, end) => {
      const [from, to] = pixelsOf(first, end);
      const before = i * maps * perMap * pixels;
      const [a, b] = [Math.floor(from / pixels), Math.floor((to - 1) / pixels)];
      if (perMap === 1) return [before + from, before + to];
      return [before + a * perMap * pixels, before + (b + 1) * perMap * pixels];
    };
  return {
    kernel: 'mask-map',
    source,
    libs: [inputLib(prediction.storage), stepLib],
    values: { GUIDED: guided },
    bindings: [
      ...BLOCKS.map((name, i) =>
        i < blocks ? rowBinding(name, 'read', prediction, `${name}_base`, rows(i)) : unread(name),
      ),
      { name: 'step', access: 'read' },
      rowBinding('map', 'update', { pitch: 8, storage: 'f32' }, 'map_base', pixelsOf),
    ],
    params: {
      ...{ count: maps * pixels, pixels, per_map: perMap, channels },
      ...{ pitch: prediction.pitch / 4, block: block / 4 },
      ...(guided ? {} : { c_base: 0, d_base: 0 }),
    },
    tiles: ceilDiv(maps * pixels, WORKGROUP),
    cost: {
      flops: maps * perMap * pixels * channels * 8,
      bytes: block * (guided ? 4 : 2) * storageBytes(prediction.storage) + maps * pixels * 64,
    },
  };
}
