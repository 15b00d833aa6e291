/** What the texts of a product share: a description becomes uniform words, bindings in windows, and tiles. */
import { ceilDiv } from '../core/shape.ts';
import { doubledLines, inputPixels } from './conv-pixels.ts';
import { blockOf, type GemmProblem, ownTaps, PANEL, phasesOf, tapsOf } from './gemm-problem.ts';
import { type KernelBinding, type KernelCall, storageBytes, unread } from './kernel.ts';
import { ACTIVATION, activationLib, epilogueLib, momentsLib, outputLib, sharedLib } from './libs.ts';
import { momentsBindings, momentsWords } from './moments.ts';
import type { Tiles } from './op.ts';
import { type RowRange, rowBinding, vec4Binding } from './rows.ts';

/** Whether K is summed in blocks, as blockOf says. */
export function isBlocked({ conv, a }: GemmProblem): boolean {
  return !conv && a.storage === 'f32';
}

/** Rows and columns of y that one workgroup makes. */
interface Cut {
  readonly rows: number;
  readonly columns: number;
}

/** The call of one of the texts of lib/gemm. */
export function gemmCall(
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
    params: gemmWords(problem, { rows: rowTiles, columns: columnTiles, height: cut.rows }),
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

/** How the tiles of one product lie. */
interface TileCount {
  /** Down a product. */
  readonly rows: number;
  /** Across it. */
  readonly columns: number;
  /** Rows of y in a tile. */
  readonly height: number;
}

/** The uniform words of lib/gemm. */
export function gemmWords(p: GemmProblem, tiles: TileCount): KernelCall['params'] {
  const { a, b, y, conv, epilogue = {} } = p;
  const panels = b.layout === 'panels';
  const pitch4 = (b.pitch ?? 0) / 4;
  const channelAdd = epilogue.channelAdd;
  const phases = phasesOf(p);
  const productB = ownTaps(p) * p.k * PANEL;
  const packedB = tapsOf(conv) * (conv?.phases ? p.batch : 1) * (b.kTotal ?? p.k) * PANEL;
  // One literal: a network has hundreds of products, and each spread in it would copy the words again.
  const words: Record<string, number> = {
    rows: p.rows,
    columns4: p.columns / 4,
    k: p.k,
    a_pitch: a.pitch,
    a_offset: a.offset ?? 0,
    a_batch: a.batch ?? p.rows * a.pitch,
    k_stride: panels ? PANEL / 4 : pitch4,
    panel_stride: panels ? packedB / 4 : 0,
    panel_width: panels ? PANEL / 4 : p.columns / 4,
    b_batch: phases > 1 ? productB / 4 : panels ? 0 : (b.batch ?? p.k * (b.pitch ?? 0)) / 4,
    b_offset: ((b.kOffset ?? 0) * PANEL) / 4,
    y_pitch: y.pitch / 4,
    y_offset: (y.offset ?? 0) / 4,
    y_batch: conv?.phases ? 0 : (y.batch ?? p.rows * y.pitch) / 4,
    rows_per_image: channelAdd?.rowsPerImage ?? 1,
    channel_pitch: (channelAdd?.pitch ?? 0) / 4,
    channel_offset: (channelAdd?.offset ?? 0) / 4,
    scale: p.scale ?? 1,
    block: blockOf(p),
    taps_x: conv?.kernelWidth ?? ceilDiv(p.k, blockOf(p)),
    taps_y: (conv?.kernelHeight ?? 1) / (conv && p.split ? p.batch : 1),
    stride: conv?.stride ?? 1,
    pad_top: conv?.padTop ?? 0,
    pad_left: conv?.padLeft ?? 0,
    in_w: conv?.inWidth ?? 1,
    in_h: conv?.inHeight ?? 1,
    out_w: conv?.outWidth ?? 1,
    out_h: conv?.outHeight ?? 1,
    grow: conv?.upsample ? 1 : 0,
    phases,
    doubled: conv?.phases ? 1 : 0,
    has_bias: epilogue.bias === false ? 0 : 1,
    has_channel_add: channelAdd ? 1 : 0,
    has_residual: epilogue.residual === 'multiply' ? 2 : epilogue.residual ? 1 : 0,
    row_tiles: tiles.rows,
    column_tiles: tiles.columns,
    tile_rows: tiles.height,
  };
  // What is bound whole starts at 0; the dispatcher fills the starts of windows.
  if (!plainA(p)) words.a_base = 0;
  if (!ownB(p)) words.b_base = 0;
  if (!channelAdd) words.channel_base = 0;
  if (!plainY(p)) words.y_base = 0;
  return Object.assign(words, momentsWords(p));
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
