import { expect, test } from 'vitest';
import type { NdArray } from '../../../src/core/ndarray.ts';
import { SD21_VAE } from '../../../src/models/stable-diffusion/config.ts';
import {
  blendTiles,
  cutTile,
  decoderTiling,
  encoderTiling,
  type TileSizes,
  type Tiling,
  tileSizes,
} from '../../../src/models/stable-diffusion/vae-tiling.ts';
import { maxError } from '../../support/close.ts';
import { randoms } from '../../support/run-kernel.ts';

const map = (shape: number[], seed = 1): NdArray => ({
  data: randoms(
    shape.reduce((a, b) => a * b),
    seed,
  ),
  shape,
});
const cutAll = (whole: NdArray, tiling: Tiling) => tiling.rows.map(row => row.map(tile => cutTile(whole, tile)));
const same = (side: number, overlap: number): TileSizes => ({ pixels: side, latents: side, overlap });

test('the tile is as large as the pictures of the training', () => {
  expect(tileSizes(SD21_VAE)).toEqual({ pixels: 768, latents: 96, overlap: 0.25 });
});

test('a picture no larger than a tile is not cut', () => {
  const whole = [[{ top: 0, left: 0, height: 768, width: 512 }]];
  expect(encoderTiling(768, 512, tileSizes(SD21_VAE)).rows).toEqual(whole);
  const x = map([1, 3, 5, 7]);
  expect(blendTiles([[x]], encoderTiling(5, 7, same(7, 0.25)))).toEqual(x);
});

test('tiles start every three quarters of a tile, also along a side that fits', () => {
  const { rows, blend, keep } = decoderTiling(8, 12, { pixels: 32, latents: 4, overlap: 0.25 });
  expect(rows.map(row => row[0]?.top)).toEqual([0, 3, 6]);
  expect(rows[0]?.map(tile => [tile.left, tile.width])).toEqual([
    [0, 4],
    [3, 4],
    [6, 4],
    [9, 3],
  ]);
  expect(rows[2]?.[3]).toEqual({ top: 6, left: 9, height: 2, width: 3 });
  expect([blend, keep]).toEqual([8, 24]);
  expect(decoderTiling(4, 5, { pixels: 32, latents: 4, overlap: 0.25 }).rows.map(row => row[0]?.height)).toEqual([
    4, 1,
  ]);
});

test.each([
  [13, 17, 8, 0.25],
  [8, 9, 8, 0.5],
  [31, 5, 10, 0.3],
  [7, 7, 3, 0],
])('crops of one map join to the same map (%i x %i, tiles of %i, overlap %f)', (h, w, side, overlap) => {
  const whole = map([2, 3, h, w]);
  const tiling = encoderTiling(h, w, same(side, overlap));
  const joined = blendTiles(cutAll(whole, tiling), tiling);
  expect(joined.shape).toEqual(whole.shape);
  expect(maxError(joined.data, whole.data)).toBeLessThan(1e-6);
});

test('fades linearly from the neighbour into the tile, rows before columns', () => {
  const flat = (value: number): NdArray => ({ data: new Float32Array(16).fill(value), shape: [1, 1, 4, 4] });
  const tiling: Tiling = {
    rows: encoderTiling(6, 6, same(4, 0.5))
      .rows.slice(0, 2)
      .map(row => row.slice(0, 2)),
    blend: 2,
    keep: 2,
  };
  const joined = blendTiles(
    [
      [flat(0), flat(8)],
      [flat(16), flat(32)],
    ],
    tiling,
  );
  // Below right: its rows fade in from the upper tile's [0, 4], so [0, 4] and [16, 18]; then its columns from the left
  // tile's 0 and 8.
  expect([...joined.data]).toEqual([...[0, 0, 0, 4], ...[0, 0, 0, 4], ...[0, 0, 0, 2], ...[8, 8, 8, 13]]);
});

test('results stay as they were', () => {
  const tiles = cutAll(map([1, 1, 6, 6]), encoderTiling(6, 6, same(4, 0.25)));
  const copy = structuredClone(tiles);
  blendTiles(tiles, encoderTiling(6, 6, same(4, 0.25)));
  expect(tiles).toEqual(copy);
});

test('refuses tiles that cover each other wholly, missing and misshapen results', () => {
  expect(() => encoderTiling(9, 9, same(4, 0.9))).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: tiling: tiles overlap wholly: expected a stride of at least 1, got tile 4, overlap 0.9. Use larger tiles or a smaller overlap.]`,
  );
  const tiling = encoderTiling(6, 6, same(4, 0.25));
  const tiles = cutAll(map([1, 1, 6, 6]), tiling);
  expect(() => blendTiles(tiles.slice(1), tiling)).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: blendTiles: not one result a tile: expected [2, 2], got [2]]`,
  );
  tiles[1][1] = map([1, 1, 3, 2]);
  expect(() => blendTiles(tiles, tiling)).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: blendTiles: results do not fit: expected [1, 1, 3, 3], got [1, 1, 3, 2]]`,
  );
});
