import { describe, expect, test } from 'vitest';
import { Generator, maskFromMap } from '../../src/schedulers/index.ts';
import { loadNumbers } from '../support/scheduler-numbers.ts';

const flat = (values: number[]) => ({ data: Float32Array.from(values), shape: [1, 1, values.length] });

describe('maskFromMap', () => {
  test.each<{ seed: number; shape: number[]; ratio: number; batch: number[]; single: number[] }>(
    loadNumbers('mask').cases,
  )(
    'agrees with torch for shape $shape at ratio $ratio, over the batch and for each picture',
    ({ seed, shape, ratio, batch, single }) => {
      const size = shape[1] * shape[2];
      const data = new Generator(seed).randn(shape).map((v, i) => Math.abs(v) * (Math.floor(i / size) + 1));
      expect([...maskFromMap({ data, shape }, { ratio })]).toEqual(batch);
      expect([...maskFromMap({ data, shape }, { ratio, perImage: true })]).toEqual(single);
    },
  );

  test('sets what exceeds one and a half means at ratio 3, and not what equals it', () => {
    expect([...maskFromMap(flat([1, 1, 1.5, 0.5]))]).toEqual([0, 0, 0, 0]);
    expect([...maskFromMap(flat([0, 0, 1.75, 0.25]))]).toEqual([0, 0, 1, 0]);
  });

  test('sets everything where the map is zero or holds a NaN', () => {
    expect([...maskFromMap(flat([0, 0, 0]))]).toEqual([1, 1, 1]);
    expect([...maskFromMap(flat([0, Number.NaN, 5]))]).toEqual([1, 1, 1]);
  });

  test('lets the pictures of a batch change each other unless told otherwise', () => {
    const map = { data: Float32Array.of(1, 3, 100, 300), shape: [2, 1, 2] };
    expect([...maskFromMap(map, { ratio: 2 })]).toEqual([0, 0, 0, 1]);
    expect([...maskFromMap(map, { ratio: 2, perImage: true })]).toEqual([0, 1, 0, 1]);
  });

  test('refuses other shapes and ratios', () => {
    expect(() => maskFromMap({ data: new Float32Array(4), shape: [2, 2] })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: maskFromMap: the map is not [B, H, W]: got [2, 2]. Average channels and draws first; one picture is [1, H, W].]`,
    );
    expect(() => maskFromMap({ data: new Float32Array(4), shape: [1, 2, 3] })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: ndarray: shape [1, 2, 3] does not fit the data: expected 6 values, got 4]`,
    );
    expect(() => maskFromMap(flat([1]), { ratio: 0 })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: maskFromMap: the ratio is not above 0: got 0 (ratio). 3 is the usual value; a larger one gives a smaller mask.]`,
    );
  });
});
