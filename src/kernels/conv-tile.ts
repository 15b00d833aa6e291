/** Convolutions of 3 x 3 whose patch of the map lies in workgroup memory once for all nine taps. */
import source from '../../wgsl/conv-tile.wgsl';
import { ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import type { ConvGeometry } from './conv-pixels.ts';
import { gemmWords, rowBindings } from './gemm-call.ts';
import type { GemmProblem } from './gemm-problem.ts';
import { type KernelCall, pinned, RANK, storageBytes } from './kernel.ts';
import {
  ACTIVATION,
  activationLib,
  epilogueLib,
  halfSlabLib,
  momentsLib,
  normalizeLib,
  outputLib,
  pairedLibs,
  sharedLib,
} from './libs.ts';
import { hasSlabs } from './moments.ts';
import type { Variant } from './op.ts';
import type { RowRange } from './rows.ts';
import { partsOf } from './split-k.ts';

/** How conv-tile is compiled; its tiles have one size. */
export type ConvTile = {
  /** Channels whose products are written out: 8, or 1 in software, whose compiler takes ten seconds for eight. */
  readonly UNROLL: number;
};

/** Lines and pixels of a tile, and its columns. */
const TILE = { high: 16, wide: 8, columns: 64 } as const;

/** Whether each pixel of y lies in the middle of the nine that it is made of. */
function isCentred(c: ConvGeometry): boolean {
  const threes = c.kernelHeight === 3 && c.kernelWidth === 3 && c.stride === 1 && c.padTop === 1 && c.padLeft === 1;
  return threes && c.outHeight === c.inHeight && c.outWidth === c.inWidth && !c.upsample && !c.phases;
}

/**
 * For maps that tiles fill and whose K stays whole: behind tiles of rows, but where shipped ranks say otherwise. The size of the maps and all
 * columns of y decide, never how many of either one call makes.
 */
function rank({ software }: Caps, p: GemmProblem): number {
  const { outHeight = 1, outWidth = 1 } = p.conv ?? {};
  const filled = outHeight % TILE.high === 0 && outWidth % TILE.wide === 0 && p.y.pitch % TILE.columns === 0;
  return filled && !software && partsOf(p) === 1 ? RANK.patches : RANK.last;
}

/**
 * Columns, for each byte of a value, up to which a norm is applied while patches are loaded. Every 64 columns pay for it anew, 2 % of their
 * time on NVIDIA's cards, and what it saves is the norm's own way to memory and back, once: as much of a convolution's time as it has few
 * columns. Of halves at 128 columns 4 % on a RTX 3090 and 9 % on a RTX 4090, at 256 half of it (docs/performance.md).
 */
const MOST_COLUMNS_A_BYTE = 128;

/** Patches of 18 x 10 pixels, for kernels of 3 x 3. */
export const CONV_TILE: Variant<GemmProblem, ConvTile> = {
  stem: 'conv-tile',
  weights: 'panels',
  fits: (_, { batch, conv, epilogue }) => batch === 1 && !epilogue?.geglu && conv !== undefined && isCentred(conv),
  rank,
  normalizes: (_, { y, a }) => y.pitch <= MOST_COLUMNS_A_BYTE * storageBytes(a.storage),
  // Slabs are two lines of eight pixels each.
  measures: (caps, p) =>
    hasSlabs(caps, p) && p.conv !== undefined && p.conv.outHeight % 2 === 0 && p.conv.outWidth % 8 === 0,
  tiles: ({ software }) => ({ UNROLL: software ? 1 : 8 }),
  candidates: ({ software }) => (software ? [] : [{ UNROLL: 8 }, { UNROLL: 1 }]),
  call: (caps, p, tiles) => {
    const { images = 1, outHeight = 1, outWidth = 1 } = p.conv ?? {};
    const { rows, columns, epilogue = {} } = p;
    const grid = { down: ceilDiv(outHeight, TILE.high), across: ceilDiv(outWidth, TILE.wide) };
    const columnTiles = ceilDiv(columns, TILE.columns);
    const count = images * grid.down * grid.across * columnTiles;
    const flops = 2 * rows * columns * p.k * 9;
    const traffic = [
      rows * p.k * storageBytes(p.a.storage),
      9 * p.k * columns * storageBytes(p.b.storage),
      rows * columns * storageBytes(p.y.storage) * (epilogue.residual ? 2 : 1),
    ];
    return {
      kernel: 'conv-tile',
      source: pinned(caps, source),
      libs: [
        ...pairedLibs(p.a.storage, p.b.storage),
        ...[outputLib(p.y.storage), activationLib, epilogueLib, sharedLib, halfSlabLib, momentsLib(p.moments)],
        normalizeLib(p.normalize !== undefined),
      ],
      values: {
        ...tiles,
        ACTIVATION: ACTIVATION[epilogue.activation ?? 'none'],
        INPUT_ACTIVATION: ACTIVATION[p.normalize?.activation ?? 'none'],
      },
      bindings: [
        ...rowBindings(p, bandRange(outHeight, outWidth, grid.down, grid.across * columnTiles), count),
        ...(p.normalize ? [{ name: 'scale_shift', access: 'read' } as const] : []),
      ],
      params: gemmWords(p, { rows: grid.down, columns: columnTiles, height: 1 }),
      tiles: count,
      cost: { flops, bytes: traffic.reduce((sum, bytes) => sum + bytes, 0) },
    } satisfies KernelCall;
  },
};

/** Pixels that tiles touch: whole lines, because tiles go across the map before they go down. */
function bandRange(height: number, width: number, down: number, bandTiles: number): RowRange {
  const line = (band: number, high: number) =>
    Math.floor(band / down) * height + Math.min((band % down) * TILE.high + high, height);
  return (first, end) => [
    line(Math.floor(first / bandTiles), 0) * width,
    line(Math.floor((end - 1) / bandTiles), TILE.high) * width,
  ];
}
