import { describe, expect, it } from 'vitest';
import { alignUp } from '../../src/core/shape.ts';
import { cleanupWords, maskCleanup } from '../../src/kernels/mask-cleanup.ts';
import { cleanMask } from '../reference/mask-cleanup.ts';
import { testGpu } from '../support/gpu.ts';
import { expectRows, padRows, runBothWays, unpadRows } from '../support/rows.ts';
import { type Operand, randoms } from '../support/run-kernel.ts';

const lane0 = (values: ArrayLike<number>): Operand => ({ storage: 'f32', values: padRows(values, 1) });
const scratch = (images: number, height: number, width: number): Operand => ({
  words: new Uint32Array(images * alignUp(cleanupWords(height, width), 8)).fill(0x5a5a5a5a),
});

/** A picture of characters: # is set, anything else is not. */
const drawn = (lines: readonly string[]) => ({
  height: lines.length,
  width: lines[0].length,
  map: Float32Array.from(lines.join(''), c => (c === '#' ? 0.9 : 0.1)),
});

const clean = async (
  map: ArrayLike<number>,
  o: { height: number; width: number; lift?: boolean; threshold?: number },
) => {
  const gpu = await testGpu();
  const images = map.length / (o.height * o.width);
  const { mask } = await runBothWays(gpu, maskCleanup({ images, ...o }), {
    mask: lane0(map),
    labels: scratch(images, o.height, o.width),
  });
  return mask;
};
const lines = (mask: Float32Array, width: number) =>
  Array.from({ length: mask.length / width }, (_, y) =>
    Array.from(mask.subarray(y * width, (y + 1) * width), v => (v > 0 ? '#' : '.')).join(''),
  );

describe('mask clean-up', () => {
  it('closes gaps, fills holes and drops specks', async () => {
    const { map, ...size } = drawn([
      '..............',
      '.#####..#####.',
      '.#...#..#...#.',
      '.#.#.#..#...#.',
      '.#...#..#...#.',
      '.#####..#####.',
      '..............',
      '..............',
      '.............#',
      '....######....',
      '...........##.',
    ]);
    expect(lines(unpadRows(await clean(map, size), 1), size.width)).toEqual([
      '..............',
      '.############.',
      '.############.',
      '.############.',
      '.############.',
      '.############.',
      '..............',
      '..............',
      '..............',
      '..............',
      '..............',
    ]);
  });

  it('leaves bays that are open to the border, also by one place, and a hole behind a corner is one', async () => {
    const { map, ...size } = drawn([
      '#########..#########',
      '#.......#..#.......#',
      '#.......#..#.......#',
      '#.......#..#.......#',
      '#.......#..#.......#',
      '####...##..#.......#',
      '...................#',
      '###########........#',
    ]);
    const found = lines(unpadRows(await clean(map, size), 1), size.width);
    expect(found).toEqual(lines(Float32Array.from(cleanMask(map, size)), size.width));
    expect(found.join('')).toContain('.');
  });

  /** A winding corridor between walls of 3 pixels, the longest way through a picture; open to the border at its end or not. */
  const maze = (side: number, open: boolean): Float32Array =>
    Float32Array.from({ length: side * side }, (_, i) => {
      const [y, x] = [Math.floor(i / side), i % side];
      if (open && y >= side - 6 && y < side - 3 && x < 6) return 0;
      if (Math.min(y, x, side - 1 - y, side - 1 - x) < 3) return 1;
      const band = Math.floor(y / 3);
      if (band % 2 === 1) return 0;
      return Number(band % 4 === 0 ? x < side - 6 : x >= 6);
    });

  it.each([39, 45])('follows a corridor through %d pixels to its end', async side => {
    const size = { height: side, width: side };
    for (const open of [false, true]) {
      const map = maze(side, open);
      const found = unpadRows(await clean(map, size), 1);
      expect([...found]).toEqual([...cleanMask(map, size)]);
      expect(found.every(v => v === 1)).toBe(!open);
      // Turned over the corridor is one component.
      const turned = map.map(v => 1 - v);
      expect([...unpadRows(await clean(turned, size), 1)]).toEqual([...cleanMask(turned, size)]);
    }
  });

  for (const [images, height, width, threshold] of [
    [1, 1, 1, 0.5],
    [2, 1, 9, 0.2],
    [3, 16, 16, 0.5],
    [2, 15, 17, 0.35],
    [1, 33, 64, 0.65],
    [1, 50, 53, 0.6],
  ] as const) {
    it(`does with ${images} random maps of ${height} x ${width} above ${threshold} what floods do, lifted too`, async () => {
      const size = { height, width, threshold };
      const pixels = height * width;
      for (const seed of height > 40 ? [1] : [1, 2]) {
        const values = randoms(images * pixels, seed).map(Math.abs);
        // In patches, so that there is something to fill, but for the second.
        const map = values.map((v, i) => {
          const [y, x] = [Math.floor(i / width), i % width];
          return seed === 2 ? v : values[3 * Math.floor(y / 3) * width + x - (x % 3)];
        });
        const each = (lift: boolean) =>
          Array.from({ length: images }, (_, n) => [
            ...cleanMask(map.subarray(n * pixels, (n + 1) * pixels), { ...size, lift }),
          ]).flat();
        expect([...unpadRows(await clean(map, size), 1)]).toEqual(each(false));
        expectRows(await clean(map, { ...size, lift: true }), Float64Array.from(each(true)), 1, 1e-6);
      }
    });
  }

  it('keeps components of just 15 % of the largest, and drops those below', async () => {
    const width = 46;
    const map = Float32Array.from({ length: 9 * width }, (_, i) => {
      const [y, x] = [Math.floor(i / width), i % width];
      if (y === 0) return Number(x < 40);
      if (y === 4) return Number(x < 6);
      return y === 8 ? Number(x < 5) : 0;
    });
    const found = unpadRows(await clean(map, { height: 9, width }), 1);
    const count = (y: number) => found.subarray(y * width, (y + 1) * width).reduce((a, b) => a + b, 0);
    expect([0, 4, 8].map(count)).toEqual([40, 6, 0]);
  });

  it('has nothing to do with masks of one kind', async () => {
    for (const v of [0, 1]) {
      const map = new Float32Array(12 * 20).fill(v);
      for (const lift of [false, true]) {
        expect([...unpadRows(await clean(map, { height: 12, width: 20, lift }), 1)]).toEqual([...map]);
      }
    }
  });

  it('refuses no pixels, and a threshold that is no number', () => {
    expect(() => maskCleanup({ images: 1, height: 0, width: 4 })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: mask-cleanup: a size must be a positive integer: got 0 (height)]`,
    );
    expect(() =>
      maskCleanup({ images: 1, height: 4, width: 4, threshold: Number.NaN }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[InputError: mask-cleanup: the threshold must be a number: got NaN (threshold)]`,
    );
  });
});
