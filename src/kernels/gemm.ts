/**
 * The problem that matmul, linear and conv2d share: y = act(A * B + bias) + channelAdd + residual, and its two variants that take
 * any number of rows. This file turns a description into uniform words; what A's rows are is the ops' business.
 */
import broadcastSource from '../../wgsl/gemm-broadcast.wgsl';
import tileSource from '../../wgsl/gemm-tile.wgsl';
import sharedLib from '../../wgsl/lib/gemm.wgsl';
import { ShapeError } from '../core/errors.ts';
import { ceilDiv } from '../core/shape.ts';
import {
  canBroadcast,
  type KernelBinding,
  type KernelCall,
  RANK,
  type Storage,
  storageBytes,
  unread,
} from './kernel.ts';
import { ACTIVATION, type Activation, activationLib, inputLib, outputLib, weightLib } from './libs.ts';
import type { PackedLayout, Tiles, Variant } from './op.ts';
import { type RowRange, rowBinding, vec4Binding } from './rows.ts';

/** What happens to a sum before it is stored, in this order: bias, activation, channelAdd, residual (added or multiplied). */
export interface Epilogue {
  /** Adds one value a column; default true. */
  readonly bias?: boolean | undefined;
  /** Function of the sum; default none. */
  readonly activation?: Activation | undefined;
  /** Adds [images, N], one row for each `rowsPerImage` rows; `pitch` in elements. */
  readonly channelAdd?:
    | {
        /** Neighbouring rows of y that share a row of it. */
        readonly rowsPerImage: number;
        /** Elements from one of its rows to the next, a multiple of 4. */
        readonly pitch: number;
        /** Element of a row that meets column 0 of y, a multiple of 4; default 0. */
        readonly offset?: number | undefined;
      }
    | undefined;
  /** Adds a tensor of y's own layout, or multiplies by it. */
  readonly residual?: boolean | 'multiply' | undefined;
  /** Panels alternate value and gate; y = value * gelu(gate). */
  readonly geglu?: boolean | undefined;
}

/** Where conv rows come from. Sizes in pixels; `upsample` reads the input as if it were twice as large. */
export interface ConvGeometry {
  /** N: maps of the batch. */
  readonly images: number;
  /** Lines of the input. */
  readonly inHeight: number;
  /** Pixels of its lines. */
  readonly inWidth: number;
  /** Lines of the output. */
  readonly outHeight: number;
  /** Pixels of its lines. */
  readonly outWidth: number;
  /** Taps from top to bottom. */
  readonly kernelHeight: number;
  /** Taps from left to right. */
  readonly kernelWidth: number;
  /** Pixels from one output to the next, on both axes. */
  readonly stride: number;
  /** Lines of zeros above the input. */
  readonly padTop: number;
  /** Pixels of zeros left of it. */
  readonly padLeft: number;
  /** Reads the input twice as large, by nearest neighbour. */
  readonly upsample: boolean;
}

/** y = act(A B + bias) and what follows it: A [batch, rows, k], B packed or plain, y [batch, rows, columns]. */
export interface GemmProblem {
  /** Products; 1 for linear layers and convolutions. */
  readonly batch: number;
  /** Rows of A and y in one product. */
  readonly rows: number;
  /**
   * How many of them belong to one picture or sequence; default 1. Where it is more, no variant for few rows is chosen, so that the
   * choice, and with it every bit, is the same for any number of pictures.
   */
  readonly itemRows?: number | undefined;
  /** Columns of y with padding: a multiple of 8. */
  readonly columns: number;
  /** Length of the K axis within one tap, with padding: a multiple of 8. */
  readonly k: number;
  /** Elements. `batch` is the distance between batches; offset and pitch multiples of 4. */
  readonly a: {
    /** Elements from one row to the next. */
    readonly pitch: number;
    /** Element where row 0 begins; default 0. */
    readonly offset?: number;
    /** Elements from one product to the next; default `rows` rows. */
    readonly batch?: number;
    /** Form of A. */
    readonly storage: Storage;
  };
  /**
   * `panels`: packed weights [N/32][taps * K][32], of which one tap's K may be a part: `kOffset` of `kTotal` (where the rows of A
   * are the halves of a concatenation). `plain`: a matrix [K][pitch] per batch, no weight.
   */
  readonly b: {
    /** How B lies: packed, or as a plain matrix. */
    readonly layout: PackedLayout | 'plain';
    /** Form of B; also bf16-packed. */
    readonly storage: Storage;
    /** Elements from one row of a plain matrix to the next, a multiple of 8. */
    readonly pitch?: number;
    /** Elements from one plain matrix to the next; 0 where one serves all, default `k` rows. */
    readonly batch?: number;
    /** Length of the K axis in packed B; default `k`. */
    readonly kTotal?: number;
    /** Where on it the part begins that A meets; default 0. */
    readonly kOffset?: number;
  };
  /** Elements of the result; offset and distances multiples of 4, the pitch of 8. */
  readonly y: {
    /** Elements from one row to the next. */
    readonly pitch: number;
    /** Element where row 0 begins; default 0. */
    readonly offset?: number;
    /** Elements from one product to the next; default `rows` rows. */
    readonly batch?: number;
    /** Form of y, channelAdd and residual. */
    readonly storage: Storage;
  };
  /** Multiplies the sum, before the bias; default 1. */
  readonly scale?: number | undefined;
  /** Makes rows of A out of pixels. */
  readonly conv?: ConvGeometry | undefined;
  /** What follows a sum; default a bias. */
  readonly epilogue?: Epilogue | undefined;
}

