import broadcastSource from '../../wgsl/softmax-broadcast.wgsl';
import tileSource from '../../wgsl/softmax-tile.wgsl';
import { ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { chooseFamily, type Family, type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { inputLib, outputLib } from './libs.ts';
import { type RowRange, requirePitch, requireSizes, rowBinding } from './rows.ts';

/** Rows [rows, width] that become weights. */
export interface SoftmaxProblem {
  readonly rows: number;
  /** True length of a row. */
  readonly width: number;
  /** Multiplies x first; default 1. */
  readonly scale?: number | undefined;
  readonly x: { readonly pitch: number; readonly storage: Storage };
  readonly y: { readonly pitch: number; readonly storage: Storage };
  readonly family?: Family | undefined;
}

/** Rows a workgroup, in both variants. */
const ROWS = 4;

/**
 * y = exp(scale * x - max) / sum over each row. Bindings: x [rows, pitch], y [rows, pitch].
 *
 * @throws ShapeError for bad sizes or pitches
 * @see torch.softmax
 */
export function softmax(caps: Caps, problem: SoftmaxProblem): KernelCall {
  const { rows, width, x, y } = problem;
  requireSizes('softmax', { rows, width });
  requirePitch('softmax', 'x', { width, pitch: x.pitch });
  requirePitch('softmax', 'y', { width, pitch: y.pitch });
  const broadcast = chooseFamily(caps, problem.family) === 'broadcast';
  const range: RowRange = (first, end) => [first * ROWS, Math.min(rows, end * ROWS)];
  return {
    kernel: broadcast ? 'softmax-broadcast' : 'softmax-tile',
    source: broadcast ? broadcastSource : tileSource,
    libs: [inputLib(x.storage), outputLib(y.storage)],
    values: broadcast ? { LANES: caps.subgroupSize } : {},
    bindings: [rowBinding('x', 'read', x, 'x_base', range), rowBinding('y', 'write', y, 'y_base', range)],
    params: { rows, width, x_pitch: x.pitch / 4, y_pitch: y.pitch / 4, scale: problem.scale ?? 1 },
    tiles: ceilDiv(rows, ROWS),
    cost: {
      flops: rows * width * 8,
      bytes: rows * (x.pitch * storageBytes(x.storage) + y.pitch * storageBytes(y.storage)),
    },
  };
}
