import source from '../../wgsl/cache-gather.wgsl';
import { ShapeError } from '../core/errors.ts';
import { ceilDiv } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { outputLib } from './libs.ts';
import { flatRows, type RowRange, requirePitch, requireSizes, rowBinding, wordBinding } from './rows.ts';

/** A cache whose rows follow the beams that go on. */
export interface CacheGatherProblem {
  /** N: sequences, each with a cache of its own. */
  readonly batch: number;
  /** Neighbouring sequences that take over rows from each other only: the beams of one input. 1 to 64, a divisor of N. */
  readonly group: number;
  /** Rows of a sequence in the cache. */
  readonly capacity: number;
  /** Elements of a row, a multiple of 8. */
  readonly width: number;
  /** Form of the cache. */
  readonly storage: Storage;
}

/** Most sequences that take over from each other: an invocation holds one vec4 of each. */
export const LARGEST_GROUP = 64;
const WORKGROUP = 64;

/**
 * Sequence r takes over the first lengths[0] rows of sequence index[r], in place. Bindings: index u32 [N] (each within its own
 * group), lengths u32 [1], cache [N * capacity, width].
 *
 * @throws ShapeError for bad sizes, groups above 64 or that do not divide the batch
 * @see transformers reorder_cache
 */
export function cacheGather({ batch, group, capacity, width, storage }: CacheGatherProblem): KernelCall {
  const op = 'cache-gather';
  requireSizes(op, { batch, group, capacity, width });
  requirePitch(op, 'cache', { width, pitch: width });
  if (group > LARGEST_GROUP || batch % group !== 0) {
    const expected = `at most ${LARGEST_GROUP} sequences, a divisor of ${batch}`;
    throw new ShapeError({ op, problem: 'the groups do not fit', expected, received: group, fix: 'Use fewer beams.' });
  }
  const columns = width / 4;
  const count = (batch / group) * capacity * columns;
  const sequences: RowRange = (first, end) => {
    const [from, to] = flatRows(batch / group, capacity * columns, WORKGROUP)(first, end);
    return [from * group, to * group];
  };
  const rows: RowRange = (first, end) => {
    const [from, to] = sequences(first, end);
    return [from * capacity, to * capacity];
  };
  return {
    kernel: 'cache-gather',
    source,
    libs: [outputLib(storage)],
    values: { ROWS: 2 ** Math.ceil(Math.log2(group)) },
    bindings: [
      wordBinding('index', 'read', 'index_base', sequences),
      { name: 'lengths', access: 'read' },
      {
        ...rowBinding('cache', 'update', { pitch: width, storage }, 'cache_base', rows),
        shrinks: 'fewer beams or a shorter text',
      },
    ],
    params: { count, columns, group, capacity },
    tiles: ceilDiv(count, WORKGROUP),
    cost: { flops: 0, bytes: 2 * batch * capacity * width * storageBytes(storage) },
  };
}