/** Panel width of packed weights, in columns. */
export const PANEL = 32;

/**
 * Values of K in one chain of f32 sums. Two blocks of Flan-T5 xl (K up to 5120), error against float64 over torch's: 4.0 as one chain,
 * 1.5 in blocks of 512, 1.0 in blocks of 128; for one row on lavapipe the ends of blocks cost 2 % with 512 and 6 % with 128.
 */
const BLOCK = 512;

/**
 * Values of K in one chain of sums; the chains of an output are added in turn. K alone decides, never the rows. Where A is of halves its
 * own rounding is a hundred times that of any chain, and convolutions meet their bounds: both stay one chain.
 */
export function blockOf({ k, conv, a }: GemmProblem): number {
  return conv || a.storage !== 'f32' ? k : BLOCK;
}

/** A tile of gemm-broadcast: 8 rows by four columns a lane. */
const broadcast: Variant<GemmProblem, { readonly LANES: number }> = {
  stem: 'gemm-broadcast',
  weights: 'panels',
  fits: canBroadcast,
  rank: RANK.broadcast,
  tiles: caps => ({ LANES: caps.subgroupSize }),
  call: (_, problem, tiles) => {
    const cut = { rows: 8, columns: 4 * tiles.LANES };
    return gemmCall({ kernel: 'gemm-broadcast', source: broadcastSource }, problem, tiles, cut);
  },
};

/** How gemm-tile cuts y: rows and columns of one workgroup. */
export type GemmTile = {
  /** Rows of y: 32, 64 or 128. */
  readonly ROWS: number;
  /** Columns of B, half of which are gates where there are any: a multiple of 32. */
  readonly COLUMNS: number;
};

/** A tile of gemm-tile: ROWS of y by COLUMNS of B, half of which are gates where there are any. */
export const GEMM_TILE: Variant<GemmProblem, GemmTile> = {
  stem: 'gemm-tile',
  weights: 'panels',
  fits: () => true,
  rank: RANK.tile,
  tiles: () => ({ ROWS: 64, COLUMNS: 64 }),
  call: (_, problem, tiles) => {
    const cut = { rows: tiles.ROWS, columns: tiles.COLUMNS / (problem.epilogue?.geglu ? 2 : 1) };
    return gemmCall({ kernel: 'gemm-tile', source: tileSource }, problem, tiles, cut);
  },
};

/**
 * The variants for any number of rows. Bindings: a, b, bias, channel_add, residual, y; what the epilogue leaves out must still be
 * bound: to any small read-only buffer of the call, such as b.
 */
export const GEMM_VARIANTS: readonly Variant<GemmProblem>[] = [broadcast, GEMM_TILE];

/** The layout in which the weights of a product lie: none where b is a tensor of activations. */
export function packedOf({ b }: GemmProblem): PackedLayout | undefined {
  return b.layout === 'plain' ? undefined : b.layout;
}

/** Rows and columns of y that one workgroup makes. */
interface Cut {
  readonly rows: number;
  readonly columns: number;
}

