/**
 * What the three calls of group normalisation share: the problem, the cut into slabs, the checks. The input may be two
 * tensors that stand for their concatenation on channels.
 */
import { ShapeError } from '../core/errors.ts';
import { alignUp, ceilDiv, ROW_ALIGN } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import type { Storage } from './kernel.ts';
import { MOMENT_ROWS } from './moments.ts';
import { requirePitch, requireSizes } from './rows.ts';

/** One of the tensors that make up the input: [images, pixels, pitch]. */
export interface GroupNormSource {
  /** Its channels, without padding. */
  readonly channels: number;
  /** Elements from one pixel to the next, a multiple of 8. */
  readonly pitch: number;
}

/** A map [images, pixels, channels], normalised over groups of channels. */
export interface GroupNormProblem {
  /** N: maps, each normalised by itself. */
  readonly images: number;
  /** H * W, the same for all images. */
  readonly pixels: number;
  /** One tensor, or two whose channel counts are both multiples of 4. */
  readonly sources: readonly [GroupNormSource] | readonly [GroupNormSource, GroupNormSource];
  /** Form of the sources. */
  readonly storage: Storage;
}

/** How pixels are cut into slabs, and the f32 elements that statistics and result need. */
export interface GroupNormSizes {
  /** Neighbouring pixels that one workgroup sums, 32 to 512. */
  readonly slabPixels: number;
  /** Workgroups that share the pixels of an image: ceil(pixels / slabPixels). */
  readonly slabs: number;
  /** Pitch of y, of the statistics and of scale_shift. */
  readonly pitch: number;
  /** f32 elements of `partials`: [N, slabs, 3, pitch]. */
  readonly partials: number;
  /** f32 elements of `scale_shift`: [N, 2, pitch]. */
  readonly scaleShift: number;
}

/** Items of an image that keep a device busy; more would only lengthen the second call. */
const ITEMS = { software: 1024, gpu: 32768 };

/** Sizes of the intermediate buffers. All three calls derive them from here, so they agree. */
export function groupNormSizes(
  caps: Pick<Caps, 'software'>,
  problem: Pick<GroupNormProblem, 'images' | 'pixels' | 'sources'>,
): GroupNormSizes {
  const { images, pixels, sources } = problem;
  const channels = groupNormChannels(sources);
  // Of one image, so that the sums of an image are the same bits in a batch of any size.
  const wanted = (pixels * ceilDiv(channels, 4)) / (caps.software ? ITEMS.software : ITEMS.gpu);
  const slabPixels = Math.min(512, Math.max(32, alignUp(wanted, 8)));
  const slabs = ceilDiv(pixels, slabPixels);
  const pitch = alignUp(channels, ROW_ALIGN);
  return { slabPixels, slabs, pitch, partials: images * slabs * 3 * pitch, scaleShift: images * 2 * pitch };
}

/** Whether what products measure of the sources suffices: whole slabs of an image, and groups of pairs of channels. */
export function isMeasurable(problem: Pick<GroupNormProblem, 'pixels' | 'sources'>, groups: number): boolean {
  const channels = groupNormChannels(problem.sources) / groups;
  return problem.pixels % MOMENT_ROWS === 0 && channels % 2 === 0 && problem.sources[0].channels % 2 === 0;
}

/** Channels of all sources together. */
export function groupNormChannels(sources: GroupNormProblem['sources']): number {
  return sources[0].channels + (sources[1]?.channels ?? 0);
}

/** @throws ShapeError for bad sizes, or two sources with channels that are not multiples of 4 */
export function checkGroupNorm(op: string, p: Pick<GroupNormProblem, 'images' | 'pixels' | 'sources'>): void {
  requireSizes(op, { images: p.images, pixels: p.pixels });
  p.sources.forEach((s, i) => {
    requirePitch(op, `sources[${i}]`, { width: s.channels, pitch: s.pitch });
    if (p.sources.length === 2 && s.channels % 4 !== 0) {
      throw new ShapeError({
        op,
        problem: 'two sources need channels in multiples of 4',
        received: s.channels,
        path: `sources[${i}].channels`,
        fix: 'Concatenate them first.',
      });
    }
  });
}
