import source from '../../wgsl/first-nonfinite.wgsl';
import { ceilDiv } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { inputLib } from './libs.ts';
import { flatItems, requirePitch, requireSizes, vec4Binding } from './rows.ts';
import { stepLib } from './step.ts';

/** Values that are looked through. */
export interface FirstNonFiniteProblem {
  /** Rows of x: N * H * W. */
  readonly rows: number;
  /** Elements from one row to the next, a multiple of 8; padding is looked at too. */
  readonly pitch: number;
  /** Form of x; default f32. */
  readonly storage?: Storage | undefined;
}

/** What `found` holds before the first step: more than any of them, and exact as a float. */
export const NONE_FOUND: number = 2 ** 24 - 1;

const WORKGROUP = 64;

/**
 * found = min(found, step.number) where x holds a value that is not finite. Bindings: x [rows, pitch], step, found u32 [1],
 * NONE_FOUND before the first step.
 *
 * @throws ShapeError for bad sizes or pitch
 * @see torch.isfinite
 */
export function firstNonFinite({ rows, pitch, storage = 'f32' }: FirstNonFiniteProblem): KernelCall {
  requireSizes('first-nonfinite', { rows });
  requirePitch('first-nonfinite', 'x', { width: pitch, pitch });
  const count = (rows * pitch) / 4;
  return {
    kernel: 'first-nonfinite',
    source,
    libs: [inputLib(storage), stepLib],
    values: {},
    bindings: [
      vec4Binding('x', 'read', storage, 'x_base', flatItems(count, WORKGROUP)),
      { name: 'step', access: 'read' },
      { name: 'found', access: 'update' },
    ],
    params: { count },
    tiles: ceilDiv(count, WORKGROUP),
    cost: { flops: 0, bytes: rows * pitch * storageBytes(storage) },
  };
}
