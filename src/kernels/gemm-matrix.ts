/**
 * The variants of a product for matrix units: `gemm-matrix` for weights whose columns lie along K each and for plain matrices,
 * `gemm-matrix-panels` for weights in panels, as decoders keep them. Both are one text.
 */
import { ceilDiv } from '../core/shape.ts';
import type { Caps, MatrixUnits } from '../gpu/caps.ts';
import { familyText } from './family-texts.ts';
import { gemmBindings } from './gemm-call.ts';
import { type GemmProblem, ownTaps, PANEL, phasesOf, tapsOf } from './gemm-problem.ts';
import { GEMV_ROWS } from './gemv.ts';
import { type KernelCall, RANK, storageBytes } from './kernel.ts';
import { ACTIVATION, activationLib, epilogueLib, matrixLibs, momentsLib, outputLib } from './libs.ts';
import { hasSlabs, momentsWords } from './moments.ts';
import type { Variant } from './op.ts';
import { partsOf, splitCalls } from './split-k.ts';

/** How gemm-matrix cuts y. */
export type MatrixTile = {
  /** Rows of y in a tile. */
  readonly ROWS: number;
  /** Columns of B in a tile, half of which are gates where there are any. */
  readonly COLUMNS: number;
  /** Values of K in workgroup memory. */
  readonly DEPTH: number;
  /** Fragments of a subgroup, one above another. */
  readonly TALL: number;
  /** Fragments of a subgroup side by side. */
  readonly WIDE: number;
};

/** Tiles below which a device's many cores would idle: smaller tiles are taken then. */
const ENOUGH_TILES = 96;

/**
 * Tiles for real units. One of 128 x 128 reads half as much memory a product as one of 64 x 64. A thread measures one vec4 of columns for all
 * rows of its subgroup, which therefore makes four columns a lane at most.
 */
function tilesOf({ m, n, k, component, lanes }: MatrixUnits, p: GemmProblem): MatrixTile {
  const columns = p.columns * (p.epilogue?.geglu ? 2 : 1);
  const large = ceilDiv(p.rows, 128) * ceilDiv(columns, 128) * p.batch;
  const depth = Math.max(k, component === 'f32' ? 16 : 32);
  return component === 'f16' && large >= ENOUGH_TILES
    ? { ROWS: 128, COLUMNS: 128, DEPTH: depth, TALL: Math.min(4, 64 / m), WIDE: 32 / n }
    : { ROWS: 64, COLUMNS: 64, DEPTH: depth, TALL: Math.ceil(16 / m), WIDE: Math.min(64, 4 * lanes) / n };
}

/** Whether the units take the problem: rows that begin on whole eights, in storage forms that become fragments. */
function takes({ matrix, maxInvocations, maxWorkgroupBytes }: Caps, p: GemmProblem): boolean {
  const { a, b } = p;
  const eights = [a.pitch, a.offset ?? 0, a.batch ?? 0, b.pitch ?? 0, b.batch ?? 0, b.kOffset ?? 0, b.kTotal ?? 0];
  const forms = a.storage !== 'f16-packed' && !b.storage.endsWith('packed');
  const room = maxInvocations >= 256 && maxWorkgroupBytes >= 32768;
  return matrix !== undefined && !p.conv?.phases && forms && room && eights.every(count => count % 8 === 0);
}

/** First for halves where units are preferred; last for factors that would be rounded to halves and a few rows that stand alone. */
function rank(caps: Caps, p: GemmProblem): number {
  const few = p.rows <= GEMV_ROWS && (p.itemRows ?? 1) === 1 && !p.conv && p.batch === 1;
  return !caps.matrix?.preferred || few || p.a.storage !== 'f16' ? RANK.lastMatrix : RANK.matrix;
}

function tiles({ matrix, software }: Caps, p: GemmProblem): MatrixTile {
  const units = matrix ?? { m: 8, n: 8, k: 8, component: 'f16', lanes: 32, pinned: false, preferred: false };
  // LLVM's time grows with the fragments that a subgroup keeps: 1 s for one, 2 to 7 s for four.
  return software ? { ROWS: 16, COLUMNS: 16, DEPTH: 16, TALL: 1, WIDE: 1 } : tilesOf(units, p);
}

/** Edges of tiles, in rows and columns, and fragments of a subgroup that are worth a measurement on some card. */
const EDGES = [
  [128, 128],
  [128, 64],
  [64, 128],
  [64, 64],
  [64, 32],
  [32, 64],
  [32, 32],
] as const;

