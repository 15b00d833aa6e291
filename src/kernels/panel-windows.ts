/** Packed weights larger than one binding, in windows of columns. */
import { alignUp, ceilDiv } from '../core/shape.ts';
import { PANEL } from './gemm.ts';
import { type Storage, storageBytes } from './kernel.ts';
import type { PackedLayout } from './op.ts';

/** Panels [columns/32][k][32], or rows [columns][k]; k counts all taps. */
export interface Panels {
  /** Columns of the matrix. */
  readonly columns: number;
  /** Elements of a column: taps times padded inputs. */
  readonly k: number;
  /** Form of the weights. */
  readonly storage: Storage;
  /** Default panels. */
  readonly layout?: PackedLayout | undefined;
}

/** Neighbouring panels: columns from `first` on, and where they lie, in bytes. */
export interface PanelWindow {
  /** First column, a multiple of 64. */
  readonly first: number;
  /** Columns of the window. */
  readonly columns: number;
  /** Byte where its panels begin. */
  readonly offset: number;
  /** Bytes of its panels. */
  readonly size: number;
}

/** Columns after which the bytes of a bias are a multiple of 256 again. */
const STEP = 2 * PANEL;

/**
 * Windows that cover the columns, one where all panels fit. Their offsets are multiples of 256 bytes, in the panels and in a
 * bias beside them; a single pair of panels is never cut, so that a limit below it is exceeded.
 *
 * @param maxBytes of one binding
 */
export function panelWindows(maxBytes: number, { columns, k, storage, layout = 'panels' }: Panels): PanelWindow[] {
  const columnBytes = k * storageBytes(storage);
  const each = layout === 'rows' ? 1 : PANEL;
  const all = alignUp(columns, each);
  const fitting = Math.floor(maxBytes / columnBytes / STEP) * STEP;
  const most = all * columnBytes <= maxBytes ? columns : Math.max(STEP, fitting);
  return Array.from({ length: ceilDiv(columns, most) }, (_, i): PanelWindow => {
    const first = i * most;
    const width = Math.min(most, columns - first);
    return { first, columns: width, offset: first * columnBytes, size: alignUp(width, each) * columnBytes };
  });
}
