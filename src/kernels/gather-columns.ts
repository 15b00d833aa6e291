import source from '../../wgsl/gather-columns.wgsl';
import { alignUp, ceilDiv, ROW_ALIGN } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { weightLib } from './libs.ts';
import { flatItems, requirePitch, requireSizes, vec4Binding } from './rows.ts';

/** Columns of each row, chosen by index. */
export interface GatherColumnsProblem {
  /** Ids to gather: columns of y. */
  readonly n: number;
  /** True length of a row of the table. */
  readonly width: number;
  /** The table whose entries become columns. */
  readonly table: {
    /** Entries. */
    readonly rows: number;
    /** Elements from one entry to the next, a multiple of 8. */
    readonly pitch: number;
    /** Form of the entries; also bf16-packed. */
    readonly storage: Storage;
  };
}

const WORKGROUP = 64;

/**
 * y[h, j] = table[ids[j], h] in f32; ids past the table read its last row. Bindings: ids u32 [n], table [rows, pitch],
 * y [width, pitch(n)].
 *
 * @throws ShapeError for bad sizes or pitch
 */
export function gatherColumns({ n, width, table }: GatherColumnsProblem): KernelCall {
  requireSizes('gather-columns', { n, width, 'table.rows': table.rows });
  requirePitch('gather-columns', 'table', { width, pitch: table.pitch });
  const columns = alignUp(n, ROW_ALIGN) / 4;
  const count = width * columns;
  return {
    kernel: 'gather-columns',
    source,
    libs: [weightLib(table.storage)],
    values: {},
    bindings: [
      { name: 'ids', access: 'read' },
      { name: 'table', access: 'read' },
      vec4Binding('y', 'write', 'f32', 'y_base', flatItems(count, WORKGROUP)),
    ],
    params: { count, columns, n, pitch: table.pitch / 4, rows: table.rows },
    tiles: ceilDiv(count, WORKGROUP),
    cost: { flops: 0, bytes: n * width * (4 + storageBytes(table.storage)) },
  };
}