/** All cuts that the text and the device take. Software compiles more fragments of a subgroup for seconds. */
function candidates(caps: Caps, p: GemmProblem): MatrixTile[] {
  const { matrix, software } = caps;
  if (!matrix) return [];
  const { m, n, k } = matrix;
  if (software)
    return [tiles(caps, p), { ROWS: 32, COLUMNS: 32, DEPTH: 16, TALL: 1, WIDE: 1 }].filter(t => isLegal(caps, p, t));
  const all = EDGES.flatMap(([ROWS, COLUMNS]) =>
    [16, 32, 64].flatMap(DEPTH =>
      [32, 64].map(side => ({ ROWS, COLUMNS, DEPTH, TALL: Math.min(4, side / m), WIDE: 32 / n })),
    ),
  );
  return all.filter(({ DEPTH }) => DEPTH % k === 0).filter(t => isLegal(caps, p, t));
}

/** Whether the text takes a cut on the device: what it asserts of its constants, and the memory that a workgroup shares. */
function isLegal(caps: Caps, { epilogue, moments, b }: GemmProblem, t: MatrixTile): boolean {
  const { m = 8, n = 8, lanes = 32, component = 'f16' } = caps.matrix ?? {};
  const [across, down] = [t.COLUMNS / (t.WIDE * n), t.ROWS / (t.TALL * m)];
  const threads = across * down * lanes;
  const [eights, along] = [t.DEPTH / 8, b.layout === 'rows'];
  const slots = component === 'f16' ? 1 : 2;
  const bRow = along ? eights : t.COLUMNS / 8;
  const staged = slots * (t.ROWS * (eights + 1) + (along ? t.COLUMNS : t.DEPTH) * (bRow + 1));
  const sums = down * m * (t.COLUMNS / 4 + 1);
  const out4 = t.COLUMNS / (epilogue?.geglu ? 8 : 4);
  const finished = (down * m * out4) / threads;
  const measured = !moments || out4 * ((down * m) / (t.TALL === 1 ? 16 : m)) <= threads;
  const whole = [across, down, (t.ROWS * eights) / threads, (t.COLUMNS * eights) / threads, threads / eights];
  const divides = [...whole, threads / bRow, threads / out4, finished].every(
    count => Number.isInteger(count) && count > 0,
  );
  const room = threads <= caps.maxInvocations && 16 * Math.max(staged, sums) <= caps.maxWorkgroupBytes;
  return divides && room && measured && t.TALL >= 1;
}

function variant(name: string, weights: 'rows' | 'panels'): Variant<GemmProblem, MatrixTile> {
  return {
    stem: 'gemm-matrix',
    name,
    weights,
    fits: (caps, p) => takes(caps, p) && (p.b.layout === weights || (weights === 'rows' && p.b.layout === 'plain')),
    rank,
    measures: (caps, p, cut) => hasSlabs(caps, p) && (!cut || isLegal(caps, { ...p, moments: true }, cut)),
    tiles,
    candidates,
    call: matrixCall,
    split: (caps, p, cut) => {
      const parts = partsOf(p);
      return parts > 1 ? splitCalls(p, parts, part => matrixCall(caps, part, cut ?? tiles(caps, part))) : undefined;
    },
  };
}

/** The variants for matrix units. Bindings as the others. */
export const GEMM_MATRIX: readonly Variant<GemmProblem, MatrixTile>[] = [
  variant('gemm-matrix', 'rows'),
  variant('gemm-matrix-panels', 'panels'),
];

function matrixCall({ matrix }: Caps, p: GemmProblem, tiles: MatrixTile): KernelCall {
  const { m = 8, n = 8, k = 8, lanes = 32, component = 'f16', pinned = false } = matrix ?? {};
  const { batch, rows, columns, conv, epilogue = {} } = p;
  const geglu = epilogue.geglu === true;
  const taps = ownTaps(p);
  const rowTiles = ceilDiv(rows, tiles.ROWS);
  const columnTiles = ceilDiv(columns, tiles.COLUMNS / (geglu ? 2 : 1));
  return {
    kernel: 'gemm-matrix',
    source: familyText('gemm-matrix'),
    libs: [
      ...matrixLibs({ component, pinned }, p.a.storage, p.b.storage),
      outputLib(p.y.storage),
      activationLib,
      epilogueLib,
      momentsLib(p.moments),
    ],
    values: {
      ...tiles,
      ...{ SIDE_M: m, SIDE_N: n, SIDE_K: k, LANES: lanes },
      CONV: conv !== undefined,
      ALONG: p.b.layout === 'rows',
      RAGGED: p.k % tiles.DEPTH !== 0,
      GEGLU: geglu,
      ACTIVATION: ACTIVATION[epilogue.activation ?? 'none'],
    },
    bindings: gemmBindings(p, tiles.ROWS, columnTiles),
    params: {
      ...{ rows, row_tiles: rowTiles, column_tiles: columnTiles, columns4: columns / 4, phases: phasesOf(p) },
      ...{ k: p.k, steps: taps * ceilDiv(p.k, tiles.DEPTH), scale: p.scale ?? 1 },
      ...{ tall: tiles.TALL, sums_rows: tiles.ROWS / tiles.TALL },
      ...aWords(p),
      ...bWords(p),
      ...yWords(p),
      ...convWords(p),
    },
    tiles: batch * rowTiles * columnTiles,
    cost: {
      flops: 2 * batch * rows * columns * (geglu ? 2 : 1) * p.k * taps,
      bytes:
        batch * rows * p.k * storageBytes(p.a.storage) +
        phasesOf(p) * taps * p.k * columns * storageBytes(p.b.storage) * (p.b.layout === 'plain' ? batch : 1) +
        batch * rows * columns * storageBytes(p.y.storage) * (epilogue.residual ? 2 : 1),
    },
  };
}

