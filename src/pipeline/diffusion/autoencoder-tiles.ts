/** Maps that go through the autoencoder by tiles: each fades into its neighbours on the device, where nothing but their edges is kept. */
import type { NdArray } from '../../core/ndarray.ts';
import { dim } from '../../core/shape.ts';
import { cutTile, type Tile, type Tiling } from '../../models/stable-diffusion/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import { blendEdges, copyCrop } from '../../tensor/ops/tiles.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { TensorScope } from '../runtime/device-memory.ts';

/** What is done with a tile. */
export interface TileWork {
  /** Runs the network: f32 [N, C, h', w'] of [N, C, h, w], which may change. */
  readonly run: (tile: NdArray) => Promise<DeviceTensor>;
  /** Takes of a tile that has faded in what is kept of it; `at` is its place among all. The tile is gone afterwards. */
  readonly take: (tile: DeviceTensor, at: Tile) => void | Promise<void>;
  /** Told how many are done. */
  readonly onTile?: ((done: number) => void) | undefined;
}

/** Last rows of tiles, by the number of their column, and last columns of the tile to the left. */
interface Edges {
  readonly above: (DeviceTensor | undefined)[];
  left: DeviceTensor | undefined;
  /** Memory for the columns; rows of tiles share it. */
  columns: DeviceTensor | undefined;
}

/**
 * Runs a network on the tiles of a map, row by row, and fades each result into the ones above and to the left of it, as they came out of their
 * own fading.
 * @param map [N, C, H, W]
 * @see diffusers AutoencoderKL.tiled_encode, tiled_decode
 */
export async function byTiles(call: DeviceCall, map: NdArray, tiling: Tiling, work: TileWork): Promise<void> {
  const scope = call.memory.scope();
  const edges: Edges = { above: [], left: undefined, columns: undefined };
  let [top, done] = [0, 0];
  try {
    for (const [i, row] of tiling.rows.entries()) {
      let left = 0;
      let height = 0;
      edges.left = undefined;
      for (const [j, tile] of row.entries()) {
        call.check();
        const result = await work.run(cutTile(map, tile));
        const last = { down: i === tiling.rows.length - 1, right: j === row.length - 1 };
        await fade(call, scope, result, { edges, column: j, blend: tiling.blend, last });
        const at = { top, left, ...keptOf(result, tiling) };
        await work.take(result, at);
        work.onTile?.(++done);
        left += at.width;
        height = at.height;
      }
      top += height;
    }
  } finally {
    scope.dispose();
  }
}

/** How many tiles there are. */
export function tilesIn({ rows }: Tiling): number {
  return rows.reduce((sum, row) => sum + row.length, 0);
}

/** Sides of all results together. */
export function joinedSides(tiling: Tiling, scale: number): { readonly height: number; readonly width: number } {
  const sum = (sides: readonly number[]): number =>
    sides.reduce((all, side) => all + Math.min(tiling.keep, Math.floor(side * scale)), 0);
  return {
    height: sum(tiling.rows.map(([first]) => first?.height ?? 0)),
    width: sum((tiling.rows[0] ?? []).map(tile => tile.width)),
  };
}

function keptOf({ shape }: DeviceTensor, { keep }: Tiling): { readonly height: number; readonly width: number } {
  return { height: Math.min(dim(shape, 2), keep), width: Math.min(dim(shape, 3), keep) };
}

/** Fades a tile in and keeps the edges that its neighbours below and to the right need. */
async function fade(
  call: DeviceCall,
  scope: TensorScope,
  tile: DeviceTensor,
  o: {
    readonly edges: Edges;
    readonly column: number;
    readonly blend: number;
    readonly last: { readonly down: boolean; readonly right: boolean };
  },
): Promise<void> {
  const { edges, column, blend, last } = o;
  const [images, channels, height, width] = tile.shape as [number, number, number, number];
  const { left } = edges;
  const above = edges.above[column];
  const edge = (old: DeviceTensor | undefined, rows: number, columns: number): DeviceTensor => {
    const shape = [images, channels, rows, columns];
    return old?.shape.join() === shape.join() ? old : scope.tensor(shape, 'float32', 'edge of a tile');
  };
  const [rows, columns] = [Math.min(blend, height), Math.min(blend, width)];
  const below = last.down || rows === 0 ? undefined : edge(above, rows, width);
  const right = last.right || columns === 0 ? undefined : edge(edges.columns, height, columns);
  edges.above[column] = below;
  edges.left = right;
  edges.columns = right ?? edges.columns;
  if (!above && !left && !below && !right) return;
  await call.effect('blend tiles', graph => {
    const own = graph.input(tile);
    if (above) blendEdges(own, graph.input(above), 'above', Math.min(dim(above.shape, 2), rows));
    if (left) blendEdges(own, graph.input(left), 'left', Math.min(dim(left.shape, 3), columns));
    const start = { image: 0, top: 0, left: 0 };
    if (below) copyCrop(own, { top: height - rows, left: 0, height: rows, width }, graph.input(below), start);
    if (right) copyCrop(own, { top: 0, left: width - columns, height, width: columns }, graph.input(right), start);
  });
}
