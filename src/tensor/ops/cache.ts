/** Key and value caches as recorded nodes: they change DeviceTensors in place and have no result of their own. */
import { ShapeError } from '../../core/errors.ts';
import { cacheAppend as appendCall } from '../../kernels/cache-append.ts';
import { cacheGather as gatherCall, LARGEST_GROUP } from '../../kernels/cache-gather.ts';
import type { Lowering, Node, Tensor } from '../tensor.ts';
import type { HeadRows } from './attention.ts';

export { LARGEST_GROUP };

/** Writes x's channels from `offset` on into rows lengths[1] and following of each sequence. */
class CacheAppendNode implements Node {
  readonly kind = 'cache-append';
  readonly output = undefined;
  readonly #cache: Tensor;
  readonly #x: HeadRows;
  readonly #lengths: Tensor;

  constructor(cache: Tensor, x: HeadRows, lengths: Tensor) {
    this.#cache = cache;
    this.#x = x;
    this.#lengths = lengths;
  }

  inputs(): readonly Tensor[] {
    return [this.#x.tensor, this.#lengths, this.#cache];
  }

  lower(l: Lowering): void {
    const { tensor: x, offset } = this.#x;
    const cache = this.#cache;
    const call = appendCall({
      batch: x.dim(0),
      length: x.dim(1),
      capacity: cache.dim(1),
      width: cache.width,
      x: { pitch: x.pitch, first: offset, storage: l.storage(x.dtype) },
      cache: l.storage(cache.dtype),
    });
    l.emit(call, { x, lengths: this.#lengths, cache });
  }
}

/** Reorders the sequences of a cache within groups. */
class CacheGatherNode implements Node {
  readonly kind = 'cache-gather';
  readonly output = undefined;
  readonly #cache: Tensor;
  readonly #index: Tensor;
  readonly #lengths: Tensor;
  readonly #group: number;

  constructor(cache: Tensor, index: Tensor, lengths: Tensor, group: number) {
    this.#cache = cache;
    this.#index = index;
    this.#lengths = lengths;
    this.#group = group;
  }

  inputs(): readonly Tensor[] {
    return [this.#index, this.#lengths, this.#cache];
  }

  lower(l: Lowering): void {
    const cache = this.#cache;
    const [batch, capacity] = [cache.dim(0), cache.dim(1)];
    const call = gatherCall({
      batch,
      group: this.#group,
      capacity,
      width: cache.width,
      storage: l.storage(cache.dtype),
    });
    l.emit(call, { index: this.#index, lengths: this.#lengths, cache });
  }
}

/**
 * Records: the cache [N, capacity, W] takes over channels [offset, offset + W) of x [N, L, ...] at rows lengths[1] and
 * following. What is recorded later reads the new rows.
 *
 * @param cache an input of the graph
 * @param lengths uint32 [1, 2]: keys after the call, position of the first new one
 * @throws ShapeError where the batches differ or the cache is no input
 */
export function cacheAppend(cache: Tensor, x: HeadRows, lengths: Tensor): void {
  checkCache('cacheAppend', cache);
  if (x.tensor.shape.length !== 3 || x.tensor.dim(0) !== cache.dim(0)) {
    throw new ShapeError({
      op: 'cacheAppend',
      problem: 'the new rows belong to other sequences',
      expected: `[${cache.dim(0)}, L, ...]`,
      received: x.tensor.shape,
    });
  }
  cache.graph.effect(new CacheAppendNode(cache, x, lengths));
}

/**
 * Records: sequence r of the cache [N, capacity, W] takes over the first lengths[0] rows of sequence index[r].
 *
 * @param cache an input of the graph
 * @param index uint32 [1, N], each within its own group of `group` neighbouring sequences
 * @param lengths uint32 [1, 2]: rows that are filled, first
 */
export function cacheGather(cache: Tensor, index: Tensor, lengths: Tensor, group: number): void {
  checkCache('cacheGather', cache);
  cache.graph.effect(new CacheGatherNode(cache, index, lengths, group));
}

function checkCache(op: string, cache: Tensor): void {
  if (cache.value.device && cache.shape.length === 3 && cache.width === cache.pitch) return;
  const expected = '[N, capacity, a multiple of 8] with memory of its own';
  throw new ShapeError({
    op,
    problem: 'not a cache',
    expected,
    received: cache.shape,
    fix: 'Pass graph.input(cache).',
  });
}
