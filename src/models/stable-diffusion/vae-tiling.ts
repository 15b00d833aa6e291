/**
 * Pictures by tiles: the arithmetic of cutting a map into overlapping tiles and of fading the results into each
 * other, on plain numbers. Whoever runs the autoencoder gives each tile to it and hands the results to `blendTiles`.
 *
 * In units of the tile's side t with overlap o (a quarter): tiles start every (1 - o) t of the input. Each result is
 * faded over its first o t' rows and columns with the last ones of the neighbours above and to the left, and cut to
 * (1 - o) t' of the output, t' being the tile's side there. Every tile goes through the network on its own, so the
 * result differs from an untiled one.
 */
import { InputError, ShapeError } from '../../core/errors.ts';
import { checkMember } from '../../core/kinds.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim, sameShape } from '../../core/shape.ts';
import { type VaeConfig, vaeScaleFactor } from './config.ts';

const VAE_CONFIG = 'what parseVaeConfig returns, or SD21_VAE';

/** Sides of a square tile in pixels and in latents, and the share of a tile that its neighbour covers too. */
export interface TileSizes {
  /** Side of a tile of a picture, in pixels. */
  readonly pixels: number;
  /** Side of the same tile in latents. */
  readonly latents: number;
  /** Share of the side, 0 to 1: 0.25. */
  readonly overlap: number;
}

/** A rectangle of the input. */
export interface Tile {
  /** First row, counted from the input's top edge. */
  readonly top: number;
  /** First column, counted from the input's left edge. */
  readonly left: number;
  /** Rows; fewer than a whole tile's at the bottom edge. */
  readonly height: number;
  /** Columns; fewer than a whole tile's at the right edge. */
  readonly width: number;
}

/** How to cut one input and how to put the results together. */
export interface Tiling {
  /** Rows of tiles from top to bottom, each from left to right. */
  readonly rows: readonly (readonly Tile[])[];
  /** Rows and columns of a result over which it fades in. */
  readonly blend: number;
  /** Rows and columns of a result that are kept, at most. */
  readonly keep: number;
}

/**
 * The tile of a model: as large as the pictures that it was trained on.
 * @throws InputError for what is no VAE's config
 * @see diffusers AutoencoderKL.enable_tiling
 */
export function tileSizes(config: VaeConfig): TileSizes {
  checkMember('tileSizes', config, 'channels', 'list', VAE_CONFIG);
  checkMember('tileSizes', config, 'sampleSize', 'number', VAE_CONFIG);
  const latents = Math.trunc(config.sampleSize / vaeScaleFactor(config));
  return { pixels: config.sampleSize, latents, overlap: 0.25 };
}

/**
 * Cuts a picture for the encoder.
 * @param height of the picture in pixels
 * @param width of the picture in pixels
 * @returns tiles in pixels, blend and keep in latents; one tile where the picture is no larger than a tile
 */
export function encoderTiling(height: number, width: number, sizes: TileSizes): Tiling {
  checkSizes('encoderTiling', height, width, sizes);
  return cut(height, width, sizes.pixels, sizes.latents, sizes.overlap);
}

/**
 * Cuts latents for the decoder.
 * @param height of the latents
 * @param width of the latents
 * @returns tiles in latents, blend and keep in pixels; one tile where the latents are no larger than a tile
 */
export function decoderTiling(height: number, width: number, sizes: TileSizes): Tiling {
  checkSizes('decoderTiling', height, width, sizes);
  return cut(height, width, sizes.latents, sizes.pixels, sizes.overlap);
}

function checkSizes(op: string, height: number, width: number, sizes: TileSizes): void {
  const { pixels, latents, overlap } = Object(sizes) as Partial<TileSizes>;
  if ([height, width, pixels, latents, overlap].every(Number.isFinite)) return;
  const expected = 'height, width and { pixels, latents, overlap }, all of them numbers';
  throw new InputError({ op, problem: 'no sizes of tiles', expected, value: [height, width, sizes], path: 'sizes' });
}

function cut(height: number, width: number, inSide: number, outSide: number, overlap: number): Tiling {
  if (height <= inSide && width <= inSide) {
    return { rows: [[{ top: 0, left: 0, height, width }]], blend: 0, keep: Number.POSITIVE_INFINITY };
  }
  const stride = Math.trunc(inSide * (1 - overlap));
  if (!(stride >= 1)) {
    throw new ShapeError({
      op: 'tiling',
      problem: 'tiles overlap wholly',
      expected: 'a stride of at least 1',
      received: `tile ${inSide}, overlap ${overlap}`,
      fix: 'Use larger tiles or a smaller overlap.',
    });
  }
  const blend = Math.trunc(outSide * overlap);
  const starts = (size: number): number[] => Array.from({ length: Math.ceil(size / stride) }, (_, i) => i * stride);
  const rows = starts(height).map(top =>
    starts(width).map(left => ({
      top,
      left,
      height: Math.min(inSide, height - top),
      width: Math.min(inSide, width - left),
    })),
  );
  return { rows, blend, keep: outSide - blend };
}

/**
 * Copies one tile out of a map.
 * @param map [N, C, H, W]
 * @returns [N, C, tile.height, tile.width]
 */
export function cutTile(map: NdArray, tile: Tile): NdArray {
  const [n, c, height, width] = sides(map);
  const data = new Float32Array(n * c * tile.height * tile.width);
  for (let row = 0; row < n * c * tile.height; row++) {
    const plane = Math.floor(row / tile.height);
    const from = (plane * height + tile.top + (row % tile.height)) * width + tile.left;
    data.set(map.data.subarray(from, from + tile.width), row * tile.width);
  }
  return { data, shape: [n, c, tile.height, tile.width] };
}

