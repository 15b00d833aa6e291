import { expect, test } from 'vitest';
import type { NdArray } from '../../../src/core/ndarray.ts';
import {
  cutTile,
  decoderTiling,
  encoderTiling,
  pasteTile,
  type Tiling,
} from '../../../src/models/stable-diffusion/vae-tiling.ts';
import { byTiles, joinedSides } from '../../../src/pipeline/diffusion/autoencoder-tiles.ts';
import { DeviceTensor } from '../../../src/tensor/device-tensor.ts';
import { blendTiles } from '../../reference/blend-tiles.ts';
import { maxError } from '../../support/close.ts';
import { bareCall } from '../../support/device-call.ts';
import { testGpu } from '../../support/gpu.ts';
import { limited } from '../../support/rows.ts';
import { randoms } from '../../support/run-kernel.ts';

const map = (shape: number[], seed = 1): NdArray => ({
  data: randoms(
    shape.reduce((a, b) => a * b),
    seed,
  ),
  shape,
});
const same = (side: number, overlap: number) => ({ pixels: side, latents: side, overlap });

/** What the device makes of results of a tiling, and the most bytes that it held for it. */
async function blended(
  whole: NdArray,
  tiling: Tiling,
  results: readonly NdArray[],
  maxBindingBytes?: number,
): Promise<{ joined: NdArray; peak: number }> {
  const gpu = await testGpu();
  const call = bareCall(maxBindingBytes ? limited(gpu, { maxBindingBytes }) : gpu);
  const [n, c] = results[0].shape;
  const scale = results[0].shape[2] / tiling.rows[0][0].height;
  const { height, width } = joinedSides(tiling, scale);
  const joined = { data: new Float32Array(n * c * height * width), shape: [n, c, height, width] };
  let count = 0;
  await byTiles(call, whole, tiling, {
    run: async () => {
      const { data, shape } = results[count++];
      return DeviceTensor.from(gpu, data, shape);
    },
    take: async (tile, at) => {
      pasteTile({ data: await tile.read(), shape: tile.shape }, joined, at);
      tile.dispose();
    },
  });
  expect(call.memory.bytes).toBe(0);
  return { joined, peak: call.memory.peak };
}

test.each([
  [2, 3, 13, 17, 8, 0.25],
  [1, 3, 8, 9, 8, 0.5],
  [1, 4, 31, 5, 10, 0.3],
  [1, 12, 7, 7, 3, 0],
  [1, 3, 9, 10, 10, 0.8],
  [3, 1, 25, 25, 8, 0.25],
])('fades %i x %i maps of %i x %i by tiles of %i with overlap %f as f64 does', async (n, c, h, w, side, overlap) => {
  const whole = map([n, c, h, w]);
  const tiling = encoderTiling(h, w, same(side, overlap));
  const results = tiling.rows.map((row, i) =>
    row.map(({ height, width }, j) => map([n, c, height, width], 100 * i + j)),
  );
  const expected = blendTiles(results, tiling);
  const { joined } = await blended(whole, tiling, results.flat());
  expect(joined.shape).toEqual(expected.shape);
  expect(maxError(joined.data, expected.data)).toBeLessThan(1e-6);
});

test('crops of one map join to the same map, also where no tile fits a binding', async () => {
  const whole = map([1, 3, 13, 17]);
  const tiling = encoderTiling(13, 17, same(8, 0.25));
  const crops = tiling.rows.flat().map(tile => cutTile(whole, tile));
  for (const maxBindingBytes of [undefined, 2048]) {
    const { joined } = await blended(whole, tiling, crops, maxBindingBytes);
    expect(joined.shape).toEqual(whole.shape);
    expect(maxError(joined.data, whole.data)).toBeLessThan(1e-6);
  }
});

test('fades linearly from the neighbour into the tile, rows before columns', async () => {
  const flat = (value: number): NdArray => ({ data: new Float32Array(16).fill(value), shape: [1, 1, 4, 4] });
  const { rows } = encoderTiling(6, 6, same(4, 0.5));
  const tiling: Tiling = { rows: rows.slice(0, 2).map(row => row.slice(0, 2)), blend: 2, keep: 2 };
  const { joined } = await blended(map([1, 1, 6, 6]), tiling, [flat(0), flat(8), flat(16), flat(32)]);
  // Below right: its rows fade in from the upper tile's [0, 4], so [0, 4] and [16, 18]; then its columns from the left
  // tile's 0 and 8.
  expect([...joined.data]).toEqual([...[0, 0, 0, 4], ...[0, 0, 0, 4], ...[0, 0, 0, 2], ...[8, 8, 8, 13]]);
});

test('keeps nothing of the tiles on the device but their edges', async () => {
  const tiling = decoderTiling(16, 16, { pixels: 64, latents: 8, overlap: 0.25 });
  const results = tiling.rows.flat().map(({ height, width }, i) => map([1, 3, 8 * height, 8 * width], i));
  const { joined, peak } = await blended(map([1, 4, 16, 16]), tiling, results);
  expect(joined.shape).toEqual([1, 3, 128, 128]);
  // Edges: 16 rows of every column of tiles, and 16 columns of one row's tiles, whole ones and lower ones; uniform blocks beside them.
  const widths = (tiling.rows[0] ?? []).reduce((sum, tile) => sum + 8 * tile.width, 0);
  expect(peak).toBeLessThan(32 * (16 * widths + 2 * 16 * 64) + 8192);
});
