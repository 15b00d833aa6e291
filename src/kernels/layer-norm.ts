/** Layer and root-mean-square normalisation of rows: one pair of texts, two ops. */
import tileSource from '../../wgsl/layer-norm-tile.wgsl';
import sharedLib from '../../wgsl/lib/layer-norm.wgsl';
import { ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { familyText } from './family-texts.ts';
import { canBroadcast, isTileBehind, type KernelCall, RANK, type RowLayout, storageBytes } from './kernel.ts';
import { inputLib, outputLib } from './libs.ts';
import { callOf, type Op, type Tiles, type Tuning, type Variant } from './op.ts';
import { type RowRange, requirePitch, requireSizes, rowBinding } from './rows.ts';

/** Rows [rows, width] to be normalised, with or without a mean. */
export interface LayerNormProblem {
  /** Rows, each normalised by itself. */
  readonly rows: number;
  /** True length of a row. */
  readonly width: number;
  /** Added to the variance. */
  readonly eps: number;
  /** Rows of the operand. */
  readonly x: RowLayout;
  /** Rows of the result. */
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

function broadcast(rms: boolean): Variant<LayerNormProblem, RowTiles> {
  return {
    stem: 'layer-norm-broadcast',
    fits: canBroadcast,
    rank: RANK.broadcast,
    tiles: caps => ({ LANES: caps.subgroupSize, ROWS }),
    candidates: caps => [1, 2, 8].map(rows => ({ LANES: caps.subgroupSize, ROWS: rows })),
    call: (_, problem, tiles) =>
      rowNorm('layer-norm-broadcast', familyText('layer-norm-broadcast'), problem, rms, tiles),
  };
}

function tile(rms: boolean): Variant<LayerNormProblem, RowTiles> {
  return {
    stem: 'layer-norm-tile',
    fits: () => true,
    rank: RANK.tile,
    tiles: () => ({ LANES: 64, ROWS }),
    candidates: tileCandidates,
    call: (_, problem, tiles) => rowNorm('layer-norm-tile', tileSource, problem, rms, tiles),
  };
}

function normOp(name: string, rms: boolean): Op<LayerNormProblem> {
  return {
    name,
    check: ({ rows, width, x, y }) => {
      const op = rms ? 'rms-norm' : 'layer-norm';
      requireSizes(op, { rows, width });
      requirePitch(op, 'x', { width, pitch: x.pitch });
      requirePitch(op, 'y', { width, pitch: y.pitch });
    },
    tunedBy: ['width', 'x.storage', 'y.storage'],
    variants: [broadcast(rms), tile(rms)],
  };
}

/** With a mean and a bias. */
export const LAYER_NORM: Op<LayerNormProblem> = normOp('layerNorm', false);
/** Without either. */
export const RMS_NORM: Op<LayerNormProblem> = normOp('rmsNorm', true);

/**
 * y = (x - mean) / sqrt(var + eps) * weight + bias over each row.
 * Bindings: x [rows, pitch], weight and bias [pitch] f32, y [rows, pitch].
 *
 * @throws ShapeError for bad sizes or pitches
 * @see torch.nn.LayerNorm; Ba et al. 2016, https://arxiv.org/abs/1607.06450
 */
export function layerNorm(caps: Caps, problem: LayerNormProblem, tuning?: Tuning): KernelCall {
  return callOf(LAYER_NORM, caps, problem, tuning);
}

/**
 * y = x / sqrt(mean(x^2) + eps) * weight over each row.
 * Bindings: x [rows, pitch], weight [pitch] f32, bias (weight again), y [rows, pitch].
 *
 * @throws ShapeError for bad sizes or pitches
 * @see torch.nn.RMSNorm; Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467
 */
export function rmsNorm(caps: Caps, problem: LayerNormProblem, tuning?: Tuning): KernelCall {
  return callOf(RMS_NORM, caps, problem, tuning);
}

function rowNorm(
  kernel: string,
  source: string,
  problem: LayerNormProblem,
  rms: boolean,
  tiles: Tiles & RowTiles,
): KernelCall {
  const { rows, width, eps, x, y } = problem;
  const range: RowRange = (first, end) => [first * tiles.ROWS, Math.min(rows, end * tiles.ROWS)];
  return {
    kernel,
    source,
    libs: [inputLib(x.storage), outputLib(y.storage), sharedLib],
    values: { ...tiles, RMS: rms },
    bindings: [
      rowBinding('x', 'read', x, 'x_base', range),
      { name: 'weight', access: 'read' },
      { name: 'bias', access: 'read' },
      rowBinding('y', 'write', y, 'y_base', range),
    ],
    params: { rows, width, x_pitch: x.pitch / 4, y_pitch: y.pitch / 4, eps },
    tiles: ceilDiv(rows, tiles.ROWS),
    cost: {
      flops: rows * width * 7,
      bytes: rows * (x.pitch * storageBytes(x.storage) + y.pitch * storageBytes(y.storage)),
    },
  };
}
