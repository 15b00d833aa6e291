/**
 * Pictures by tiles: where a map is cut into overlapping tiles, and how far their results fade into each other. Whoever runs the
 * autoencoder gives each tile to it and blends the results.
 *
 * In units of the tile's side t with overlap o (a quarter): tiles start every (1 - o) t of the input. Each result is
 * faded over its first o t' rows and columns with the last ones of the neighbours above and to the left, and cut to
 * (1 - o) t' of the output, t' being the tile's side there. Every tile goes through the network on its own, so the
 * result differs from an untiled one.
 */
import { InputError, ShapeError } from '../../core/errors.ts';
import { checkMember } from '../../core/kinds.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim } from '../../core/shape.ts';
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
 * Copies the upper left of one tile into a map.
 * @param tile [N, C, h, w]
 * @param map [N, C, H, W], changed in place
 * @param at place in the map, no larger than the tile
 */
export function pasteTile(tile: NdArray, map: NdArray, at: Tile): void {
  const [n, c, tileHeight, tileWidth] = sides(tile);
  const [, , height, width] = sides(map);
  for (let row = 0; row < n * c * at.height; row++) {
    const plane = Math.floor(row / at.height);
    const from = (plane * tileHeight + (row % at.height)) * tileWidth;
    const to = (plane * height + at.top + (row % at.height)) * width + at.left;
    map.data.set(tile.data.subarray(from, from + at.width), to);
  }
}

function sides(map: NdArray): [number, number, number, number] {
  return [dim(map.shape, 0), dim(map.shape, 1), dim(map.shape, 2), dim(map.shape, 3)];
}
