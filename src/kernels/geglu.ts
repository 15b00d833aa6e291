import source from '../../wgsl/geglu.wgsl';
import shiftLib from '../../wgsl/lib/shift.wgsl';
import { ceilDiv } from '../core/shape.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { ACTIVATION, type Activation, activationLib, inputLib, outputLib } from './libs.ts';
import { FLAT_TILE, flatRows, requirePitch, requireSizes, rowBinding } from './rows.ts';

/** Rows that hold a value half and a gate half. */
export interface GegluProblem {
  readonly rows: number;
  /** Channels of y; x has twice as many, values first, gates behind them. */
  readonly width: number;
  readonly x: { readonly pitch: number; readonly storage: Storage };
  readonly y: { readonly pitch: number; readonly storage: Storage };
  /** Of the gate; default gelu. */
  readonly activation?: Activation | undefined;
}

/**
 * y = value * gelu(gate). Bindings: x [rows, pitch(2 width)], y [rows, pitch(width)].
 *
 * @throws ShapeError for bad sizes or pitches
 * @see Shazeer 2020, https://arxiv.org/abs/2002.05202; diffusers' GEGLU
 */
export function geglu({ rows, width, x, y, activation = 'gelu' }: GegluProblem): KernelCall {
  requireSizes('geglu', { rows, width });
  requirePitch('geglu', 'x', { width: 2 * width, pitch: x.pitch });
  requirePitch('geglu', 'y', { width, pitch: y.pitch });
  const columns = y.pitch / 4;
  const count = rows * columns;
  const range = flatRows(rows, columns);
  return {
    kernel: 'geglu',
    source,
    libs: [inputLib(x.storage), outputLib(y.storage), activationLib, shiftLib],
    values: { ACTIVATION: ACTIVATION[activation] },
    bindings: [rowBinding('x', 'read', x, 4, range), rowBinding('y', 'write', y, 5, range)],
    params: [count, width, x.pitch / 4, columns, 0, 0],
    tiles: ceilDiv(count, FLAT_TILE),
    cost: {
      flops: rows * width * 20,
      bytes: rows * (x.pitch * storageBytes(x.storage) + y.pitch * storageBytes(y.storage)),
    },
  };
}
