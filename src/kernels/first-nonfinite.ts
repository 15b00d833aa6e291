import source from '../../wgsl/first-nonfinite.wgsl';
import { ceilDiv } from '../core/shape.ts';
import type { KernelCall } from './kernel.ts';
import { flatItems, requirePitch, requireSizes, vec4Binding } from './rows.ts';
import { stepLib } from './step.ts';

/** Latents that are looked through. */
export interface FirstNonFiniteProblem {
  /** Rows of x: N * H * W. */
  readonly rows: number;
  /** Elements from one row to the next, a multiple of 8; padding is looked at too. */
  readonly pitch: number;
}

/** What `found` holds before the first step: more than any of them, and exact as a float. */
export const NONE_FOUND: number = 2 ** 24 - 1;

const WORKGROUP = 64;

/**
 * found = min(found, step.number) where x holds a value that is not finite. Bindings: x f32 [rows, pitch], step, found u32 [1],
 * NONE_FOUND before the first step.
 *
 * @throws ShapeError for bad sizes or pitch
 * @see torch.isfinite
 */
export function firstNonFinite({ rows, pitch }: FirstNonFiniteProblem): KernelCall {
  requireSizes('first-nonfinite', { rows });
  requirePitch('first-nonfinite', 'x', { width: pitch, pitch });
  const count = (rows * pitch) / 4;
  return {
    kernel: 'first-nonfinite',
    source,
    libs: [stepLib],
    values: {},
    bindings: [
      vec4Binding('x', 'read', 'f32', 'x_base', flatItems(count, WORKGROUP)),
      { name: 'step', access: 'read' },
      { name: 'found', access: 'update' },
    ],
    params: { count },
    tiles: ceilDiv(count, WORKGROUP),
    cost: { flops: 0, bytes: rows * pitch * 4 },
  };
}
