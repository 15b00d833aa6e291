import source from '../../wgsl/cache-append.wgsl';
import { ShapeError } from '../core/errors.ts';
import { ceilDiv } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { inputLib, outputLib } from './libs.ts';
import { flatRows, type RowRange, requirePitch, requireSizes, rowBinding } from './rows.ts';

/** New keys and values of a decoding step, and the cache that they are appended to. */
export interface CacheAppendProblem {
  /** N: sequences, each with a cache of its own. */
  readonly batch: number;
  /** New rows of a sequence: L. */
  readonly length: number;
  /** Rows of a sequence in the cache. */
  readonly capacity: number;
  /** Elements of a row: keys and values side by side, a multiple of 8. */
  readonly width: number;
  /** Where the new rows lie; `first` is the element where the keys begin, a multiple of 4. */
  readonly x: {
    /** Elements from one row to the next, a multiple of 8 that holds `first` and the width. */
    readonly pitch: number;
    /** Element of a row where the keys begin, a multiple of 4. */
    readonly first: number;
    /** Form of the new rows. */
    readonly storage: Storage;
  };
  /** Form of the cache. */
  readonly cache: Storage;
}

/** vec4s of one tile. */
const TILE = 256;

/**
 * Writes new keys and values into a cache from row lengths[1] on; rows past the capacity are dropped.
 * Bindings: x [N * L, pitch], lengths u32 [2] (keys after the call, position of the first new one), cache [N * capacity, width].
 *
 * @throws ShapeError for bad sizes and pitches, more rows than the capacity, and a `first` that is off or leaves the row
 */
export function cacheAppend(problem: CacheAppendProblem): KernelCall {
  const { batch, length, capacity, width, x, cache } = problem;
  const op = 'cache-append';
  requireSizes(op, { batch, length, capacity, width });
  requirePitch(op, 'x', { width: x.first + width, pitch: x.pitch });
  requirePitch(op, 'cache', { width, pitch: width });
  if (x.first % 4 !== 0)
    throw new ShapeError({ op, problem: 'must be a multiple of 4', received: x.first, path: 'x.first' });
  if (length > capacity) {
    const fix = 'Start the decoder with a larger length.';
    throw new ShapeError({
      op,
      problem: 'the cache is too small',
      expected: `at least ${length} rows`,
      received: capacity,
      fix,
    });
  }
  const columns = width / 4;
  const count = batch * length * columns;
  const rows = flatRows(batch * length, columns, TILE);
  // Where in a sequence the new rows go is known to the device alone.
  const sequences: RowRange = (first, end) => {
    const [from, to] = rows(first, end);
    return [Math.floor(from / length) * capacity, (Math.floor((to - 1) / length) + 1) * capacity];
  };
  return {
    kernel: 'cache-append',
    source,
    libs: [inputLib(x.storage), outputLib(cache)],
    values: {},
    bindings: [
      rowBinding('x', 'read', x, 'x_base', rows),
      { name: 'lengths', access: 'read' },
      {
        ...rowBinding('cache', 'update', { pitch: width, storage: cache }, 'cache_base', sequences),
        shrinks: 'a shorter text',
      },
    ],
    params: {
      count,
      columns,
      length,
      capacity,
      x_pitch: x.pitch / 4,
      x_first: x.first / 4,
      cache_pitch: columns,
    },
    tiles: ceilDiv(count, TILE),
    cost: { flops: 0, bytes: batch * length * width * (storageBytes(x.storage) + storageBytes(cache)) },
  };
}
