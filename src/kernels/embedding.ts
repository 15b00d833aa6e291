/** Rows of a table by number; a table that exceeds one binding is read in windows, one call each. */
import source from '../../wgsl/embedding.wgsl';
import { ShapeError } from '../core/errors.ts';
import { alignUp, ceilDiv } from '../core/shape.ts';
import { SLICE_ALIGN } from '../gpu/buffer.ts';
import type { Caps } from '../gpu/caps.ts';
import { PANEL } from './gemm.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { outputLib, weightLib } from './libs.ts';
import type { PackedLayout } from './op.ts';
import { FLAT_TILE, flatRows, requirePitch, requireSizes, rowBinding, wordBinding } from './rows.ts';

/** A table [rows, pitch], or [rows/32][pitch][32] where it is the matrix of a linear layer too; also bf16-packed. */
export interface EmbeddingTable {
  /** Entries of the table. */
  readonly rows: number;
  /** Elements from one entry to the next, a multiple of 8. */
  readonly pitch: number;
  /** Form of the entries. */
  readonly storage: Storage;
  /** Default rows. */
  readonly layout?: PackedLayout | undefined;
}

/** Part of a table that fits one binding, in rows and in bytes. */
export interface EmbeddingWindow {
  /** First entry of the part. */
  readonly first: number;
  /** Entries of the part. */
  readonly rows: number;
  /** Byte of the table where the part begins, a multiple of 256. */
  readonly offset: number;
  /** Bytes of the part. */
  readonly size: number;
}

/** Ids, and the table [count, pitch] whose rows they name. */
export interface EmbeddingProblem {
  /** Rows of ids: N of [N, idsPitch]. */
  readonly items: number;
  /** Ids that count in each row: L. */
  readonly length: number;
  /** Ids from one row to the next, a multiple of 8. */
  readonly idsPitch: number;
  /** True length of a row of the table and of y. */
  readonly width: number;
  /** The whole table. */
  readonly table: EmbeddingTable;
  /** Rows of the table that are bound; default all. */
  readonly window?: Pick<EmbeddingWindow, 'first' | 'rows'> | undefined;
  /** Also write zeros where the whole table lacks the id: for one call of a series. Default true for the window at row 0. */
  readonly clear?: boolean | undefined;
  /** Form of y. */
  readonly output: Storage;
}

/** Windows that cover the table, one where it fits a binding. Their offsets are multiples of 256 bytes. */
export function embeddingWindows(caps: Caps, table: EmbeddingTable): EmbeddingWindow[] {
  const rowBytes = table.pitch * storageBytes(table.storage);
  const whole = table.layout === 'panels' ? PANEL : 1; // rows that lie together
  let step = whole; // rows after which an offset is a multiple of SLICE_ALIGN again
  while ((step * rowBytes) % SLICE_ALIGN !== 0) step *= 2;
  const fitting = Math.floor(caps.maxBindingBytes / rowBytes);
  const most = fitting >= alignUp(table.rows, whole) ? table.rows : Math.max(step, fitting - (fitting % step));
  return Array.from({ length: ceilDiv(table.rows, most) }, (_, i) => {
    const first = i * most;
    const rows = Math.min(most, table.rows - first);
    return { first, rows, offset: first * rowBytes, size: alignUp(rows, whole) * rowBytes };
  });
}

/**
 * y[n * L + l] = table[ids[n, l]] for the ids inside the bound window; a series of calls over `embeddingWindows` covers
 * the table. Ids beyond the table give zeros. Bindings: ids [N, idsPitch] u32, table (the window), y [N * L, pitch].
 *
 * @throws ShapeError for bad sizes or pitches, and for a window outside the table
 * @see torch.nn.functional.embedding
 */
export function embedding(problem: EmbeddingProblem): KernelCall {
  const { items, length, idsPitch, width, table, output } = problem;
  const window = problem.window ?? { first: 0, rows: table.rows };
  const clear = problem.clear ?? window.first === 0;
  requireSizes('embedding', { items, length, 'table.rows': table.rows, 'window.rows': window.rows });
  requirePitch('embedding', 'table', { width, pitch: table.pitch });
  requirePitch('embedding', 'ids', { width: length, pitch: idsPitch });
  if (!(window.first >= 0 && window.first + window.rows <= table.rows)) {
    throw new ShapeError({
      op: 'embedding',
      problem: 'the window leaves the table',
      expected: `within ${table.rows} rows`,
      received: [window.first, window.first + window.rows],
      fix: 'Take the windows of embeddingWindows.',
    });
  }
  const columns = table.pitch / 4;
  const count = items * length * columns;
  const rows = flatRows(items * length, columns);
  return {
    kernel: 'embedding',
    source,
    libs: [weightLib(table.storage), outputLib(output)],
    values: { PANELS: table.layout === 'panels' },
    bindings: [
      wordBinding('ids', 'read', 'ids_base', (first, end) => {
        const [from, to] = rows(first, end);
        return [Math.floor(from / length) * idsPitch, (Math.floor((to - 1) / length) + 1) * idsPitch];
      }),
      { name: 'table', access: 'read' },
      // A window of several leaves rows of the others alone.
      rowBinding(
        'y',
        clear && window.rows === table.rows ? 'write' : 'update',
        { pitch: table.pitch, storage: output },
        'y_base',
        rows,
      ),
    ],
    params: {
      ...{ count, columns, length, ids_pitch: idsPitch },
      ...{ table_first: window.first, window_rows: window.rows, table_rows: table.rows },
      clear: clear ? 1 : 0,
    },
    tiles: ceilDiv(count, FLAT_TILE),
    cost: { flops: 0, bytes: items * length * table.pitch * (storageBytes(table.storage) + storageBytes(output)) },
  };
}
