import sharedLib from '../../wgsl/lib/softmax.wgsl';
import tileSource from '../../wgsl/softmax-tile.wgsl';
import { ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { familyText } from './family-texts.ts';
import { canBroadcast, isTileBehind, type KernelCall, RANK, type RowLayout, storageBytes } from './kernel.ts';
import { inputLib, outputLib } from './libs.ts';
import { callOf, type Op, type Tuning, type Variant } from './op.ts';
import { type RowRange, requirePitch, requireSizes, rowBinding } from './rows.ts';

/** Rows [rows, width] that become weights. */
export interface SoftmaxProblem {
  /** Rows, each with a sum of its own. */
  readonly rows: number;
  /** True length of a row. */
  readonly width: number;
  /** Multiplies x first; default 1. */
  readonly scale?: number | undefined;
  /** Rows of the scores. */
  readonly x: RowLayout;
  /** Rows of the weights. */
  readonly y: RowLayout;
}

/** Rows of a workgroup, and invocations or lanes of a row. */
type RowTiles = { readonly LANES: number; readonly ROWS: number };

const ROWS = 4;

/** Invocations of a row by rows, of those that a workgroup has. */
function tileCandidates(caps: Caps): RowTiles[] {
  const lanes = isTileBehind(caps) ? [] : [32, 64, 128, 256];
  const all = lanes.flatMap(LANES => [1, 2, 4, 8].map(rows => ({ LANES, ROWS: rows })));
  return all.filter(({ LANES, ROWS: rows }) => LANES * rows <= caps.maxInvocations && LANES * rows >= 64);
}

const broadcast: Variant<SoftmaxProblem, RowTiles> = {
  stem: 'softmax-broadcast',
  fits: canBroadcast,
  rank: RANK.broadcast,
  tiles: caps => ({ LANES: caps.subgroupSize, ROWS }),
  candidates: caps => [1, 2, 8].map(rows => ({ LANES: caps.subgroupSize, ROWS: rows })),
  call: (_, problem, tiles) => rowCall('softmax-broadcast', familyText('softmax-broadcast'), problem, tiles),
};

const tile: Variant<SoftmaxProblem, RowTiles> = {
  stem: 'softmax-tile',
  fits: () => true,
  rank: RANK.tile,
  tiles: () => ({ LANES: 64, ROWS }),
  candidates: tileCandidates,
  call: (_, problem, tiles) => rowCall('softmax-tile', tileSource, problem, tiles),
};

/** Rows to weights that sum to 1. */
export const SOFTMAX: Op<SoftmaxProblem> = {
  name: 'softmax',
  check: ({ rows, width, x, y }) => {
    requireSizes('softmax', { rows, width });
    requirePitch('softmax', 'x', { width, pitch: x.pitch });
    requirePitch('softmax', 'y', { width, pitch: y.pitch });
  },
  tunedBy: ['width', 'x.storage', 'y.storage'],
  variants: [broadcast, tile],
};

/**
 * y = exp(scale * x - max) / sum over each row. Bindings: x [rows, pitch], y [rows, pitch].
 *
 * @throws ShapeError for bad sizes or pitches
 * @see torch.softmax
 */
export function softmax(caps: Caps, problem: SoftmaxProblem, tuning?: Tuning): KernelCall {
  return callOf(SOFTMAX, caps, problem, tuning);
}

function rowCall(kernel: string, source: string, problem: SoftmaxProblem, tiles: RowTiles): KernelCall {
  const { rows, width, x, y } = problem;
  const range: RowRange = (first, end) => [first * tiles.ROWS, Math.min(rows, end * tiles.ROWS)];
  return {
    kernel,
    source,
    libs: [inputLib(x.storage), outputLib(y.storage), sharedLib],
    values: tiles,
    bindings: [rowBinding('x', 'read', x, 'x_base', range), rowBinding('y', 'write', y, 'y_base', range)],
    params: { rows, width, x_pitch: x.pitch / 4, y_pitch: y.pitch / 4, scale: problem.scale ?? 1 },
    tiles: ceilDiv(rows, tiles.ROWS),
    cost: {
      flops: rows * width * 8,
      bytes: rows * (x.pitch * storageBytes(x.storage) + y.pitch * storageBytes(y.storage)),
    },
  };
}
