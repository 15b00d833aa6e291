import source from '../../wgsl/guided-step.wgsl';
import { ShapeError } from '../core/errors.ts';
import { alignUp, ceilDiv, ROW_ALIGN } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { inputLib } from './libs.ts';
import { requireSizes } from './rows.ts';

const WORKGROUP = 64;

/** Elements of the `step` buffer of all diffusion kernels. */
export const STEP_LENGTH = 32;

/** The numbers of one step, which change without a new plan. */
export interface GuidedStepValues {
  /** Weight of the conditional prediction; 1 takes it alone. */
  readonly guidance: number;
  /** x0 = x0X * x + x0E * e. */
  readonly x0X: number;
  readonly x0E: number;
  /** eps = epsX * x + epsE * e. */
  readonly epsX: number;
  readonly epsE: number;
  /** x' = outX0 * x0 + outEps * eps + sigma * noise. */
  readonly outX0: number;
  readonly outEps: number;
  readonly sigma?: number | undefined;
  /** x0 is kept within +-clip; 0 for no bound, the default. */
  readonly clip?: number | undefined;
  /** Frame of `reference` and `history`; default 0. */
  readonly frame?: number | undefined;
}

/** The contents of `step` for guidedStep (guidedNoise reads the guidance alone). */
export function guidedStepValues(v: GuidedStepValues): Float32Array<ArrayBuffer> {
  const values = new Float32Array(STEP_LENGTH);
  values.set([v.guidance, v.x0X, v.x0E, v.epsX, v.epsE, v.outX0, v.outEps, v.sigma ?? 0, v.clip ?? 0, v.frame ?? 0]);
  return values;
}

export interface GuidedStepProblem {
  readonly images: number;
  /** H * W of the latents. */
  readonly pixels: number;
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
        readonly masks: number;
        /** tiled: image n takes mask n % masks; consecutive: mask floor(n * masks / images). */
        readonly order: 'tiled' | 'consecutive';
        /** Images in each frame of the reference; image n takes floor(n * references / images). */
        readonly references: number;
        readonly frames: number;
      }
    | undefined;
  /** Store x' at the step's frame. */
  readonly history?: { readonly frames: number } | undefined;
}

/**
 * x' = outX0 * x0 + outEps * eps (+ sigma * noise), blended with a reference by a mask; in place, all latents f32.
 * Bindings: prediction, x, step [32], noise, mask [masks, P, 8], reference [frames, references, P, pitch], history
 * [frames, N, P, pitch]. Read operands that are not used are any read buffer; `history` is then any other buffer that the
 * call does not bind twice.
 *
 * @throws ShapeError for sizes that are no positive integers, or more masks or references than images
 * @see diffusers DDIMScheduler.step
 */
export function guidedStep(problem: GuidedStepProblem): KernelCall {
  const { images, pixels, channels, storage, guided, blend, history } = problem;
  check(problem);
  const columns = alignUp(channels, ROW_ALIGN) / 4;
  const count = images * pixels * columns;
  return {
    kernel: 'guided-step',
    source,
    libs: [inputLib(storage)],
    values: {
      GUIDED: guided,
      NOISE: problem.noise ?? false,
      BLEND: blend !== undefined,
      HISTORY: history !== undefined,
    },
    bindings: [
      { name: 'prediction', access: 'read' },
      { name: 'x', access: 'update' },
      { name: 'step', access: 'read' },
      { name: 'noise', access: 'read' },
      { name: 'mask', access: 'read' },
      { name: 'reference', access: 'read' },
      { name: 'history', access: 'update' },
    ],
    params: [
      ...[count, columns, pixels, channels, images],
      ...[blend?.masks ?? 1, blend?.order === 'tiled' ? 1 : 0, blend?.references ?? 1],
      ...[blend?.frames ?? 1, history?.frames ?? 1],
    ],
    tiles: ceilDiv(count, WORKGROUP),
    cost: {
      flops: count * 4 * 12,
      bytes: count * ((guided ? 8 : 4) * storageBytes(storage) + 16 * (2 + (blend ? 2 : 0) + (history ? 1 : 0))),
    },
  };
}

function check({ images, pixels, channels, blend, history }: GuidedStepProblem): void {
  const op = 'guided-step';
  requireSizes(op, { images, pixels, channels });
  if (history) requireSizes(op, { 'history.frames': history.frames });
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
