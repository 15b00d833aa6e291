import source from '../../wgsl/top-k.wgsl';
import { ShapeError } from '../core/errors.ts';
import { alignUp, ROW_ALIGN } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { inputLib } from './libs.ts';
import { type RowRange, requirePitch, requireSizes, rowBinding, wordBinding } from './rows.ts';

/** Rows of scores whose k largest are wanted. */
export interface TopKProblem {
  /** Rows of x. */
  readonly rows: number;
  /** True length of a row. */
  readonly width: number;
  /** Elements from one row to the next, a multiple of 8. */
  readonly pitch: number;
  /** Form of x. */
  readonly storage: Storage;
  /** 1 to 64, at most `width`. */
  readonly k: number;
  /** Neighbouring rows whose results lie side by side in one row; default 1. */
  readonly group?: number | undefined;
}

const MOST = 64;

/**
 * The k largest values of each row and their columns, largest first, of equal values the lower column first.
 * Bindings: x [rows, pitch], ids u32 [rows / group, pitch(group * k)], values f32 likewise; padding zero.
 *
 * @throws ShapeError for bad sizes or pitch, for k outside 1 to 64 or above the width, and rows that are no whole groups
 * @see torch.topk (which leaves the order of equal values open)
 */
export function topK({ rows, width, pitch, storage, k, group = 1 }: TopKProblem): KernelCall {
  requireSizes('top-k', { rows, width, k, group });
  requirePitch('top-k', 'x', { width, pitch });
  if (k > Math.min(MOST, width)) {
    throw new ShapeError({
      op: 'top-k',
      problem: 'k is too large',
      expected: `at most ${Math.min(MOST, width)}`,
      value: k,
    });
  }
  if (rows % group !== 0) {
    throw new ShapeError({
      op: 'top-k',
      problem: 'the rows must be whole groups',
      expected: `a multiple of ${group}`,
      received: rows,
    });
  }
  const outPitch = alignUp(group * k, ROW_ALIGN);
  const results: RowRange = (first, end) => [
    Math.floor(first / group) * outPitch,
    (Math.floor((end - 1) / group) + 1) * outPitch,
  ];
  return {
    kernel: 'top-k',
    source,
    libs: [inputLib(storage)],
    values: {},
    bindings: [
      rowBinding('x', 'read', { pitch, storage }, 'x_base', (first, end) => [first, end]),
      wordBinding('ids', 'write', 'ids_base', results),
      wordBinding('values', 'write', 'values_base', results),
    ],
    params: { width, pitch: pitch / 4, k, group, out_pitch: outPitch },
    tiles: rows,
    cost: { flops: rows * width, bytes: rows * (pitch * storageBytes(storage) + 8 * k) },
  };
}
