/** Tiles of maps that fade into each other, as recorded nodes with effects on DeviceTensors. */
import { blendEdge } from '../../kernels/blend-edge.ts';
import { copy } from '../../kernels/copy.ts';
import type { Tensor } from '../tensor.ts';
import { EffectNode } from './effect.ts';

/**
 * Records that the first rows (`above`) or columns (`left`) of tiles fade in from the last ones of their neighbours, in place.
 * @param tile f32 [N, C, H, W]
 * @param near f32 [N, C, h, w]: the neighbours, or their last rows or columns alone
 * @param extent rows or columns that fade
 */
export function blendEdges(tile: Tensor, near: Tensor, from: 'above' | 'left', extent: number): void {
  const sides = (map: Tensor) => ({ height: map.dim(2), width: map.dim(3) });
  const problem = { images: tile.dim(0), pitch: tile.pitch, tile: sides(tile), near: sides(near), from, extent };
  tile.graph.effect(new EffectNode({ tile, near }, () => blendEdge(problem)));
}

/** A place in a map, and what it is the upper left corner of. */
export interface Crop {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/**
 * Records the copy of a rectangle of maps.
 * @param from [N, C, h, w], of which `crop` is copied
 * @param into [M, C, H, W] of the same channels, from image `at.image` on; what lies around the rectangle stays
 */
export function copyCrop(
  from: Tensor,
  crop: Crop,
  into: Tensor,
  at: { readonly image: number; readonly top: number; readonly left: number },
): void {
  const { graph } = into;
  for (let n = 0; n < from.dim(0); n++) {
    const row = (map: Tensor, image: number, top: number, left: number): number =>
      (image * map.dim(2) + top) * map.dim(3) + left;
    const node = new EffectNode({ x1: from, x2: from, y: into }, l =>
      copy({
        rows: crop.height * crop.width,
        itemRows: crop.width,
        sources: [{ channels: from.width, pitch: from.pitch }],
        storage: l.storage(from.dtype),
        y: { pitch: into.pitch, storage: l.storage(into.dtype) },
        source: { first: row(from, n, crop.top, crop.left), stride: from.dim(3) },
        target: { first: row(into, at.image + n, at.top, at.left), stride: into.dim(3) },
      }),
    );
    graph.effect(node);
  }
}