function gemmCall(
  program: Pick<KernelCall, 'kernel' | 'source'>,
  problem: GemmProblem,
  tiles: Tiles,
  cut: Cut,
): KernelCall {
  const { batch, rows, columns, conv, epilogue = {} } = problem;
  const geglu = epilogue.geglu === true;
  const rowTiles = ceilDiv(rows, cut.rows);
  const columnTiles = ceilDiv(columns, cut.columns);
  const taps = conv ? conv.kernelHeight * conv.kernelWidth : 1;
  return {
    ...program,
    libs: [
      ...[inputLib(problem.a.storage), weightLib(problem.b.storage), outputLib(problem.y.storage)],
      ...[activationLib, sharedLib],
    ],
    values: {
      ...tiles,
      BLOCKED: !conv && problem.a.storage === 'f32',
      CONV: conv !== undefined,
      GEGLU: geglu,
      ACTIVATION: ACTIVATION[epilogue.activation ?? 'none'],
    },
    bindings: gemmBindings(problem, cut.rows, columnTiles),
    params: { ...words(problem, taps), row_tiles: rowTiles, column_tiles: columnTiles, tile_rows: cut.rows },
    tiles: batch * rowTiles * columnTiles,
    cost: {
      flops: 2 * batch * rows * columns * (geglu ? 2 : 1) * problem.k * taps,
      bytes:
        batch * rows * problem.k * storageBytes(problem.a.storage) +
        taps * problem.k * columns * storageBytes(problem.b.storage) * (problem.b.layout === 'plain' ? batch : 1) +
        batch * rows * columns * storageBytes(problem.y.storage) * (epilogue.residual ? 2 : 1),
    },
  };
}

function words(p: GemmProblem, taps: number): KernelCall['params'] {
  const { a, b, y, conv, epilogue = {} } = p;
  const panels = b.layout === 'panels';
  const pitch4 = (b.pitch ?? 0) / 4;
  const channelAdd = epilogue.channelAdd;
  return {
    ...{ rows: p.rows, columns4: p.columns / 4, k: p.k },
    ...{ a_pitch: a.pitch, a_offset: a.offset ?? 0, a_batch: a.batch ?? p.rows * a.pitch },
    k_stride: panels ? PANEL / 4 : pitch4,
    panel_stride: panels ? (taps * (b.kTotal ?? p.k) * PANEL) / 4 : 0,
    panel_width: panels ? PANEL / 4 : p.columns / 4,
    b_batch: panels ? 0 : (b.batch ?? p.k * (b.pitch ?? 0)) / 4,
    b_offset: ((b.kOffset ?? 0) * PANEL) / 4,
    ...{ y_pitch: y.pitch / 4, y_offset: (y.offset ?? 0) / 4, y_batch: (y.batch ?? p.rows * y.pitch) / 4 },
    ...{ rows_per_image: channelAdd?.rowsPerImage ?? 1, channel_pitch: (channelAdd?.pitch ?? 0) / 4 },
    channel_offset: (channelAdd?.offset ?? 0) / 4,
    scale: p.scale ?? 1,
    ...{
      block: blockOf(p),
      taps_x: conv?.kernelWidth ?? ceilDiv(p.k, blockOf(p)),
      taps_y: conv?.kernelHeight ?? 1,
      stride: conv?.stride ?? 1,
    },
    ...{ pad_top: conv?.padTop ?? 0, pad_left: conv?.padLeft ?? 0 },
    ...{ in_w: conv?.inWidth ?? 1, in_h: conv?.inHeight ?? 1, out_w: conv?.outWidth ?? 1, out_h: conv?.outHeight ?? 1 },
    grow: conv?.upsample ? 1 : 0,
    has_bias: epilogue.bias === false ? 0 : 1,
    has_channel_add: channelAdd ? 1 : 0,
    has_residual: epilogue.residual === 'multiply' ? 2 : epilogue.residual ? 1 : 0,
    // What is bound whole starts at 0; the dispatcher fills the starts of windows.
    ...(plainA(p) ? {} : { a_base: 0 }),
    ...(ownB(p) ? {} : { b_base: 0 }),
    ...(channelAdd ? {} : { channel_base: 0 }),
    ...(plainY(p) ? {} : { y_base: 0 }),
  };
}

