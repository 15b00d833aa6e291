import { expect, test } from 'vitest';
import { bucketsByDistance, relativeBucket } from '../../../src/models/t5/relative-buckets.ts';

const sizes = { buckets: 32, maxDistance: 128 };

/** First distance of each class from 8 (both ways) or 16 (causal) on. */
const BOTH = [8, 12, 16, 23, 32, 46, 64, 91];
const CAUSAL = [16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113];

const classOf = (distance: number, starts: readonly number[], exact: number) =>
  distance < exact ? distance : exact - 1 + starts.filter(start => distance >= start).length;

test('both ways: 8 exact distances, then 8 classes, keys behind the query in the upper half', () => {
  for (let d = 0; d < 2000; d++) {
    const expected = classOf(d, BOTH, 8);
    expect(relativeBucket(-d, { bidirectional: true, ...sizes }), `${-d}`).toBe(expected);
    if (d > 0) expect(relativeBucket(d, { bidirectional: true, ...sizes }), `${d}`).toBe(16 + expected);
  }
  const some = [0, 1, -1, 100, -100].map(offset => relativeBucket(offset, { bidirectional: true, ...sizes }));
  expect(some).toEqual([0, 17, 1, 31, 15]);
});

test('causal: 16 exact distances, then 16 classes, keys behind the query in class 0', () => {
  for (let d = 0; d < 2000; d++) {
    expect(relativeBucket(-d, { bidirectional: false, ...sizes }), `${-d}`).toBe(classOf(d, CAUSAL, 16));
    expect(relativeBucket(d, { bidirectional: false, ...sizes })).toBe(0);
  }
});

test('other sizes, as torch gives them in single precision', () => {
  // transformers 4.57.6, T5Attention._relative_position_bucket of -arange(0, 40, 3)
  const offsets = Array.from({ length: 14 }, (_, i) => -3 * i);
  const of = (bidirectional: boolean, buckets: number, maxDistance: number) =>
    offsets.map(offset => relativeBucket(offset, { bidirectional, buckets, maxDistance }));
  expect(of(true, 8, 20)).toEqual(TORCH.a);
  expect(of(false, 8, 64)).toEqual(TORCH.b);
  expect(of(false, 64, 256)).toEqual(TORCH.c);
});

test('a table covers all distances between positions', () => {
  const options = { bidirectional: true, ...sizes };
  expect(bucketsByDistance(3, options)).toEqual([-2, -1, 0, 1, 2].map(offset => relativeBucket(offset, options)));
  expect(bucketsByDistance(1, options)).toEqual([0]);
});

const TORCH = {
  a: [0, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3],
  b: [0, 3, 4, 5, 5, 5, 6, 6, 6, 6, 6, 7, 7, 7],
  c: [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 32, 33, 35],
};
