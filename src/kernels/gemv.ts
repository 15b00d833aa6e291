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
import { chooseFamily, float, type KernelCall, storageBytes } from './kernel.ts';
import { ACTIVATION, activationLib, inputLib, outputLib, weightLib } from './libs.ts';

/** Rows up to which a product goes to gemv. */
export const GEMV_ROWS = 16;

/**
 * Which kernel a contraction gets: gemv for the few rows of a linear layer with packed weights, gemm for everything else
 * (convolutions, products of two activations, gates by gelu, sums a picture). On lavapipe, 1024 -> 4096 with f32 weights takes
 * 2.4 ms for one row against gemm's 4.7, 3.2 for four against 4.5; from eight rows on they are even.
 */
export function chooseContraction(p: GemmProblem): 'gemv' | 'gemm' {
  const plain = p.batch === 1 && !p.conv && p.b.layout === 'panels' && (p.a.offset ?? 0) === 0;
  const epilogue = p.epilogue ?? {};
  return plain && p.rows <= GEMV_ROWS && !epilogue.geglu && !epilogue.channelAdd ? 'gemv' : 'gemm';
}

/** The call of the kernel that `chooseContraction` names. Both take the buffers of gemm. */
export function contraction(caps: Caps, problem: GemmProblem): KernelCall {
  return chooseContraction(problem) === 'gemv' ? gemv(caps, problem) : gemm(caps, problem);
}

/**
 * y = act(scale A B + bias), then + or * residual, for up to 16 rows. Bindings: a, b, bias, residual, y; what the epilogue
 * leaves out must still be bound, to b for example.
 *
 * @throws ShapeError for problems that `chooseContraction` gives to gemm, and whatever gemm refuses
 * @see torch.nn.functional.linear
 */
export function gemv(caps: Caps, problem: GemmProblem): KernelCall {
  checkGemm('gemv', problem);
  if (chooseContraction(problem) !== 'gemv') {
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
    params: [
      rows,
      rowTiles,
      columns / 4,
      k,
      a.pitch,
      ((b.kOffset ?? 0) * PANEL) / 4,
      ((b.kTotal ?? k) * PANEL) / 4,
      y.pitch / 4,
      (y.offset ?? 0) / 4,
      float(problem.scale ?? 1),
      epilogue.bias === false ? 0 : 1,
      epilogue.residual === 'multiply' ? 2 : epilogue.residual ? 1 : 0,
      tileRows,
    ],
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
