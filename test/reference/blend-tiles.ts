/** Tiles of maps faded into each other and joined, as diffusers' AutoencoderKL does, in f64. */
import type { NdArray } from '../../src/core/ndarray.ts';

/** Values in f64 [N, C, H, W]. */
interface Map64 {
  readonly data: Float64Array;
  readonly shape: readonly number[];
}

/** Each tile fades in over its first rows where the one above has its last ones, then over its first columns likewise; then it is cut. */
export function blendTiles(results: readonly (readonly NdArray[])[], o: { blend: number; keep: number }): Map64 {
  const faded: Map64[][] = [];
  for (const [i, row] of results.entries()) {
    faded.push([]);
    for (const [j, { data, shape }] of row.entries()) {
      const tile = { data: Float64Array.from(data), shape };
      if (i > 0) fade(faded[i - 1][j], tile, o.blend, 2);
      if (j > 0) fade(faded[i][j - 1], tile, o.blend, 3);
      faded[i].push(tile);
    }
  }
  return join(faded, o.keep);
}

function at([, c, h, w]: readonly number[], n: number, k: number, y: number, x: number): number {
  return ((n * c + k) * h + y) * w + x;
}

function fade(near: Map64, tile: Map64, blend: number, axis: 2 | 3): void {
  const extent = Math.min(near.shape[axis], tile.shape[axis], blend);
  const [n, c, h, w] = tile.shape;
  for (let i = 0; i < n * c; i++) {
    for (let y = 0; y < (axis === 2 ? extent : h); y++) {
      for (let x = 0; x < (axis === 3 ? extent : w); x++) {
        const share = (axis === 2 ? y : x) / extent;
        const behind = near.shape[axis] - extent;
        const from = at(near.shape, 0, i, y + (axis === 2 ? behind : 0), x + (axis === 3 ? behind : 0));
        const to = at(tile.shape, 0, i, y, x);
        tile.data[to] = near.data[from] * (1 - share) + tile.data[to] * share;
      }
    }
  }
}

function join(rows: readonly (readonly Map64[])[], keep: number): Map64 {
  const kept = (side: number): number => Math.min(side, keep);
  const [n, c] = rows[0][0].shape;
  const height = rows.reduce((sum, [first]) => sum + kept(first.shape[2]), 0);
  const width = rows[0].reduce((sum, tile) => sum + kept(tile.shape[3]), 0);
  const all = { data: new Float64Array(n * c * height * width), shape: [n, c, height, width] };
  let top = 0;
  for (const row of rows) {
    let left = 0;
    for (const tile of row) {
      for (let i = 0; i < n * c; i++) {
        for (let y = 0; y < kept(tile.shape[2]); y++) {
          for (let x = 0; x < kept(tile.shape[3]); x++) {
            all.data[at(all.shape, 0, i, top + y, left + x)] = tile.data[at(tile.shape, 0, i, y, x)];
          }
        }
      }
      left += kept(tile.shape[3]);
    }
    top += kept(row[0].shape[2]);
  }
  return all;
}
