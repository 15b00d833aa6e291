/** Copying channels between rows of different pitch: concatenation, slices, and changes of storage form. */
import source from '../../wgsl/copy.wgsl';
import { ShapeError } from '../core/errors.ts';
import { ceilDiv } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { inputLib, outputLib } from './libs.ts';
import { FLAT_TILE, flatRows, type RowRange, requirePitch, requireSizes, rowBinding } from './rows.ts';

/** Channels [first, first + channels) of rows with `pitch` elements; any alignment. */
export interface CopySource {
  /** Channels that are copied. */
  readonly channels: number;
  /** Elements from one row to the next, a multiple of 8. */
  readonly pitch: number;
  /** First channel that is read; default 0. */
  readonly first?: number | undefined;
}

/** Where rows lie on one side: item i starts at row first + i * stride. */
export interface CopyRows {
  /** First row that is written; default 0. */
  readonly first?: number | undefined;
  /** Rows from one item to the next; default itemRows. */
  readonly stride?: number | undefined;
}

/** A rectangle of rows and columns, from one tensor to another, converted on the way. */
export interface CopyProblem {
  /** Rows to write, a whole number of items. */
  readonly rows: number;
  /** One source, or two that y holds side by side on channels. */
  readonly sources: readonly [CopySource] | readonly [CopySource, CopySource];
  /** Storage of the sources. */
  readonly storage: Storage;
  /** Where the channels go. */
  readonly y: {
    /** Elements from one row to the next, a multiple of 8. */
    readonly pitch: number;
    /** Form of y; values are converted where it is another than the sources'. */
    readonly storage: Storage;
    /** First channel to write, a multiple of 4; default 0. */
    readonly first?: number | undefined;
    /** Zeros are written behind the channels up to here, a multiple of 4; default the pitch. */
    readonly end?: number | undefined;
  };
  /** Neighbouring rows that move together: H * W for images. Default all rows. */
  readonly itemRows?: number | undefined;
  /** Rows that are read; default all, from the first on. */
  readonly source?: CopyRows | undefined;
  /** Rows that are written; default all, from the first on. */
  readonly target?: CopyRows | undefined;
  /** Items of the source, written more than once: [a, b] as [a, a, b, b] (consecutive) or [a, b, a, b] (interleaved). */
  readonly repeat?:
    | {
        /** Items of the source, a divisor of those written. */
        readonly items: number;
        /** Each item several times at once, or all of them in turn. */
        readonly order: 'consecutive' | 'interleaved';
      }
    | undefined;
}

/**
 * Copies rows and channels: slices, concatenation, repetition, casts. Bindings: x1, x2 (with one source: x1 again), y.
 *
 * @throws ShapeError for bad sizes or pitches, and for rows that do not split into the items
 * @see torch.cat, torch.repeat_interleave, torch.Tensor.repeat
 */
export function copy(problem: CopyProblem): KernelCall {
  const { rows, sources, storage, y, itemRows = rows } = problem;
  check(problem);
  const [first, second] = sources;
  const start = y.first ?? 0;
  const columns = ((y.end ?? y.pitch) - start) / 4;
  const items = rows / itemRows;
  const sourceItems = problem.repeat?.items ?? items;
  const times = problem.repeat?.order === 'consecutive' ? items / sourceItems : 1;
  const from = { first: problem.source?.first ?? 0, stride: problem.source?.stride ?? itemRows };
  const to = { first: problem.target?.first ?? 0, stride: problem.target?.stride ?? itemRows };
  const written = flatRows(rows, columns);
  const sourceItem = (item: number) => Math.floor(item / times) % sourceItems;
  const targetRange: RowRange = (a, b) => itemSpan(written(a, b), itemRows, to, item => item, items);
  const sourceRange: RowRange = (a, b) => itemSpan(written(a, b), itemRows, from, sourceItem, sourceItems);
  const channels = first.channels + (second?.channels ?? 0);
  return {
    kernel: 'copy',
    source,
    libs: [inputLib(storage), outputLib(y.storage)],
    values: {},
    bindings: [
      rowBinding('x1', 'read', { pitch: first.pitch, storage }, 'x1_base', sourceRange),
      rowBinding('x2', 'read', { pitch: (second ?? first).pitch, storage }, 'x2_base', sourceRange),
      rowBinding('y', 'write', y, 'y_base', targetRange),
    ],
    params: {
      ...{ items: rows * columns, columns },
      ...{ first1: first.first ?? 0, count1: first.channels, pitch1: first.pitch },
      ...{ first2: second?.first ?? 0, count2: second?.channels ?? 0, pitch2: second?.pitch ?? 0 },
      ...{ y_column: start / 4, y_pitch: y.pitch / 4 },
      ...{ item_rows: itemRows, times, source_items: sourceItems },
      ...{ source_first: from.first, source_stride: from.stride },
      ...{ target_first: to.first, target_stride: to.stride },
    },
    tiles: ceilDiv(rows * columns, FLAT_TILE),
    cost: { flops: 0, bytes: rows * (channels * storageBytes(storage) + 4 * columns * storageBytes(y.storage)) },
  };
}

/** Rows of one side that the written rows [start, end) touch. `place` maps a written item to an item of that side. */
function itemSpan(
  [start, end]: readonly [number, number],
  itemRows: number,
  side: { readonly first: number; readonly stride: number },
  place: (item: number) => number,
  items: number,
): readonly [number, number] {
  const [a, b] = [Math.floor(start / itemRows), Math.floor((end - 1) / itemRows)];
  const row = (item: number) => side.first + place(item) * side.stride;
  const [head, tail] = [start % itemRows, ((end - 1) % itemRows) + 1];
  if (a === b) return [row(a) + head, row(a) + tail];
  if (b - a >= items || place(b) < place(a)) return [side.first, side.first + (items - 1) * side.stride + itemRows];
  // An item that repeats at an end of the range is read from its first row to its last.
  return [row(a) + (place(a + 1) === place(a) ? 0 : head), row(b) + (place(b - 1) === place(b) ? itemRows : tail)];
}

function check({ rows, sources, y, itemRows = rows, source, target, repeat }: CopyProblem): void {
  const op = 'copy';
  requireSizes(op, { rows, itemRows });
  sources.forEach((s, i) => {
    requirePitch(op, `sources[${i}]`, { width: (s.first ?? 0) + s.channels, pitch: s.pitch });
  });
  const start = y.first ?? 0;
  const end = y.end ?? y.pitch;
  requirePitch(op, 'y', { width: end, pitch: y.pitch });
  const channels = sources.reduce((sum, s) => sum + s.channels, start);
  if (start % 4 !== 0 || end % 4 !== 0 || channels > end) {
    throw new ShapeError({
      op,
      problem: 'the channels written must start and end on multiples of 4 and hold the sources',
      expected: `at least ${channels - start} channels`,
      received: [start, end],
      path: 'y.first, y.end',
      fix: 'Pass two sources to concatenate at other channels.',
    });
  }
  const items = rows / itemRows;
  const each = items / (repeat?.items ?? items);
  const strides = [source?.stride ?? itemRows, target?.stride ?? itemRows];
  if (!Number.isInteger(items) || !Number.isInteger(each) || strides.some(s => s < itemRows)) {
    throw new ShapeError({
      op,
      problem: 'rows must be whole items, each repeated as often, that do not overlap',
      received: { rows, itemRows, strides, items: repeat?.items ?? items },
    });
  }
}
