/**
 * Linear layers of 1 to 16 rows, as in decoding token by token: the weights are read once and there is nothing to reuse, so
 * the work is spread over columns (and, on GPUs, over K) instead of tiles of rows.
 */
import broadcast from '../../wgsl/gemv-broadcast.wgsl';
import tile from '../../wgsl/gemv-tile.wgsl';
import { ShapeError } from '../core/errors.ts';
import { ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { checkGemm, type GemmProblem, gemm, PANEL } from './gemm.ts';
import { chooseFamily, type Family, type KernelCall, storageBytes } from './kernel.ts';
import { ACTIVATION, activationLib, inputLib, outputLib, weightLib } from './libs.ts';

/** Most rows that gemv takes. */
export const GEMV_ROWS = 16;

/**
 * Rows up to which gemv is chosen. Broadcast: on lavapipe, 1024 -> 4096, lower quartile of 120 interleaved runs on a busy
 * machine, gemv against gemm in ms: 1 row 2.8 / 8.6 in f32 and 2.4 / 5.4 in f16, 4 rows 3.8 / 8.7 and 3.2 / 6.8, but 8 rows
 * 8.0 / 6.7 and 7.1 / 6.4. Tile: not measured; gemm-tile works on 64 rows whatever their number.
 */
const CHOSEN_ROWS: Record<Family, number> = { broadcast: 4, tile: GEMV_ROWS };

/**
 * Which kernel a contraction gets: gemv for the few rows of a linear layer with packed weights, gemm for everything else
 * (convolutions, products of two activations, gates by gelu, sums a picture).
 */
export function chooseContraction(caps: Caps, p: GemmProblem): 'gemv' | 'gemm' {
  return fits(p) && p.rows <= CHOSEN_ROWS[chooseFamily(caps, p.family)] ? 'gemv' : 'gemm';
}

/** Whether gemv can do it. */
function fits(p: GemmProblem): boolean {
  const plain = p.batch === 1 && !p.conv && p.b.layout === 'panels' && (p.a.offset ?? 0) === 0;
  return plain && p.rows <= GEMV_ROWS && !p.epilogue?.geglu && !p.epilogue?.channelAdd;
}

/** The call of the kernel that `chooseContraction` names. Both take the buffers of gemm. */
export function contraction(caps: Caps, problem: GemmProblem): KernelCall {
  return chooseContraction(caps, problem) === 'gemv' ? gemv(caps, problem) : gemm(caps, problem);
}

/**
 * y = act(scale A B + bias), then + or * residual, for up to 16 rows. Bindings: a, b, bias, residual, y; what the epilogue
 * leaves out must still be bound, to b for example.
 *
 * @throws ShapeError for more rows, convolutions, plain matrices, geglu and channelAdd, and for whatever gemm refuses
 * @see torch.nn.functional.linear
 */
export function gemv(caps: Caps, problem: GemmProblem): KernelCall {
  checkGemm('gemv', problem);
  if (!fits(problem)) {
    throw new ShapeError({
      op: 'gemv',
      problem: 'not a linear layer of a few rows',
      expected: `packed weights, at most ${GEMV_ROWS} rows, neither conv, geglu nor channelAdd`,
      received: `${problem.rows} rows of ${problem.b.layout}`,
      fix: 'Use gemm.',
    });
  }
  const family = chooseFamily(caps, problem.family);
  const { rows, columns, k, a, b, y, epilogue = {} } = problem;
  // Software that must run the tile family compiles 16 rows for minutes.
  const tileRows = rowsOf(rows, family === 'broadcast' ? 8 : caps.software ? 4 : GEMV_ROWS);
  const rowTiles = ceilDiv(rows, tileRows);
  const columnTiles = ceilDiv(columns, family === 'broadcast' ? caps.subgroupSize * 4 : PANEL);
  return {
    kernel: `gemv-${family}`,
    source: family === 'broadcast' ? broadcast : tile,
    libs: [inputLib(a.storage), weightLib(b.storage), outputLib(y.storage), activationLib],
    values: {
      ...(family === 'broadcast' ? { LANES: caps.subgroupSize } : {}),
      ROWS: tileRows,
      ACTIVATION: ACTIVATION[epilogue.activation ?? 'none'],
    },
    bindings: [
      ...(['a', 'b', 'bias', 'residual'] as const).map(name => ({ name, access: 'read' as const })),
      { name: 'y', access: 'write' },
    ],
    params: {
      ...{ rows, row_tiles: rowTiles, columns4: columns / 4, k, a_pitch: a.pitch },
      b_offset: ((b.kOffset ?? 0) * PANEL) / 4,
      panel_stride: ((b.kTotal ?? k) * PANEL) / 4,
      ...{ y_pitch: y.pitch / 4, y_offset: (y.offset ?? 0) / 4 },
      scale: problem.scale ?? 1,
      has_bias: epilogue.bias === false ? 0 : 1,
      join: epilogue.residual === 'multiply' ? 2 : epilogue.residual ? 1 : 0,
      tile_rows: tileRows,
    },
    tiles: rowTiles * columnTiles,
    cost: {
      flops: 2 * rows * columns * k,
      bytes:
        rows * k * storageBytes(a.storage) +
        k * columns * storageBytes(b.storage) +
        rows * columns * storageBytes(y.storage) * (epilogue.residual ? 2 : 1),
    },
  };
}

/** Rows of a tile: the next power of two, so that few pipelines serve all numbers of sequences. */
function rowsOf(rows: number, most: number): number {
  return Math.min(most, 2 ** Math.ceil(Math.log2(rows)));
}