type Words = KernelCall['params'];

function aWords({ a, rows, split }: GemmProblem): Words {
  const batch = a.batch ?? rows * a.pitch;
  const windowed = split || batch === rows * a.pitch;
  return { a_pitch: a.pitch, a_offset: a.offset ?? 0, a_batch: batch, ...(windowed ? {} : { a_base: 0 }) };
}

/** Where B lies, in eights: of K where it runs along the rows, else of columns. */
function bWords(p: GemmProblem): Words {
  const { batch, b, k, columns, conv, epilogue, split } = p;
  const taps = tapsOf(conv);
  const part = split ? (ownTaps(p) * k) / 8 : 0; // of a column
  const { kTotal = k, kOffset = 0, pitch = 0 } = b;
  const all = epilogue?.geglu ? 2 * PANEL * ceilDiv(columns, PANEL) : columns;
  const shared = { b_eights: b.layout === 'rows' ? all : all / 8, b_base: 0 };
  if (b.layout === 'rows') {
    const words = { k_stride: (taps * kTotal) / 8, panel_stride: 0, panel_eights: 1 };
    return { ...shared, ...words, b_tap: kTotal / 8, b_batch: part, b_offset: kOffset / 8 };
  }
  if (b.layout === 'panels') {
    const each = PANEL / 8;
    const words = { k_stride: each, panel_stride: taps * kTotal * each, panel_eights: each };
    return { ...shared, ...words, b_tap: kTotal * each, b_batch: part * PANEL, b_offset: kOffset * each };
  }
  const own = batch > 1 && b.batch !== 0;
  const { b_base: _, ...rest } = shared;
  const words = { k_stride: pitch / 8, panel_stride: 0, panel_eights: columns / 8 };
  return { ...(own ? rest : shared), ...words, b_tap: 0, b_batch: (b.batch ?? k * pitch) / 8, b_offset: 0 };
}

function yWords(p: GemmProblem): Words {
  const { y, rows, split, epilogue = {} } = p;
  const { channelAdd } = epilogue;
  const batch = y.batch ?? rows * y.pitch;
  return {
    ...{ y_pitch: y.pitch / 4, y_offset: (y.offset ?? 0) / 4, y_batch: batch / 4 },
    ...{ rows_per_image: channelAdd?.rowsPerImage ?? 1, channel_pitch: (channelAdd?.pitch ?? 0) / 4 },
    channel_offset: (channelAdd?.offset ?? 0) / 4,
    has_bias: epilogue.bias === false ? 0 : 1,
    has_channel_add: channelAdd ? 1 : 0,
    has_residual: epilogue.residual === 'multiply' ? 2 : epilogue.residual ? 1 : 0,
    ...(channelAdd ? {} : { channel_base: 0 }),
    ...(split || batch === rows * y.pitch ? {} : { y_base: 0 }),
    ...momentsWords(p),
  };
}

function convWords({ conv }: GemmProblem): Words {
  return {
    ...{ taps_x: conv?.kernelWidth ?? 1, stride: conv?.stride ?? 1 },
    ...{ pad_top: conv?.padTop ?? 0, pad_left: conv?.padLeft ?? 0 },
    ...{ in_w: conv?.inWidth ?? 1, in_h: conv?.inHeight ?? 1, out_w: conv?.outWidth ?? 1, out_h: conv?.outHeight ?? 1 },
    grow: conv?.upsample ? 1 : 0,
  };
}
