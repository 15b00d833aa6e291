import source from '../../wgsl/guided-step.wgsl';
import { ShapeError } from '../core/errors.ts';
import { alignUp, ceilDiv, ROW_ALIGN } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { inputLib } from './libs.ts';
import { requireSizes } from './rows.ts';
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
      }
    | undefined;
}

/**
 * x' = outFromX0 * x0 + outFromEps * eps (+ sigma * noise), blended with a reference by a mask; in place, all latents f32,
 * coefficients and the reference's frame from `step`. Bindings: prediction [N or 2N, P, pitch], x [N, P, pitch], step
 * (packStep), noise [N, P, pitch], mask [masks, P, 8], reference [frames, references, P, pitch]; in place of a noise, mask
 * or reference that is not used stands any other read operand.
 *
 * @throws ShapeError for sizes that are no positive integers, or numbers of masks or references that do not divide the images
 * @see diffusers DDIMScheduler.step
 */
export function guidedStep(problem: GuidedStepProblem): KernelCall {
  const { images, pixels, channels, storage, guided, blend } = problem;
  check(problem);
  const columns = alignUp(channels, ROW_ALIGN) / 4;
  const count = images * pixels * columns;
  return {
    kernel: 'guided-step',
    source,
    libs: [inputLib(storage), stepLib],
    values: {
      GUIDED: guided,
      NOISE: problem.noise ?? false,
      BLEND: blend !== undefined,
    },
    bindings: [
      { name: 'prediction', access: 'read' },
      { name: 'x', access: 'update' },
      { name: 'step', access: 'read' },
      { name: 'noise', access: 'read' },
      { name: 'mask', access: 'read' },
      { name: 'reference', access: 'read' },
    ],
    params: {
      ...{ count, columns, pixels, channels, images },
      ...{ masks: blend?.masks ?? 1, mask_tiled: blend?.order === 'tiled' ? 1 : 0 },
      ...{ references: blend?.references ?? 1, frames: blend?.frames ?? 1 },
    },
    tiles: ceilDiv(count, WORKGROUP),
    cost: {
      flops: count * 4 * 12,
      bytes: count * ((guided ? 8 : 4) * storageBytes(storage) + 16 * ((problem.noise ? 3 : 2) + (blend ? 2 : 0))),
    },
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
