/** Slices, concatenations and repetitions that cannot be views, as recorded nodes. */
import { BYTES } from '../../core/dtype.ts';
import { ShapeError } from '../../core/errors.ts';
import { SLICE_ALIGN } from '../../gpu/buffer.ts';
import { type CopyProblem, copy } from '../../kernels/copy.ts';
import type { Lowering, Node, Tensor } from '../tensor.ts';

type Placing = Pick<CopyProblem, 'itemRows' | 'source' | 'target' | 'repeat'> & {
  /** First channel of the source. */
  readonly channel?: number;
};

/** One or two sources into (part of) a target. */
export class CopyNode implements Node {
  readonly kind = 'copy';
  readonly output: Tensor;
  readonly #sources: readonly Tensor[];
  readonly #rows: number;
  readonly #placing: Placing;

  constructor(sources: readonly Tensor[], output: Tensor, rows: number, placing: Placing = {}) {
    this.#sources = [...sources];
    this.output = output;
    this.#rows = rows;
    this.#placing = placing;
  }

  inputs(): readonly Tensor[] {
    return this.#sources;
  }

  /** The rows of which this is a run of channels, and the first of these; undefined where it is more. */
  get channelsOf(): { readonly x: Tensor; readonly first: number } | undefined {
    const { channel, ...placing } = this.#placing;
    const [x, second] = this.#sources;
    if (!x || second || channel === undefined || Object.keys(placing).length > 0) return undefined;
    return { x, first: channel };
  }

  lower(l: Lowering): void {
    const { channel = 0, ...placing } = this.#placing;
    const [first, second] = this.#sources as [Tensor, Tensor?];
    const one = { channels: Math.min(first.width, this.output.width), pitch: first.pitch, first: channel };
    const call = copy({
      ...placing,
      rows: this.#rows,
      sources: second ? [one, { channels: second.width, pitch: second.pitch }] : [one],
      storage: l.storage(first.dtype),
      y: { pitch: this.output.pitch, storage: l.storage(this.output.dtype) },
    });
    l.emit(call, { x1: first, x2: second ?? first, y: this.output });
  }
}

/** Writes several items of rows into one tensor, one call each. */
class StackNode implements Node {
  readonly kind = 'stack';
  readonly output: Tensor;
  readonly #parts: readonly Tensor[];

  constructor(parts: readonly Tensor[], output: Tensor) {
    this.#parts = [...parts];
    this.output = output;
  }

  inputs(): readonly Tensor[] {
    return this.#parts;
  }

  lower(l: Lowering): void {
    let first = 0;
    for (const part of this.#parts) {
      new CopyNode([part], this.output, part.rows, { target: { first } }).lower(l);
      first += part.rows;
    }
  }
}

/** Bytes of rows above which the end of one copy and the beginning of the next are not left to one tile, whose window holds all between. */
const WITHIN_REACH = 2 ** 23;

/** Writes items several times: in one call, or, where they are large, each run of rows in a call of its own. */
class RepeatNode implements Node {
  readonly kind = 'repeat';
  readonly output: Tensor;
  readonly #x: Tensor;
  readonly #order: 'consecutive' | 'interleaved';

  constructor(x: Tensor, output: Tensor, order: 'consecutive' | 'interleaved') {
    this.#x = x;
    this.output = output;
    this.#order = order;
  }

  inputs(): readonly Tensor[] {
    return [this.#x];
  }

  lower(l: Lowering): void {
    const [x, order] = [this.#x, this.#order];
    const itemRows = x.rows / x.dim(0);
    const runRows = order === 'interleaved' ? x.rows : itemRows;
    const reach = Math.min(WITHIN_REACH, l.caps.maxBufferBytes / 4, l.caps.maxBindingBytes / 4);
    if (runRows * x.pitch * BYTES[x.dtype] <= reach) {
      const repeat = { items: x.dim(0), order };
      new CopyNode([x], this.output, this.output.rows, { itemRows, repeat }).lower(l);
      return;
    }
    const times = this.output.rows / x.rows;
    for (let first = 0; first < this.output.rows; first += runRows) {
      const run = first / runRows;
      const source = order === 'interleaved' ? 0 : Math.floor(run / times) * itemRows;
      new CopyNode([x], this.output, runRows, { source: { first: source }, target: { first } }).lower(l);
    }
  }
}

/** A node that copies `from` into `to`, which has the same rows and channels. */
export function copyRows(from: Tensor, to: Tensor): Node {
  return new CopyNode([from], to, from.rows);
}

/** Entries [start, end) of dimension 0: a view where its first byte is aligned, else a copy. */
export function sliceRows(x: Tensor, start: number, end: number): Tensor {
  const itemRows = x.rows / x.dim(0);
  const shape = [end - start, ...x.shape.slice(1)];
  const offset = x.rowOffset + start * itemRows;
  if ((offset * x.pitch * BYTES[x.dtype]) % SLICE_ALIGN === 0) return x.view(shape, offset);
  const output = x.graph.allocate(shape, x.dtype);
  return x.graph.push(new CopyNode([x], output, output.rows, { source: { first: start * itemRows } }));
}

/** The last row of each item: x [N, L, D] -> [N, 1, D]. */
export function lastRows(x: Tensor): Tensor {
  const [items, length] = [x.dim(0), x.dim(1)];
  if (length === 1) return x;
  const output = x.graph.allocate([items, 1, x.width], x.dtype);
  return x.graph.push(new CopyNode([x], output, items, { itemRows: 1, source: { first: length - 1, stride: length } }));
}

/** Channels [start, end). */
export function copyChannels(x: Tensor, start: number, end: number): Tensor {
  const axis = x.shape.length === 4 ? 1 : x.shape.length - 1;
  const output = x.graph.allocate(x.shape.with(axis, end - start), x.dtype);
  return x.graph.push(new CopyNode([x], output, x.rows, { channel: start }));
}

/** Dimension 0 repeated. */
export function repeatBatch(x: Tensor, times: number, order: 'consecutive' | 'interleaved'): Tensor {
  const output = x.graph.allocate([x.dim(0) * times, ...x.shape.slice(1)], x.dtype);
  return x.graph.push(new RepeatNode(x, output, order));
}

/**
 * Concatenates on dimension 0, or on the channels (dimension 1 of maps, the last of tokens). On channels the parts are
 * remembered, and consumers that can read several sources do so; the copy is dropped when all can.
 *
 * @throws ShapeError where the other dimensions differ
 */
export function concat(parts: readonly Tensor[], axis: number): Tensor {
  const [first, ...rest] = parts as [Tensor, ...Tensor[]];
  const channels = first.shape.length === 4 ? 1 : first.shape.length - 1;
  const alike = (p: Tensor) =>
    p.dtype === first.dtype &&
    p.shape.length === first.shape.length &&
    p.shape.every((size, i) => i === axis || size === first.dim(i));
  if (!rest.every(alike) || (axis !== 0 && axis !== channels)) {
    throw new ShapeError({
      op: 'concat',
      problem: 'tensors join on dimension 0 or the channels, and agree in the others',
      expected: first.shape,
      received: rest.map(p => p.shape),
    });
  }
  if (rest.length === 0) return first;
  const total = parts.reduce((sum, p) => sum + p.dim(axis), 0);
  const output = first.graph.allocate(first.shape.with(axis, total), first.dtype);
  if (axis === 0) return first.graph.push(new StackNode(parts, output));
  if (rest.length > 1) return concat([concat(parts.slice(0, -1), axis), parts.at(-1) as Tensor], axis);
  first.graph.push(new CopyNode(parts, output, first.rows));
  return output.view(output.shape, 0, [...parts]);
}
