/**
 * The variants of a linear layer for 1 to 16 rows, as in decoding token by token: the weights are read once and there is nothing
 * to reuse, so the work is spread over columns (and, on GPUs, over K) instead of tiles of rows.
 */
import tileSource from '../../wgsl/gemv-tile.wgsl';
import sharedLib from '../../wgsl/lib/gemv.wgsl';
import { ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { familyText } from './family-texts.ts';
import { blockOf, type GemmProblem, PANEL } from './gemm.ts';
import { canBroadcast, isTileBehind, type KernelCall, RANK, storageBytes } from './kernel.ts';
import { ACTIVATION, activationLib, inputLib, outputLib, pairedLibs, weightLib } from './libs.ts';
import type { Tiles, Variant } from './op.ts';

/** Most rows that gemv takes. */
export const GEMV_ROWS = 16;

/** Whether gemv can do it: few rows of a plain linear layer with packed weights. */
function isFewRows(p: GemmProblem): boolean {
  const plain = p.batch === 1 && !p.conv && p.b.layout === 'panels' && (p.a.offset ?? 0) === 0;
  return plain && p.rows <= GEMV_ROWS && !p.epilogue?.geglu && !p.epilogue?.channelAdd;
}

/** Rows of a tile: the next power of two, so that few pipelines serve all numbers of sequences. */
function rowsOf(rows: number, most: number): number {
  return Math.min(most, 2 ** Math.ceil(Math.log2(rows)));
}

/** Rows of other tiles, whatever the rows of a problem: a choice holds for any number of sequences. */
const OTHER_ROWS = [4, 8, GEMV_ROWS] as const;

/**
 * Whether the driver makes one plain load of a load whose address all lanes share, and a gather in one instruction of the others.
 * Mesa's lavapipe does since it keeps uniform values apart: 26.1 does, 25.0 takes a lane after the other either way.
 */
function loadsPlainly({ software, description, subgroupSize }: Caps): boolean {
  return software && subgroupSize <= 8 && Number(/\bMesa (\d+)/.exec(description)?.[1] ?? 0) >= 26;
}

const broadcast: Variant<GemmProblem, { readonly LANES: number; readonly ROWS: number; readonly LINES: number }> = {
  stem: 'gemv-broadcast',
  weights: 'panels',
  fits: (caps, problem) => canBroadcast(caps) && isFewRows(problem),
  // On lavapipe, 1024 -> 2816 in f16, weights that are not in the cache, CPU ms, gemv against gemm. Mesa 26.1: 1 row 1.1, 16 rows
  // 3.5 / 8; without the plain loads ahead 2.7 and 5.3. Mesa 25.0: 1 row 0.9, 16 rows in tiles of 8 6.9 / 8.6, in one of 16 9.6.
  // SwiftShader's four lanes: not measured beyond 4 rows.
  rank: (caps, { rows }) => (caps.software && (rows <= 4 || caps.subgroupSize >= 8) ? 0 : 3),
  tiles: (caps, { rows, b }) => {
    const plain = loadsPlainly(caps);
    return {
      LANES: caps.subgroupSize,
      ROWS: rowsOf(rows, plain ? GEMV_ROWS : 8),
      LINES: plain ? ceilDiv(PANEL * storageBytes(b.storage), 64) : 0,
    };
  },
  candidates: ({ subgroupSize }, { b }) =>
    OTHER_ROWS.flatMap(ROWS =>
      [0, ceilDiv(PANEL * storageBytes(b.storage), 64)].map(LINES => ({ LANES: subgroupSize, ROWS, LINES })),
    ),
  call: (_, problem, tiles) =>
    gemvCall(
      {
        kernel: 'gemv-broadcast',
        source: familyText('gemv-broadcast'),
        libs: [inputLib(problem.a.storage), weightLib(problem.b.storage)],
      },
      problem,
      tiles,
      4 * tiles.LANES,
    ),
};

const tile: Variant<GemmProblem, { readonly ROWS: number; readonly SLICES: number }> = {
  stem: 'gemv-tile',
  weights: 'panels',
  fits: (_, problem) => isFewRows(problem),
  // Before gemm-tile, which works on 64 rows whatever their number; not measured.
  rank: RANK.tile,
  // Software that must run it compiles 16 rows for minutes.
  tiles: (caps, { rows }) => ({ ROWS: rowsOf(rows, caps.software ? 4 : GEMV_ROWS), SLICES: 32 }),
  candidates: caps =>
    (isTileBehind(caps) ? [] : [8, 16, 32, 64])
      .filter(SLICES => 8 * SLICES <= caps.maxInvocations && 512 * SLICES <= caps.maxWorkgroupBytes)
      .flatMap(SLICES => (caps.software ? [4] : OTHER_ROWS).map(ROWS => ({ ROWS, SLICES }))),
  call: (_, problem, tiles) => {
    const program = { kernel: 'gemv-tile', source: tileSource, libs: pairedLibs(problem.a.storage, problem.b.storage) };
    return gemvCall(program, problem, tiles, PANEL);
  },
};

/**
 * The variants for few rows: y = act(scale A B + bias), then + or * residual. Bindings: a, b, bias, residual, y; what the epilogue
 * leaves out must still be bound, to b for example.
 */
export const GEMV_VARIANTS: readonly Variant<GemmProblem>[] = [broadcast, tile];

function gemvCall(
  program: Pick<KernelCall, 'kernel' | 'source' | 'libs'>,
  problem: GemmProblem,
  tiles: Tiles & { readonly ROWS: number },
  tileColumns: number,
): KernelCall {
  const { rows, columns, k, a, b, y, epilogue = {} } = problem;
  const rowTiles = ceilDiv(rows, tiles.ROWS);
  return {
    ...program,
    libs: [...program.libs, outputLib(y.storage), activationLib, sharedLib],
    values: { ...tiles, ACTIVATION: ACTIVATION[epilogue.activation ?? 'none'] },
    bindings: [
      ...(['a', 'b', 'bias', 'residual'] as const).map(name => ({ name, access: 'read' as const })),
      { name: 'y', access: 'write' },
    ],
    params: {
      ...{ rows, row_tiles: rowTiles, columns4: columns / 4, k, block: blockOf(problem), a_pitch: a.pitch },
      b_offset: ((b.kOffset ?? 0) * PANEL) / 4,
      panel_stride: ((b.kTotal ?? k) * PANEL) / 4,
      ...{ y_pitch: y.pitch / 4, y_offset: (y.offset ?? 0) / 4 },
      scale: problem.scale ?? 1,
      has_bias: epilogue.bias === false ? 0 : 1,
      join: epilogue.residual === 'multiply' ? 2 : epilogue.residual ? 1 : 0,
      tile_rows: tiles.ROWS,
      zero: 0,
    },
    tiles: rowTiles * ceilDiv(columns, tileColumns),
    cost: {
      flops: 2 * rows * columns * k,
      bytes:
        rows * k * storageBytes(a.storage) +
        k * columns * storageBytes(b.storage) +
        rows * columns * storageBytes(y.storage) * (epilogue.residual ? 2 : 1),
    },
  };
}
