/**
 * The two variants of y = act(A * B + bias) + channelAdd + residual that take any number of rows. This file turns a description into
 * uniform words; what A's rows are is the ops' business.
 */
import tileSource from '../../wgsl/gemm-tile.wgsl';
import { alignUp, ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { doubledLines, inputPixels } from './conv-pixels.ts';
import { familyText } from './family-texts.ts';
import { blockOf, type GemmProblem, ownTaps, PANEL, phasesOf, tapsOf } from './gemm-problem.ts';
import { canBroadcast, type KernelBinding, type KernelCall, pinned, RANK, storageBytes, unread } from './kernel.ts';
import {
  ACTIVATION,
  activationLib,
  epilogueLib,
  halfSlabLib,
  inputLib,
  momentsLib,
  outputLib,
  pairedLibs,
  sharedLib,
  weightLib,
} from './libs.ts';
import { hasSlabs, MOMENT_ROWS, momentsBindings, momentsWords } from './moments.ts';
import { shippedTiles, type Tiles, type Variant } from './op.ts';
import { type RowRange, rowBinding, vec4Binding } from './rows.ts';
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
  const cuts = software ? [CUTS[2], NARROW, SMALL] : [...CUTS, NARROW, SMALL, ...OTHERS];
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

/** Whether K is summed in blocks, as blockOf says. */
function isBlocked({ conv, a }: GemmProblem): boolean {
  return !conv && a.storage === 'f32';
}

/** Rows and columns of y that one workgroup makes. */
interface Cut {
  readonly rows: number;
  readonly columns: number;
}

function gemmCall(
  program: Pick<KernelCall, 'kernel' | 'source' | 'libs'>,
  problem: GemmProblem,
  tiles: Tiles,
  cut: Cut,
): KernelCall {
  const { batch, rows, columns, conv, epilogue = {} } = problem;
  const geglu = epilogue.geglu === true;
  const rowTiles = ceilDiv(rows, cut.rows);
  const columnTiles = ceilDiv(columns, cut.columns);
  const taps = ownTaps(problem);
  const packedTaps = phasesOf(problem) * taps;
  return {
    ...program,
    libs: [
      ...program.libs,
      ...[outputLib(problem.y.storage), activationLib, epilogueLib, sharedLib, momentsLib(problem.moments)],
    ],
    values: {
      ...tiles,
      BLOCKED: isBlocked(problem),
      CONV: conv !== undefined,
      GEGLU: geglu,
      ACTIVATION: ACTIVATION[epilogue.activation ?? 'none'],
    },
    bindings: gemmBindings(problem, cut.rows, columnTiles),
    params: { ...gemmWords(problem), row_tiles: rowTiles, column_tiles: columnTiles, tile_rows: cut.rows },
    tiles: batch * rowTiles * columnTiles,
    cost: {
      flops: 2 * batch * rows * columns * (geglu ? 2 : 1) * problem.k * taps,
      bytes:
        batch * rows * problem.k * storageBytes(problem.a.storage) +
        packedTaps *
          problem.k *
          columns *
          storageBytes(problem.b.storage) *
          (problem.b.layout === 'plain' ? batch : 1) +
        batch * rows * columns * storageBytes(problem.y.storage) * (epilogue.residual ? 2 : 1),
    },
  };
}

/** The uniform words of lib/gemm, but those that count tiles. */
export function gemmWords(p: GemmProblem): KernelCall['params'] {
  const { a, b, y, conv, epilogue = {} } = p;
  const panels = b.layout === 'panels';
  const pitch4 = (b.pitch ?? 0) / 4;
  const channelAdd = epilogue.channelAdd;
  const phases = phasesOf(p);
  const productB = ownTaps(p) * p.k * PANEL;
  const packedB = tapsOf(conv) * (conv?.phases ? p.batch : 1) * (b.kTotal ?? p.k) * PANEL;
  return {
    ...{ rows: p.rows, columns4: p.columns / 4, k: p.k },
    ...{ a_pitch: a.pitch, a_offset: a.offset ?? 0, a_batch: a.batch ?? p.rows * a.pitch },
    k_stride: panels ? PANEL / 4 : pitch4,
    panel_stride: panels ? packedB / 4 : 0,
    panel_width: panels ? PANEL / 4 : p.columns / 4,
    b_batch: phases > 1 ? productB / 4 : panels ? 0 : (b.batch ?? p.k * (b.pitch ?? 0)) / 4,
    b_offset: ((b.kOffset ?? 0) * PANEL) / 4,
    ...{
      y_pitch: y.pitch / 4,
      y_offset: (y.offset ?? 0) / 4,
      y_batch: conv?.phases ? 0 : (y.batch ?? p.rows * y.pitch) / 4,
    },
    ...{ rows_per_image: channelAdd?.rowsPerImage ?? 1, channel_pitch: (channelAdd?.pitch ?? 0) / 4 },
    channel_offset: (channelAdd?.offset ?? 0) / 4,
    scale: p.scale ?? 1,
    ...{
      block: blockOf(p),
      taps_x: conv?.kernelWidth ?? ceilDiv(p.k, blockOf(p)),
      taps_y: (conv?.kernelHeight ?? 1) / (conv && p.split ? p.batch : 1),
      stride: conv?.stride ?? 1,
    },
    ...{ pad_top: conv?.padTop ?? 0, pad_left: conv?.padLeft ?? 0 },
    ...{ in_w: conv?.inWidth ?? 1, in_h: conv?.inHeight ?? 1, out_w: conv?.outWidth ?? 1, out_h: conv?.outHeight ?? 1 },
    grow: conv?.upsample ? 1 : 0,
    phases,
    doubled: conv?.phases ? 1 : 0,
    has_bias: epilogue.bias === false ? 0 : 1,
    has_channel_add: channelAdd ? 1 : 0,
    has_residual: epilogue.residual === 'multiply' ? 2 : epilogue.residual ? 1 : 0,
    // What is bound whole starts at 0; the dispatcher fills the starts of windows.
    ...(plainA(p) ? {} : { a_base: 0 }),
    ...(ownB(p) ? {} : { b_base: 0 }),
    ...(channelAdd ? {} : { channel_base: 0 }),
    ...(plainY(p) ? {} : { y_base: 0 }),
    ...momentsWords(p),
  };
}

/** Whether batches of rows lie back to back, so that a window may move over them; anything else is bound whole. */
function plainA({ a, rows, split }: GemmProblem): boolean {
  return split || a.batch === undefined || a.batch === rows * a.pitch;
}

function plainY({ y, rows, split }: GemmProblem): boolean {
  return split || y.batch === undefined || y.batch === rows * y.pitch;
}

/** Whether each product has a B of its own; one that serves all is bound whole, packed ones in windows of columns by the op. */
function ownB({ batch, b }: GemmProblem): boolean {
  return b.layout === 'plain' && batch > 1 && b.batch !== 0;
}

/** The bindings of a product in windows: tiles count columns fastest, then rows, then batches. */
export function gemmBindings(p: GemmProblem, tileRows: number, columnTiles: number): KernelBinding[] {
  const rowTiles = ceilDiv(p.rows, tileRows);
  const phases = phasesOf(p);
  const rowRange: RowRange = (first, end) => {
    const line = (tileIndex: number) => {
      const rowTile = Math.floor(tileIndex / columnTiles / phases);
      return Math.floor(rowTile / rowTiles) * p.rows + (rowTile % rowTiles) * tileRows;
    };
    const last = line(end - 1);
    return [line(first), Math.min(last + tileRows, (Math.floor(last / p.rows) + 1) * p.rows)];
  };
  return rowBindings(p, rowRange, rowTiles * columnTiles);
}

/**
 * The bindings of a product of which tiles [first, end) make the rows of a range, in windows.
 *
 * @param batchTiles tiles of one product
 */
export function rowBindings(p: GemmProblem, rowRange: RowRange, batchTiles: number): KernelBinding[] {
  const bytes = storageBytes(p.y.storage);
  const yRange = (first: number, end: number): [number, number] => {
    const rows = rowRange(first, end);
    const [from, to] = p.conv?.phases ? doubledLines(rows, p.conv.outWidth) : rows;
    return [(from * p.y.pitch) / 4, (to * p.y.pitch) / 4]; // y_base counts vec4s
  };
  const aRange = (first: number, end: number): [number, number] => {
    const [from, to] = rowRange(first, end);
    const pixels: [number, number] = p.conv ? inputPixels(p.conv, from, to) : [from, to];
    return [pixels[0] * p.a.pitch, pixels[1] * p.a.pitch];
  };
  const a: KernelBinding = { name: 'a', access: 'read' };
  const y: KernelBinding = { name: 'y', access: 'write' };
  const residual: KernelBinding = { name: 'residual', access: 'read' };
  const yWindow = { field: 'y_base', range: yRange, elementBytes: 4 * bytes };
  return [
    plainA(p) ? { ...a, window: { field: 'a_base', range: aRange, elementBytes: storageBytes(p.a.storage) } } : a,
    plainB(p, batchTiles),
    p.epilogue?.bias === false ? unread('bias') : { name: 'bias', access: 'read' },
    channelAddOf(p, rowRange),
    p.epilogue?.residual ? (plainY(p) ? { ...residual, window: yWindow } : residual) : unread('residual'),
    plainY(p) ? { ...y, window: yWindow } : y,
    ...momentsBindings(p, rowRange),
  ];
}

function plainB(p: GemmProblem, batchTiles: number): KernelBinding {
  const shrinks = p.b.storage === 'f32' ? 'dtype float16' : undefined;
  if (!ownB(p)) return { name: 'b', access: 'read', shrinks };
  const { pitch = 0, batch = p.k * pitch, storage } = p.b;
  const of = (tileIndex: number) => Math.floor(tileIndex / batchTiles);
  const range: RowRange = (first, end) => [(of(first) * batch) / 4, (of(end - 1) * batch + p.k * pitch) / 4];
  return vec4Binding('b', 'read', storage, 'b_base', range);
}

function channelAddOf({ batch, rows, y, epilogue }: GemmProblem, rowRange: RowRange): KernelBinding {
  const add = epilogue?.channelAdd;
  if (!add) return unread('channel_add');
  const image = (row: number) => Math.floor(row / add.rowsPerImage);
  const images: RowRange = (first, end) => {
    const [from, to] = batch > 1 ? [0, rows] : rowRange(first, end);
    return [image(from), image(to - 1) + 1];
  };
  return rowBinding('channel_add', 'read', { pitch: add.pitch, storage: y.storage }, 'channel_base', images);
}
