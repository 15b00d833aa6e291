import source from '../../wgsl/group-norm-merge.wgsl';
import { ceilDiv } from '../core/shape.ts';
import type { KernelBinding, KernelCall } from './kernel.ts';
import { momentsPitch } from './moments.ts';
import { flatRows, type RowRange, requirePitch, requireSizes } from './rows.ts';

const WORKGROUP = 64;

/** What products measured of the rows of a map, slab by slab. */
export interface GroupNormMergeProblem {
  /** N: maps, each by itself. */
  readonly images: number;
  /** Slabs of a map that were measured. */
  readonly slabs: number;
  /** How many neighbouring ones become one; the last of a map may be fewer. */
  readonly together: number;
  /** Values of a channel pair in a slab. */
  readonly values: number;
  /** Of the map that was measured: elements from one row to the next, a multiple of 8. */
  readonly pitch: number;
}

/**
 * Several slabs' means and squared differences as one slab's. Bindings: x [N, slabs, momentsPitch(pitch)] f32, y [N, ceil(slabs /
 * together), momentsPitch(pitch)] f32.
 *
 * @throws ShapeError for bad sizes
 */
export function groupNormMerge({ images, slabs, together, values, pitch }: GroupNormMergeProblem): KernelCall {
  requireSizes('group-norm-merge', { images, slabs, together, values });
  requirePitch('group-norm-merge', 'x', { width: pitch, pitch });
  const columns = pitch / 4;
  const merged = ceilDiv(slabs, together);
  const items = images * merged * columns;
  const target = flatRows(images * merged, columns, WORKGROUP);
  const first = (row: number) => Math.floor(row / merged) * slabs + (row % merged) * together;
  const pairs = momentsPitch(pitch) / 2;
  const binding = (name: string, access: 'read' | 'write', rows: RowRange): KernelBinding => {
    const range: RowRange = (from, to) => {
      const [start, end] = rows(from, to);
      return [start * pairs, end * pairs];
    };
    return { name, access, window: { field: `${name}_base`, range, elementBytes: 8 } };
  };
  return {
    kernel: 'group-norm-merge',
    source,
    libs: [],
    values: {},
    bindings: [
      binding('x', 'read', (from, to) => {
        const [start, end] = target(from, to);
        const last = end - 1;
        return [first(start), Math.min(first(last) + together, (Math.floor(last / merged) + 1) * slabs)];
      }),
      binding('y', 'write', target),
    ],
    params: { items, columns, pitch: pairs, slabs, merged, together, weight: values },
    tiles: ceilDiv(items, WORKGROUP),
    cost: { flops: images * slabs * columns * 10, bytes: 8 * images * pairs * (slabs + merged) },
  };
}
