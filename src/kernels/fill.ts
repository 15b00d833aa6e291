import source from '../../wgsl/fill.wgsl';
import { ceilDiv } from '../core/shape.ts';
import { float, type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { outputLib } from './libs.ts';
import { FLAT_TILE, flatRows, requirePitch, requireSizes, rowBinding } from './rows.ts';

/** A tensor [rows, pitch] that gets one value. */
export interface FillProblem {
  readonly rows: number;
  /** True length of a row. */
  readonly width: number;
  readonly pitch: number;
  readonly storage: Storage;
  /** Default 0. */
  readonly value?: number | undefined;
}

/**
 * y = value, padding zero. Binding: y [rows, pitch].
 *
 * @throws ShapeError for bad sizes or pitch
 */
export function fill({ rows, width, pitch, storage, value = 0 }: FillProblem): KernelCall {
  requireSizes('fill', { rows, width });
  requirePitch('fill', 'y', { width, pitch });
  const columns = pitch / 4;
  return {
    kernel: 'fill',
    source,
    libs: [outputLib(storage)],
    values: {},
    bindings: [rowBinding('y', 'write', { pitch, storage }, 4, flatRows(rows, columns))],
    params: [rows * columns, width, columns, float(value), 0],
    tiles: ceilDiv(rows * columns, FLAT_TILE),
    cost: { flops: 0, bytes: rows * pitch * storageBytes(storage) },
  };
}
