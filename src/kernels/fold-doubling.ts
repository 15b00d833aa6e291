import source from '../../wgsl/fold-doubling.wgsl';
import { alignUp, ceilDiv } from '../core/shape.ts';
import type { PhaseLines } from './conv-pixels.ts';
import { PANEL } from './gemm.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { outputLib, weightLib } from './libs.ts';
import { FLAT_TILE, requireSizes } from './rows.ts';

/** A packed 3 x 3 kernel behind a twofold enlargement. */
export interface FoldDoublingProblem {
  /** Padded outputs: a multiple of 8. */
  readonly columns: number;
  /** Padded inputs of one tap: a multiple of 8. */
  readonly k: number;
  /** Form of the 3 x 3 kernel; also bf16-packed. */
  readonly weight: Storage;
  /** Form of the four kernels: f32, f16 or f16-packed. */
  readonly output: Storage;
  /** Which of the four; default all. */
  readonly lines?: PhaseLines | undefined;
}

/**
 * The four 2 x 2 kernels that convolve a map as a 3 x 3 kernel with padding 1 convolves its nearest-neighbour enlargement by 2: of phase p
 * along an axis the taps are (w0, w1 + w2) for p = 0 and (w0 + w1, w2) for p = 1. Sums in f32, rounded once to the output's form.
 * Bindings: b panels [N/32][9][K][32], y panels [N/32][phases][taps][K][32], of four phases or of two.
 *
 * @throws ShapeError for sizes that are no positive integers
 */
export function foldDoubling({ columns, k, weight, output, lines = 'all' }: FoldDoublingProblem): KernelCall {
  requireSizes('fold-doubling', { columns, k });
  const tap = (k * PANEL) / 4;
  const count = ceilDiv(columns, PANEL) * tap;
  return {
    kernel: 'fold-doubling',
    source,
    libs: [weightLib(weight), outputLib(output)],
    values: {},
    bindings: [
      { name: 'b', access: 'read' },
      { name: 'y', access: 'write' },
    ],
    params: { count, tap, line: lines === 'odd' ? 1 : 0, lines: lines === 'all' ? 2 : 1 },
    tiles: ceilDiv(count, FLAT_TILE),
    cost: {
      flops: count * 4 * 11,
      bytes: count * 4 * (9 * storageBytes(weight) + foldedTaps(lines) * storageBytes(output)),
    },
  };
}

/** Taps of the 2 x 2 kernels of an output channel. */
export function foldedTaps(lines: PhaseLines): number {
  return lines === 'all' ? 16 : 8;
}

/** Rows of 32 elements that the kernels take. */
export function foldedRows(columns: number, k: number, lines: PhaseLines): number {
  return (alignUp(columns, PANEL) / PANEL) * foldedTaps(lines) * k;
}
