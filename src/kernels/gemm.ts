/**
 * The two variants of y = act(A * B + bias) + channelAdd + residual that take any number of rows. What A's rows are is the ops'
 * business.
 */
import tileSource from '../../wgsl/gemm-tile.wgsl';
import { alignUp, ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { familyText } from './family-texts.ts';
import { gemmCall, isBlocked } from './gemm-call.ts';
import { type GemmProblem, tapsOf } from './gemm-problem.ts';
import { canBroadcast, isTileBehind, type KernelCall, pinned, RANK, storageBytes } from './kernel.ts';
import { halfSlabLib, inputLib, pairedLibs, weightLib } from './libs.ts';
import { hasSlabs, MOMENT_ROWS } from './moments.ts';
import { shippedTiles, type Tiles, type Variant } from './op.ts';
import { partsOf, splitCalls } from './split-k.ts';

export {
  blockOf,
  checkGemm,
  type Epilogue,
  type GemmProblem,
  PANEL,
  packedOf,
} from './gemm-problem.ts';
export { MOMENT_ROWS, momentsPitch } from './moments.ts';

/** How gemm-broadcast cuts y. */
export type GemmBroadcastTile = {
  /** The subgroup size, each of which makes four columns. */
  readonly LANES: number;
  /** Rows of a tile: 8, 16 or 32. */
  readonly ROWS: number;
};

/**
 * Multiply-adds of a product from which on a text for 32 rows, which saves an eighth of the time, is worth its longer compilation: those of
 * published networks, which share a few texts and run hundreds of times. Small networks would compile both texts.
 */
const LARGE = 2 ** 28;

/**
 * Rows of a tile of gemm-broadcast; no bit depends on them. On lavapipe, GFLOP per CPU second of a convolution of 320 channels and of
 * GEGLU: 8 rows 11 and 7, 16 rows 20 and 27, 32 rows 30 and 17 (whose sums of values and gates fit nowhere).
 */
function broadcastRows({ subgroupSize, maxBindingBytes }: Caps, problem: GemmProblem): number {
  const { batch, rows, columns, k, conv, epilogue, a, y } = problem;
  const least = Math.max(8, subgroupSize);
  const rowBytes = Math.max(a.pitch * storageBytes(a.storage), y.pitch * storageBytes(y.storage));
  const narrow = 128 * rowBytes > maxBindingBytes; // a window holds all rows of a tile, and lines around them
  if (subgroupSize < 8 || rows <= least || narrow) return least;
  const filled = rows >= 256 || alignUp(rows, 32) === alignUp(rows, 16);
  const large = batch * rows * columns * k * tapsOf(conv) >= LARGE && filled;
  return large && !epilogue?.geglu ? 32 : 16;
}

/** Rows that a tile of gemm-broadcast may have: whole subgroups and eights, of which a lane brings four at most. */
function broadcastCandidates(
  { subgroupSize, maxBindingBytes }: Caps,
  { a, y, moments }: GemmProblem,
): GemmBroadcastTile[] {
  const least = Math.max(8, subgroupSize);
  const rowBytes = Math.max(a.pitch * storageBytes(a.storage), y.pitch * storageBytes(y.storage));
  const larger = subgroupSize < 8 || 128 * rowBytes > maxBindingBytes ? [] : [16, 32];
  const all = [...new Set([least, ...larger])].filter(ROWS => ROWS >= least && ROWS % subgroupSize === 0);
  return all.filter(ROWS => !moments || ROWS % MOMENT_ROWS === 0).map(ROWS => ({ LANES: subgroupSize, ROWS }));
}

/** Rows by four columns a lane, for software Vulkan. */
export const GEMM_BROADCAST: Variant<GemmProblem, GemmBroadcastTile> = {
  stem: 'gemm-broadcast',
  weights: 'panels',
  fits: canBroadcast,
  rank: RANK.broadcast,
  measures: (caps, problem, { ROWS } = { LANES: caps.subgroupSize, ROWS: broadcastRows(caps, problem) }) =>
    hasSlabs(caps, problem) && ROWS % MOMENT_ROWS === 0,
  tiles: (caps, problem) => ({ LANES: caps.subgroupSize, ROWS: broadcastRows(caps, problem) }),
  candidates: broadcastCandidates,
  call: (_, problem, tiles) => {
    const cut = { rows: tiles.ROWS, columns: 4 * tiles.LANES };
    const program = {
      kernel: 'gemm-broadcast',
      source: familyText('gemm-broadcast'),
      libs: [inputLib(problem.a.storage), weightLib(problem.b.storage)],
    };
    return gemmCall(program, problem, tiles, cut);
  },
};

/** How gemm-tile cuts y: rows and columns of one workgroup, and what a thread makes of them. */
export type GemmTile = {
  /** Rows of y: 32, 64 or 128. */
  readonly ROWS: number;
  /** Columns of B, half of which are gates where there are any: a multiple of 32. */
  readonly COLUMNS: number;
  /** Columns of a thread, which makes eight rows of them: 4 or 8. */
  readonly SPAN: number;
  /** Values of K between two barriers: 16, or 8 where K is no multiple of 16. */
  readonly DEPTH: number;
  /** Of which the products are written out: 8, or 1 in software, whose compiler takes ten seconds for eight. */
  readonly UNROLL: number;
};

/** The cuts of gemm-tile, and how many workgroups make one worth its size: with fewer of them most of a large GPU would rest. */
const CUTS = [
  { least: 512, ROWS: 128, COLUMNS: 128, SPAN: 8 },
  { least: 256, ROWS: 128, COLUMNS: 64, SPAN: 8 },
  { least: 128, ROWS: 64, COLUMNS: 64, SPAN: 8 },
] as const;

/** For small grids: four times the workgroups of 64 x 64. */
const SMALL = { ROWS: 32, COLUMNS: 32, SPAN: 4 } as const;

/** 8 x 8 sums a thread and as many totals, or on some cards the sums alone, are too many; software keeps all in memory at each barrier. */
const NARROW = { ROWS: 64, COLUMNS: 64, SPAN: 4 } as const;

/** The cut that a problem gets. No bit depends on it, so that it may go by the rows. */
function tileOf(caps: Caps, problem: GemmProblem): GemmTile {
  const { software } = caps;
  const { batch, rows, columns, k, epilogue } = problem;
  const geglu = epilogue?.geglu === true;
  const made = geglu ? 2 * columns : columns;
  const count = (cut: { readonly ROWS: number; readonly COLUMNS: number }) =>
    batch * ceilDiv(rows, cut.ROWS) * ceilDiv(made, cut.COLUMNS);
  const depth = { DEPTH: k % 16 === 0 ? 16 : 8, UNROLL: software ? 1 : 8 };
  const pick = ({ ROWS, COLUMNS, SPAN }: Omit<GemmTile, 'DEPTH' | 'UNROLL'>): GemmTile => ({
    ROWS,
    COLUMNS,
    SPAN,
    ...depth,
  });
  if (geglu) return pick(CUTS.find(cut => !software && count(cut) >= cut.least) ?? CUTS[2]);
  if (software) return pick(NARROW);
  const few = isBlocked(problem) || shippedFor(caps, problem)['SPAN'] === NARROW.SPAN;
  if (few) return pick(count(NARROW) >= CUTS[2].least ? NARROW : SMALL);
  const fits = ({ COLUMNS }: { readonly COLUMNS: number }) => !problem.moments || canHandOver({ COLUMNS, ...depth });
  return pick(CUTS.find(cut => count(cut) >= cut.least && fits(cut)) ?? SMALL);
}

/** What ranks.json says of the text on a card. */
function shippedFor(caps: Caps, problem: GemmProblem): Tiles {
  return shippedTiles(problem.conv ? 'conv2d' : 'linear', 'gemm-tile', caps, problem);
}

/** Cuts that are worth a measurement on some card. */
const OTHERS = [
  { ROWS: 64, COLUMNS: 128, SPAN: 8 },
  { ROWS: 128, COLUMNS: 64, SPAN: 4 },
  { ROWS: 32, COLUMNS: 64, SPAN: 4 },
] as const;

/** All cuts that the text and the device take. Software compiles the larger ones for seconds, and gains nothing by them. */
function tileCandidates(caps: Caps, { k, epilogue, moments }: GemmProblem): GemmTile[] {
  const { software, maxInvocations, maxWorkgroupBytes } = caps;
  const cuts = isTileBehind(caps) ? [] : software ? [CUTS[2], NARROW, SMALL] : [...CUTS, NARROW, SMALL, ...OTHERS];
  const depths = k % 16 === 0 ? (software ? [16] : [16, 8]) : [8];
  const all = cuts.flatMap(({ ROWS, COLUMNS, SPAN }) =>
    depths.map(DEPTH => ({ ROWS, COLUMNS, SPAN, DEPTH, UNROLL: software ? 1 : 8 })),
  );
  return all.filter(({ ROWS, COLUMNS, SPAN, DEPTH }) => {
    const threads = (ROWS / 8) * (COLUMNS / SPAN);
    const [brings, loads] = [(ROWS * DEPTH) / 4 / threads, (DEPTH * COLUMNS) / 4 / threads];
    const whole = [1, 2, 4].includes(brings) && [1, 2, 4].includes(loads);
    const room = threads <= maxInvocations && 4 * DEPTH * (ROWS + COLUMNS) <= maxWorkgroupBytes;
    return whole && room && (!epilogue?.geglu || SPAN === 8) && (!moments || canHandOver({ COLUMNS, DEPTH }));
  });
}

/** Measured halves of slabs are handed over where the tiles of A lay. */
function canHandOver({ COLUMNS, DEPTH }: Pick<GemmTile, 'COLUMNS' | 'DEPTH'>): boolean {
  return COLUMNS <= 8 * DEPTH;
}

/** Workgroup tiles and register tiles, for GPUs whose matrix units are out of reach. */
export const GEMM_TILE: Variant<GemmProblem, GemmTile> = {
  stem: 'gemm-tile',
  weights: 'panels',
  fits: () => true,
  rank: RANK.tile,
  measures: (caps, problem, tiles) => hasSlabs(caps, problem) && (!tiles || canHandOver(tiles)),
  tiles: tileOf,
  candidates: tileCandidates,
  call: tileCall,
  split: (caps, problem, tiles) => {
    const parts = partsOf(problem);
    return parts > 1 ? splitCalls(problem, parts, p => tileCall(caps, p, tiles ?? tileOf(caps, p))) : undefined;
  },
};

function tileCall(caps: Caps, problem: GemmProblem, tiles: GemmTile): KernelCall {
  const cut = { rows: tiles.ROWS, columns: tiles.COLUMNS / (problem.epilogue?.geglu ? 2 : 1) };
  const program = {
    kernel: 'gemm-tile',
    source: pinned(caps, tileSource),
    libs: [...pairedLibs(problem.a.storage, problem.b.storage), halfSlabLib],
  };
  const call = gemmCall(program, problem, tiles, cut);
  const first = shippedFor(caps, problem)['WEIGHTS_FIRST'] === 1;
  return { ...call, values: { ...call.values, WEIGHTS_FIRST: first } };
}

/**
 * The variants for any number of rows. Bindings: a, b, bias, channel_add, residual, y; what the epilogue leaves out must still be
 * bound: to any small read-only buffer of the call, such as b.
 */
export const GEMM_VARIANTS: readonly Variant<GemmProblem>[] = [GEMM_BROADCAST, GEMM_TILE];
