/** One step of any sampler whose results are weighted sums: guidance, x', and what is kept for the next step. */
import source from '../../wgsl/linear-step.wgsl';
import { ShapeError } from '../core/errors.ts';
import { alignUp, ceilDiv, ROW_ALIGN } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes, unread } from './kernel.ts';
import { inputLib } from './libs.ts';
import { flatItems, type RowRange, requireSizes, vec4Binding } from './rows.ts';
import { stepLib } from './step.ts';

const WORKGROUP = 64;
/** Values that a step may keep: each is held in registers. */
const MOST_SLOTS = 8;

/** A prediction, the latents that it moves one step, and what the sampler remembers. */
export interface LinearStepProblem {
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
  /** Noise has a part. */
  readonly noise?: boolean | undefined;
  /** The predicted clean latents stay within the image's bound and are divided by it. */
  readonly bounded?: boolean | undefined;
  /** Values of the latents' shape that are kept from step to step, up to 8. */
  readonly slots: number;
}

/** Numbers of the operand `weights`: a row for x', one for each slot; a column for x, e, x0, noise and each slot. */
export function linearStepWeights(slots: number): number {
  return (1 + slots) * (4 + slots);
}

/**
 * x' and the kept values as weighted sums of x, e, x0, noise and the kept values before, in place; all latents f32. Bindings: prediction
 * [N or 2N, P, pitch], conditional (prediction again), x [N, P, pitch], step (packStep: guidance, x0FromX, x0FromNoise, clip), weights
 * [1 + slots, 4 + slots], noise [N, P, pitch], kept [N, P, pitch / 4, slots] of vec4s, bound [N, 8]; in place of a noise or bound that is
 * not used stands any other read operand, in place of kept without slots a buffer of its own of at least 16 bytes.
 *
 * @throws ShapeError for sizes that are no positive integers, or a number of slots that is none or too large
 */
export function linearStep(problem: LinearStepProblem): KernelCall {
  const { images, pixels, channels, storage, guided, noise = false, bounded = false, slots } = problem;
  const op = 'linear-step';
  requireSizes(op, { images, pixels, channels });
  if (!(Number.isInteger(slots) && slots >= 0 && slots <= MOST_SLOTS)) {
    const expected = `a whole number up to ${MOST_SLOTS}`;
    throw new ShapeError({ op, problem: 'no number of kept values', expected, value: slots, path: 'slots' });
  }
  const columns = alignUp(channels, ROW_ALIGN) / 4;
  const count = images * pixels * columns;
  const items = flatItems(count, WORKGROUP);
  const halved: RowRange = (first, end) => {
    const [from, to] = items(first, end);
    return [count + from, count + to];
  };
  const keeping: RowRange = (first, end) => {
    const [from, to] = items(first, end);
    return [slots * from, slots * to];
  };
  return {
    kernel: op,
    source,
    libs: [inputLib(storage), stepLib],
    values: { GUIDED: guided, NOISE: noise, BOUNDED: bounded, SLOTS: slots },
    bindings: [
      vec4Binding('prediction', 'read', storage, 'prediction_base', items),
      guided ? vec4Binding('conditional', 'read', storage, 'conditional_base', halved) : unread('conditional'),
      vec4Binding('x', 'update', 'f32', 'x_base', items),
      { name: 'step', access: 'read' },
      { name: 'weights', access: 'read' },
      noise ? vec4Binding('noise', 'read', 'f32', 'noise_base', items) : unread('noise'),
      slots > 0 ? vec4Binding('kept', 'update', 'f32', 'kept_base', keeping) : { name: 'kept', access: 'update' },
      bounded ? { name: 'bound', access: 'read' } : unread('bound'),
    ],
    params: {
      ...{ count, columns, pixels, channels },
      // The dispatcher fills the starts of windows; what the call does without starts at 0.
      ...(guided ? {} : { conditional_base: 0 }),
      ...(noise ? {} : { noise_base: 0 }),
      ...(slots > 0 ? {} : { kept_base: 0 }),
    },
    tiles: ceilDiv(count, WORKGROUP),
    cost: {
      flops: count * 4 * (8 + 2 * linearStepWeights(slots)),
      bytes: count * ((guided ? 8 : 4) * storageBytes(storage) + 16 * ((noise ? 3 : 2) + 2 * slots)),
    },
  };
}
