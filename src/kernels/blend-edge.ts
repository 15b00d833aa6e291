import source from '../../wgsl/blend-edge.wgsl';
import { ShapeError } from '../core/errors.ts';
import { ceilDiv } from '../core/shape.ts';
import type { KernelCall } from './kernel.ts';
import { type RowRange, requirePitch, requireSizes, rowBinding } from './rows.ts';

/** Height and width of maps, in pixels. */
export interface MapSides {
  /** Rows of pixels. */
  readonly height: number;
  /** Pixels of a row. */
  readonly width: number;
}

/** Tiles, and the neighbours that they fade in from. */
export interface BlendEdgeProblem {
  /** N: tiles, and neighbours. */
  readonly images: number;
  /** Elements of a pixel, of both. */
  readonly pitch: number;
  /** Sides of a tile. */
  readonly tile: MapSides;
  /** Sides of the neighbour, or of what is left of it: its last rows or columns. */
  readonly near: MapSides;
  /** `above`: the first rows fade in from the neighbour's last ones; `left`: the first columns. */
  readonly from: 'above' | 'left';
  /** Rows or columns that fade; no more than tile and neighbour have. */
  readonly extent: number;
}

const WORKGROUP = 64;

/**
 * tile = near (1 - w) + tile w over the first `extent` rows or columns, w = 0, 1 / extent ... Bindings: tile f32 [N, H, W, pitch], near
 * f32 [N, h, w, pitch].
 *
 * @throws ShapeError for bad sizes or pitch, and for sides that do not meet
 * @see diffusers AutoencoderKL.blend_v, blend_h
 */
export function blendEdge({ images, pitch, tile, near, from, extent }: BlendEdgeProblem): KernelCall {
  const op = 'blend-edge';
  requireSizes(op, { images, extent, 'tile.height': tile.height, 'tile.width': tile.width });
  requireSizes(op, { 'near.height': near.height, 'near.width': near.width });
  requirePitch(op, 'tile', { width: pitch, pitch });
  const down = from === 'above';
  const region = down ? { height: extent, width: tile.width } : { height: tile.height, width: extent };
  const meets = down ? near.width === tile.width : near.height === tile.height;
  const [top, left] = down ? [near.height - extent, 0] : [0, near.width - extent];
  if (!meets || top < 0 || left < 0 || region.height > tile.height || region.width > tile.width) {
    const problem = `the sides of a tile and of its neighbour ${down ? 'above' : 'to the left'} do not meet`;
    throw new ShapeError({ op, problem, received: { tile, near, extent } });
  }
  const columns = pitch / 4;
  const count = images * region.height * region.width * columns;
  // Pixels go in one order through the region and through what it lies in.
  const pixels =
    (whole: MapSides, top: number, left: number): RowRange =>
    (first, end) => {
      const place = (item: number): number => {
        const pixel = Math.floor(item / columns);
        const line = Math.floor(pixel / region.width);
        const row = Math.floor(line / region.height) * whole.height + top + (line % region.height);
        return row * whole.width + left + (pixel % region.width);
      };
      return [place(first * WORKGROUP), place(Math.min(count, end * WORKGROUP) - 1) + 1];
    };
  const side = { pitch, storage: 'f32' } as const;
  return {
    kernel: op,
    source,
    libs: [],
    values: {},
    bindings: [
      rowBinding('tile', 'update', side, 'tile_base', pixels(tile, 0, 0)),
      rowBinding('near', 'read', side, 'near_base', pixels(near, top, left)),
    ],
    params: {
      ...{ count, columns, region_h: region.height, region_w: region.width, down: down ? 1 : 0 },
      ...{ tile_h: tile.height, tile_w: tile.width, near_h: near.height, near_w: near.width },
      ...{ near_top: top, near_left: left },
    },
    tiles: ceilDiv(count, WORKGROUP),
    cost: { flops: count * 4 * 3, bytes: count * 48 },
  };
}