/**
 * Fades the results of all tiles into each other and joins them. A tile is faded with its upper neighbour first, then
 * with its left one, both as they came out of their own fading; then it is cut:
 * b[y] = a[H - e + y] (1 - y / e) + b[y] y / e over the first e rows, likewise over columns.
 * @param results [N, C, h, w] each, in the order of `tiling.rows`; not changed
 * @returns [N, C, H, W]
 * @throws ShapeError where the results are not one a tile, or disagree in N, C or the height of a row
 * @see diffusers AutoencoderKL.blend_v, blend_h
 */
export function blendTiles(results: readonly (readonly NdArray[])[], tiling: Tiling): NdArray {
  checkMember('blendTiles', tiling, 'rows', 'list', 'results, and the Tiling that they were cut by');
  for (const row of [results, ...(Array.isArray(results) ? results : [])])
    checkMember('blendTiles', { row }, 'row', 'list', 'rows of results');
  checkResults(results, tiling);
  const faded: NdArray[][] = [];
  for (const [i, row] of results.entries()) {
    const done: NdArray[] = [];
    for (const [j, result] of row.entries()) {
      const tile = { ...result, data: result.data.slice() };
      const above = faded[i - 1]?.[j];
      const left = done[j - 1];
      if (above) fadeRows(above, tile, tiling.blend);
      if (left) fadeColumns(left, tile, tiling.blend);
      done.push(tile);
    }
    faded.push(done);
  }
  return join(faded, tiling.keep);
}

/** `tile` fades in over its first rows where `above` has its last ones. */
function fadeRows(above: NdArray, tile: NdArray, blend: number): void {
  const [n, c, height, width] = sides(tile);
  const aboveHeight = dim(above.shape, 2);
  const extent = Math.min(aboveHeight, height, blend);
  for (let plane = 0; plane < n * c; plane++) {
    for (let y = 0; y < extent; y++) {
      const from = (plane * aboveHeight + aboveHeight - extent + y) * width;
      fade(above.data, from, tile.data, (plane * height + y) * width, width, y / extent);
    }
  }
}

/** `tile` fades in over its first columns where `left` has its last ones. */
function fadeColumns(left: NdArray, tile: NdArray, blend: number): void {
  const [n, c, height, width] = sides(tile);
  const leftWidth = dim(left.shape, 3);
  const extent = Math.min(leftWidth, width, blend);
  for (let row = 0; row < n * c * height; row++) {
    for (let x = 0; x < extent; x++) {
      fade(left.data, row * leftWidth + leftWidth - extent + x, tile.data, row * width + x, 1, x / extent);
    }
  }
}

function fade(a: Float32Array, from: number, b: Float32Array, to: number, count: number, weight: number): void {
  for (let i = 0; i < count; i++) {
    b[to + i] = (a[from + i] ?? 0) * (1 - weight) + (b[to + i] ?? 0) * weight;
  }
}

function join(rows: readonly (readonly NdArray[])[], keep: number): NdArray {
  const kept = rows.map(row =>
    row.map(tile => {
      const [, , height, width] = sides(tile);
      return cutTile(tile, { top: 0, left: 0, height: Math.min(height, keep), width: Math.min(width, keep) });
    }),
  );
  const first = kept[0] ?? [];
  const [n, c] = sides(first[0] ?? { data: new Float32Array(), shape: [0, 0, 0, 0] });
  const height = kept.reduce((sum, row) => sum + (row[0] ? dim(row[0].shape, 2) : 0), 0);
  const width = first.reduce((sum, tile) => sum + dim(tile.shape, 3), 0);
  const data = new Float32Array(n * c * height * width);
  let top = 0;
  for (const row of kept) {
    let left = 0;
    for (const tile of row) {
      paste(tile, data, { top, left, height, width });
      left += dim(tile.shape, 3);
    }
    top += row[0] ? dim(row[0].shape, 2) : 0;
  }
  return { data, shape: [n, c, height, width] };
}

/** Writes a tile at (top, left) into a map of height x width. */
function paste(tile: NdArray, data: Float32Array, at: Tile): void {
  const [n, c, height, width] = sides(tile);
  for (let row = 0; row < n * c * height; row++) {
    const plane = Math.floor(row / height);
    const to = (plane * at.height + at.top + (row % height)) * at.width + at.left;
    data.set(tile.data.subarray(row * width, (row + 1) * width), to);
  }
}

function checkResults(results: readonly (readonly NdArray[])[], tiling: Tiling): void {
  const expected = tiling.rows.map(row => row.length);
  const received = results.map(row => row.length);
  if (!sameShape(expected, received)) {
    throw new ShapeError({ op: 'blendTiles', problem: 'not one result a tile', expected, received });
  }
  const [n, c] = results[0]?.[0] ? sides(results[0][0]) : [0, 0];
  for (const row of results) {
    for (const [j, tile] of row.entries()) {
      const head = row[0] ?? tile;
      const above = results[0]?.[j] ?? tile;
      const fits = [n, c, dim(head.shape, 2), dim(above.shape, 3)];
      if (!sameShape(tile.shape, fits)) {
        throw new ShapeError({ op: 'blendTiles', problem: 'results do not fit', expected: fits, received: tile.shape });
      }
    }
  }
}

function sides(map: NdArray): [number, number, number, number] {
  return [dim(map.shape, 0), dim(map.shape, 1), dim(map.shape, 2), dim(map.shape, 3)];
}
