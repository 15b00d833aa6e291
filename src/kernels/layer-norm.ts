import broadcastSource from '../../wgsl/layer-norm-broadcast.wgsl';
import tileSource from '../../wgsl/layer-norm-tile.wgsl';
import { ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { chooseFamily, type Family, type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { inputLib, outputLib } from './libs.ts';
import { type RowRange, requirePitch, requireSizes, rowBinding } from './rows.ts';

/** Rows [rows, width] to be normalised, with or without a mean. */
export interface LayerNormProblem {
  readonly rows: number;
  /** True length of a row. */
  readonly width: number;
  readonly eps: number;
  readonly x: { readonly pitch: number; readonly storage: Storage };
  readonly y: { readonly pitch: number; readonly storage: Storage };
  readonly family?: Family | undefined;
}

/** Rows a workgroup, in both variants. */
const ROWS = 4;

/**
 * y = (x - mean) / sqrt(var + eps) * weight + bias over each row.
 * Bindings: x [rows, pitch], weight and bias [pitch] f32, y [rows, pitch].
 *
 * @throws ShapeError for bad sizes or pitches
 * @see torch.nn.LayerNorm; Ba et al. 2016, https://arxiv.org/abs/1607.06450
 */
export function layerNorm(caps: Caps, problem: LayerNormProblem): KernelCall {
  return rowNorm(caps, problem, false);
}

/**
 * y = x / sqrt(mean(x^2) + eps) * weight over each row.
 * Bindings: x [rows, pitch], weight [pitch] f32, bias (weight again), y [rows, pitch].
 *
 * @throws ShapeError for bad sizes or pitches
 * @see torch.nn.RMSNorm; Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467
 */
export function rmsNorm(caps: Caps, problem: LayerNormProblem): KernelCall {
  return rowNorm(caps, problem, true);
}

function rowNorm(caps: Caps, problem: LayerNormProblem, rms: boolean): KernelCall {
  const { rows, width, eps, x, y } = problem;
  const op = rms ? 'rms-norm' : 'layer-norm';
  requireSizes(op, { rows, width });
  requirePitch(op, 'x', { width, pitch: x.pitch });
  requirePitch(op, 'y', { width, pitch: y.pitch });
  const broadcast = chooseFamily(caps, problem.family) === 'broadcast';
  const range: RowRange = (first, end) => [first * ROWS, Math.min(rows, end * ROWS)];
  return {
    kernel: broadcast ? 'layer-norm-broadcast' : 'layer-norm-tile',
    source: broadcast ? broadcastSource : tileSource,
    libs: [inputLib(x.storage), outputLib(y.storage)],
    values: { ...(broadcast ? { LANES: caps.subgroupSize } : {}), RMS: rms },
    bindings: [
      rowBinding('x', 'read', x, 'x_base', range),
      { name: 'weight', access: 'read' },
      { name: 'bias', access: 'read' },
      rowBinding('y', 'write', y, 'y_base', range),
    ],
    params: { rows, width, x_pitch: x.pitch / 4, y_pitch: y.pitch / 4, eps },
    tiles: ceilDiv(rows, ROWS),
    cost: {
      flops: rows * width * 7,
      bytes: rows * (x.pitch * storageBytes(x.storage) + y.pitch * storageBytes(y.storage)),
    },
  };
}
