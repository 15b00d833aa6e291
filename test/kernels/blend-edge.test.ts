import { describe, expect, it } from 'vitest';
import { blendEdge } from '../../src/kernels/blend-edge.ts';
import { maxError } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { padRows, runBothWays, unpadRows } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';

interface Sides {
  readonly height: number;
  readonly width: number;
}
const sides = (height: number, width: number): Sides => ({ height, width });

/** The first rows or columns of tiles [N, H, W, C] faded in, in f64; the rest as it was. */
function faded(
  tile: ArrayLike<number>,
  near: ArrayLike<number>,
  o: { channels: number; tile: Sides; near: Sides; from: 'above' | 'left'; extent: number },
): Float64Array {
  const { channels, from, extent } = o;
  return Float64Array.from(tile, (value, i) => {
    const pixel = Math.floor(i / channels);
    const [x, line] = [pixel % o.tile.width, Math.floor(pixel / o.tile.width)];
    const [y, image] = [line % o.tile.height, Math.floor(line / o.tile.height)];
    const at = from === 'above' ? y : x;
    if (at >= extent) return value;
    const top = from === 'above' ? o.near.height - extent : 0;
    const left = from === 'left' ? o.near.width - extent : 0;
    const other = near[((image * o.near.height + top + y) * o.near.width + left + x) * channels + (i % channels)];
    return other * (1 - at / extent) + (value * at) / extent;
  });
}

describe('blend-edge', () => {
  it.each([
    ['above', 1, 3, sides(1, 1), sides(1, 1), 1],
    ['above', 2, 3, sides(7, 13), sides(3, 13), 3],
    ['above', 1, 8, sides(9, 65), sides(9, 65), 4],
    ['above', 3, 10, sides(5, 3), sides(2, 3), 2],
    ['left', 2, 3, sides(13, 7), sides(13, 3), 3],
    ['left', 1, 4, sides(31, 5), sides(31, 9), 5],
    ['left', 2, 12, sides(3, 4), sides(3, 4), 1],
  ] as const)('%s: %i images of %i channels', async (from, images, channels, tile, near, extent) => {
    const gpu = await testGpu();
    const own = randoms(images * tile.height * tile.width * channels, 1);
    const other = randoms(images * near.height * near.width * channels, 2);
    const pitch = Math.ceil(channels / 8) * 8;
    const result = await runBothWays(gpu, blendEdge({ images, pitch, tile, near, from, extent }), {
      tile: { storage: 'f32', values: padRows(own, channels) },
      near: { storage: 'f32', values: padRows(other, channels) },
    });
    const expected = faded(own, other, { channels, tile, near, from, extent });
    expect(maxError(unpadRows(result.tile, channels), expected)).toBeLessThan(1e-6);
  });

  it('refuses sides that do not meet', () => {
    const problem = { images: 1, pitch: 8, tile: sides(4, 4), from: 'above' as const };
    expect(() => blendEdge({ ...problem, near: sides(4, 5), extent: 2 })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: blend-edge: the sides of a tile and of its neighbour above do not meet: got {"tile":{"height":4,"width":4},"near":{"height":4,"width":5},"extent":2}]`,
    );
    expect(() => blendEdge({ ...problem, near: sides(1, 4), extent: 2 })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: blend-edge: the sides of a tile and of its neighbour above do not meet: got {"tile":{"height":4,"width":4},"near":{"height":1,"width":4},"extent":2}]`,
    );
    expect(() => blendEdge({ ...problem, near: sides(9, 4), extent: 5 })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: blend-edge: the sides of a tile and of its neighbour above do not meet: got {"tile":{"height":4,"width":4},"near":{"height":9,"width":4},"extent":5}]`,
    );
  });
});