/** Whether batches of rows lie back to back, so that a window may move over them; anything else is bound whole. */
function plainA({ a, rows }: GemmProblem): boolean {
  return a.batch === undefined || a.batch === rows * a.pitch;
}

function plainY({ y, rows }: GemmProblem): boolean {
  return y.batch === undefined || y.batch === rows * y.pitch;
}

/** Whether each product has a B of its own; one that serves all is bound whole, packed ones in windows of columns by the op. */
function ownB({ batch, b }: GemmProblem): boolean {
  return b.layout === 'plain' && batch > 1 && b.batch !== 0;
}

/** The bindings of a product in windows: tiles count columns fastest, then rows, then batches. */
export function gemmBindings(p: GemmProblem, tileRows: number, columnTiles: number): KernelBinding[] {
  const bytes = storageBytes(p.y.storage);
  const rowTiles = ceilDiv(p.rows, tileRows);
  const rowRange: RowRange = (first, end) => {
    const line = (tileIndex: number) => {
      const rowTile = Math.floor(tileIndex / columnTiles);
      return Math.floor(rowTile / rowTiles) * p.rows + (rowTile % rowTiles) * tileRows;
    };
    const last = line(end - 1);
    return [line(first), Math.min(last + tileRows, (Math.floor(last / p.rows) + 1) * p.rows)];
  };
  const yRange = (first: number, end: number): [number, number] => {
    const [from, to] = rowRange(first, end);
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
    plainB(p, rowTiles * columnTiles),
    p.epilogue?.bias === false ? unread('bias') : { name: 'bias', access: 'read' },
    channelAddOf(p, rowRange),
    p.epilogue?.residual ? (plainY(p) ? { ...residual, window: yWindow } : residual) : unread('residual'),
    plainY(p) ? { ...y, window: yWindow } : y,
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

/** Input pixels that output pixels [from, to) of a convolution read, counted over the whole batch. */
function inputPixels(c: ConvGeometry, from: number, to: number): [number, number] {
  const shift = c.upsample ? 2 : 1;
  const first = (pixel: number) => {
    const line = Math.floor(pixel / c.outWidth);
    const image = Math.floor(line / c.outHeight);
    const top = Math.floor(Math.max(0, (line % c.outHeight) * c.stride - c.padTop) / shift);
    return (image * c.inHeight + Math.min(top, c.inHeight - 1)) * c.inWidth;
  };
  const lastLine = Math.floor((to - 1) / c.outWidth);
  const image = Math.floor(lastLine / c.outHeight);
  const bottom = Math.floor(((lastLine % c.outHeight) * c.stride - c.padTop + c.kernelHeight - 1) / shift);
  const end = (image * c.inHeight + Math.min(Math.max(bottom, 0) + 1, c.inHeight)) * c.inWidth;
  return [first(from), Math.max(end, first(from) + c.inWidth)];
}

/** @throws ShapeError for sizes that are no positive integers, and pitches, offsets or K off their multiples */
export function checkGemm(op: string, p: GemmProblem): void {
  const eights: Record<string, number> = {
    k: p.k,
    columns: p.columns,
    'y.pitch': p.y.pitch,
    'b.pitch': p.b.pitch ?? 0,
  };
  const fours: Record<string, number> = {
    'a.pitch': p.a.pitch,
    'a.offset': p.a.offset ?? 0,
    'a.batch': p.a.batch ?? 0,
    'b.batch': p.b.batch ?? 0,
    'y.offset': p.y.offset ?? 0,
    'y.batch': p.y.batch ?? 0,
    'channelAdd.offset': p.epilogue?.channelAdd?.offset ?? 0,
  };
  for (const [name, value] of Object.entries(eights)) mustDivide(op, name, value, 8);
  for (const [name, value] of Object.entries(fours)) mustDivide(op, name, value, 4);
  for (const [name, value] of Object.entries({ batch: p.batch, rows: p.rows, columns: p.columns, k: p.k })) {
    if (!(Number.isInteger(value) && value > 0)) {
      throw new ShapeError({ op, problem: 'a size must be a positive integer', value, path: name });
    }
  }
}

function mustDivide(op: string, name: string, value: number, step: number): void {
  if (value % step !== 0) {
    throw new ShapeError({
      op,
      problem: `must be a multiple of ${step}`,
      value,
      path: name,
      fix: 'Pad the rows.',
    });
  }
}
