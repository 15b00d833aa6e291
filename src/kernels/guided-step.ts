/** One step of a sampler in one pass over the latents: guidance, the step, and the blend of an edit. */
import source from '../../wgsl/guided-step.wgsl';
import { ShapeError } from '../core/errors.ts';
import { alignUp, ROW_ALIGN } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { type FrameGroups, frameGroups } from './frames.ts';
import { type KernelBinding, type KernelCall, type Storage, storageBytes, unread } from './kernel.ts';
import { inputLib } from './libs.ts';
import { type RowRange, requireSizes, rowBinding, vec4Binding } from './rows.ts';
import { stepLib } from './step.ts';

const WORKGROUP = 64;

/** A prediction, the latents that it moves one step, and what is blended in. */
export interface GuidedStepProblem {
  /** Latents that are moved. */
  readonly images: number;
  /** H * W of the latents. */
  readonly pixels: number;
  /** Channels of the latents, without padding. */
  readonly channels: number;
  /** Storage of the prediction. */
  readonly storage: Storage;
  /** The prediction holds the unconditional images, then the conditional ones. */
  readonly guided: boolean;
  /** Add sigma * noise. */
  readonly noise?: boolean | undefined;
  /** The predicted clean latents stay within the image's bound and are divided by it. */
  readonly bounded?: boolean | undefined;
  /** Keep the reference where the mask is 0. */
  readonly blend?:
    | {
        /** Masks, a divisor of the images. */
        readonly masks: number;
        /** tiled: image n takes mask n % masks; consecutive: mask floor(n * masks / images). */
        readonly order: 'tiled' | 'consecutive';
        /** Images in each frame of the reference; image n takes floor(n * references / images). */
        readonly references: number;
        /** T: frames of the reference, of which `step` names one. */
        readonly frames: number;
        /** The mask is continuous: 1 where it is above the step's maskAbove, else 0. Default: it is the factor itself. */
        readonly soft?: boolean | undefined;
      }
    | undefined;
}

/**
 * x' = outFromX0 * x0 + outFromEps * eps (+ sigma * noise), blended with a reference by a mask; in place, all latents f32,
 * coefficients and the reference's frame from `step`. Bindings: prediction [N or 2N, P, pitch], conditional (prediction again), x
 * [N, P, pitch], step (packStep), noise [N, P, pitch], mask [masks, P, 8], reference [frames, references, P, pitch], bound [N, 8]; in
 * place of a noise, mask, reference or bound that is not used stands any other read operand.
 *
 * @throws ShapeError for sizes that are no positive integers, or numbers of masks or references that do not divide the images
 * @see diffusers DDIMScheduler.step
 */
export function guidedStep(caps: Pick<Caps, 'maxBindingBytes'>, problem: GuidedStepProblem): KernelCall {
  const { images, pixels, channels, storage, guided, blend } = problem;
  check(problem);
  const columns = alignUp(channels, ROW_ALIGN) / 4;
  const count = images * pixels * columns;
  const frames = { count: blend?.frames ?? 1, size: ((blend?.references ?? 1) * count) / images, elementBytes: 16 };
  const groups = frameGroups(caps, { ...frames, items: count, tileItems: WORKGROUP });
  return {
    kernel: 'guided-step',
    source,
    libs: [inputLib(storage), stepLib],
    values: {
      GUIDED: guided,
      NOISE: problem.noise ?? false,
      BLEND: blend !== undefined,
      SOFT: blend?.soft ?? false,
      BOUNDED: problem.bounded ?? false,
    },
    bindings: bindings(problem, columns, groups),
    params: {
      ...{ count, columns, pixels, channels, images },
      ...{ masks: blend?.masks ?? 1, mask_tiled: blend?.order === 'tiled' ? 1 : 0 },
      ...{ references: blend?.references ?? 1, frames: blend?.frames ?? 1 },
      ...{ group_tiles: groups.groupTiles, group_frames: groups.frames },
      // The dispatcher fills the starts of windows; what the call does without starts at 0.
      ...(guided ? {} : { conditional_base: 0 }),
      ...(problem.noise ? {} : { noise_base: 0 }),
      ...(blend ? {} : { mask_base: 0, reference_base: 0 }),
    },
    tiles: groups.tiles,
    cost: {
      flops: count * 4 * 12,
      bytes: count * ((guided ? 8 : 4) * storageBytes(storage) + 16 * ((problem.noise ? 3 : 2) + (blend ? 2 : 0))),
    },
  };
}

function bindings(p: GuidedStepProblem, columns: number, { items, span }: FrameGroups): KernelBinding[] {
  const { images, pixels, storage, guided, noise, blend } = p;
  const image = pixels * columns;
  const halved: RowRange = (first, end) => {
    const [from, to] = items(first, end);
    return [images * image + from, images * image + to];
  };
  const masked = masksOf(p, items, image);
  const referred: RowRange = (first, end) => {
    const [from, to] = items(first, end);
    const of = (item: number) => Math.floor((Math.floor(item / image) * (blend?.references ?? 1)) / images);
    const [a, b] = [Math.floor(from / image), Math.floor((to - 1) / image)];
    if (a === b) return [of(from) * image + (from % image), of(from) * image + ((to - 1) % image) + 1];
    return [of(from) * image, (of(to - 1) + 1) * image];
  };
  return [
    vec4Binding('prediction', 'read', storage, 'prediction_base', items),
    guided ? vec4Binding('conditional', 'read', storage, 'conditional_base', halved) : unread('conditional'),
    vec4Binding('x', 'update', 'f32', 'x_base', items),
    { name: 'step', access: 'read' },
    noise ? vec4Binding('noise', 'read', 'f32', 'noise_base', items) : unread('noise'),
    blend ? rowBinding('mask', 'read', { pitch: 8, storage: 'f32' }, 'mask_base', masked) : unread('mask'),
    blend ? vec4Binding('reference', 'read', 'f32', 'reference_base', span(referred)) : unread('reference'),
    p.bounded ? { name: 'bound', access: 'read' } : unread('bound'),
  ];
}

/** Rows of the masks that tiles meet. */
function masksOf({ images, pixels, blend }: GuidedStepProblem, items: RowRange, image: number): RowRange {
  const masks = blend?.masks ?? 1;
  const of = (n: number) => (blend?.order === 'tiled' ? n % masks : Math.floor((n * masks) / images));
  return (first, end) => {
    const [from, to] = items(first, end);
    const [a, b] = [Math.floor(from / image), Math.floor((to - 1) / image)];
    const row = (item: number) => of(a) * pixels + Math.floor((item % image) / (image / pixels));
    if (a === b) return [row(from), row(to - 1) + 1];
    const round = of(b) < of(a) || (blend?.order === 'tiled' && b - a >= masks);
    return round ? [0, masks * pixels] : [of(a) * pixels, (of(b) + 1) * pixels];
  };
}

function check({ images, pixels, channels, blend }: GuidedStepProblem): void {
  const op = 'guided-step';
  requireSizes(op, { images, pixels, channels });
  if (!blend) return;
  const { masks, references, frames } = blend;
  requireSizes(op, { 'blend.masks': masks, 'blend.references': references, 'blend.frames': frames });
  if (images % masks !== 0 || images % references !== 0) {
    throw new ShapeError({
      op,
      problem: 'masks and references must serve the same number of images each',
      expected: `divisors of ${images}`,
      received: [masks, references],
    });
  }
}
