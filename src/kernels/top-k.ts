import source from '../../wgsl/top-k.wgsl';
import { ShapeError } from '../core/errors.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { inputLib } from './libs.ts';
import { requirePitch, requireSizes, rowBinding } from './rows.ts';

export interface TopKProblem {
  readonly rows: number;
  /** True length of a row. */
  readonly width: number;
  readonly pitch: number;
  readonly storage: Storage;
  /** 1 to 64, at most `width`. */
  readonly k: number;
}

const MOST = 64;

/**
 * The k largest values of each row and their columns, largest first, of equal values the lower column first.
 * Bindings: x [rows, pitch], ids u32 [rows, k], values f32 [rows, k]; the last two without padding.
 *
 * @throws ShapeError for bad sizes or pitch, and for k outside 1 to 64 or above the width
 * @see torch.topk (which leaves the order of equal values open)
 */
export function topK({ rows, width, pitch, storage, k }: TopKProblem): KernelCall {
  requireSizes('top-k', { rows, width, k });
  requirePitch('top-k', 'x', { width, pitch });
  if (k > Math.min(MOST, width)) {
    throw new ShapeError({
      op: 'top-k',
      problem: 'k is too large',
      expected: `at most ${Math.min(MOST, width)}`,
      received: k,
    });
  }
  return {
    kernel: 'top-k',
    source,
    libs: [inputLib(storage)],
    values: {},
    bindings: [
      rowBinding('x', 'read', { pitch, storage }, 3, (first, end) => [first, end]),
      { name: 'ids', access: 'write' },
      { name: 'values', access: 'write' },
    ],
    params: [width, pitch / 4, k, 0],
    tiles: rows,
    cost: { flops: rows * width, bytes: rows * (pitch * storageBytes(storage) + 8 * k) },
  };
}
