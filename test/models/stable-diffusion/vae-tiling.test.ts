import { expect, test } from 'vitest';
import type { NdArray } from '../../../src/core/ndarray.ts';
import { SD21_VAE } from '../../../src/models/stable-diffusion/config.ts';
import {
  cutTile,
  decoderTiling,
  encoderTiling,
  pasteTile,
  type TileSizes,
  tileSizes,
} from '../../../src/models/stable-diffusion/vae-tiling.ts';
import { randoms } from '../../support/run-kernel.ts';

const map = (shape: number[], seed = 1): NdArray => ({
  data: randoms(
    shape.reduce((a, b) => a * b),
    seed,
  ),
  shape,
});
const same = (side: number, overlap: number): TileSizes => ({ pixels: side, latents: side, overlap });

test('the tile is as large as the pictures of the training', () => {
  expect(tileSizes(SD21_VAE)).toEqual({ pixels: 768, latents: 96, overlap: 0.25 });
});

test('a picture no larger than a tile is not cut', () => {
  const whole = [[{ top: 0, left: 0, height: 768, width: 512 }]];
  expect(encoderTiling(768, 512, tileSizes(SD21_VAE)).rows).toEqual(whole);
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

test('a tile is pasted where it was cut, or less of it', () => {
  const whole = map([2, 3, 6, 7]);
  const tile = { top: 1, left: 2, height: 4, width: 5 };
  const pasted = { data: new Float32Array(whole.data.length), shape: whole.shape };
  pasteTile(cutTile(whole, tile), pasted, { ...tile, height: 3, width: 2 });
  const inside = (i: number): boolean => {
    const [y, x] = [Math.floor(i / 7) % 6, i % 7];
    return y >= 1 && y < 4 && x >= 2 && x < 4;
  };
  expect([...pasted.data]).toEqual([...whole.data].map((v, i) => (inside(i) ? v : 0)));
});

test('refuses tiles that cover each other wholly', () => {
  expect(() => encoderTiling(9, 9, same(4, 0.9))).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: tiling: tiles overlap wholly: expected a stride of at least 1, got tile 4, overlap 0.9. Use larger tiles or a smaller overlap.]`,
  );
});
