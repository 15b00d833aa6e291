import { describe, expect, test } from 'vitest';
import type { StreamableWeight } from '../../src/tensor/weight-stream.ts';
import { residents, type Seat, seatWeights, stretchesOf } from '../../src/tensor/weight-stretches.ts';

describe('seats', () => {
  test('fill a slot, then the other one, in the order of the weights', () => {
    const { seats, slotBytes } = seatWeights([256, 512, 512, 256, 768, 256], 768);
    expect(seats.map(s => [s.group, s.slot, s.offset, s.bytes])).toEqual([
      [0, 0, 0, 256],
      [0, 0, 256, 512],
      [1, 1, 0, 512],
      [1, 1, 512, 256],
      [2, 0, 0, 768],
      [3, 1, 0, 256],
    ]);
    expect(slotBytes).toEqual([768, 768]);
  });

  test('a weight that exceeds a slot gets one as large as itself; few weights need one slot or none', () => {
    expect(seatWeights([256, 4096, 256], 512).slotBytes).toEqual([256, 4096]);
    expect(seatWeights([256, 256], 512).slotBytes).toEqual([512]);
    expect(seatWeights([], 512)).toEqual({ seats: [], slotBytes: [] });
  });

  test('weights that stay are spread over all of them, and never exceed their bytes', () => {
    const sizes = [100, 100, 100, 100, 100, 100, 100, 100];
    expect(residents(sizes, 0)).not.toContain(true);
    expect(residents(sizes, 400).map(Number).join('')).toBe('01010101');
    expect(residents(sizes, 399).filter(Boolean)).toHaveLength(3);
    expect(residents(sizes, 800)).not.toContain(false);
    expect(residents(sizes, 1e9)).not.toContain(false);
    expect(residents([], 5)).toEqual([]);
  });
});

describe('stretches', () => {
  const weight = (path: string): StreamableWeight => ({ path, stream: undefined });
  const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map(weight) as [StreamableWeight, ...StreamableWeight[]];
  /** Groups 0 and 2 share a slot; d is always there. */
  const seats = new Map<StreamableWeight | undefined, Seat>([
    [a, { group: 0, slot: 0, offset: 0, bytes: 8 }],
    [b, { group: 1, slot: 1, offset: 0, bytes: 4 }],
    [e, { group: 1, slot: 1, offset: 4, bytes: 4 }],
    [c, { group: 2, slot: 0, offset: 0, bytes: 8 }],
  ]);
  const cut = (reads: (readonly [number, ...(StreamableWeight | undefined)[]])[], dispatches: number, most = 6) =>
    stretchesOf(
      reads.map(([first, ...weights]) => ({ first, weights: weights as StreamableWeight[] })),
      dispatches,
      w => seats.get(w),
      most,
    ).map(s => [s.group, s.weights.map(w => w.path).join(''), s.from, s.to]);

  test('begin where a weight is read that is not there', () => {
    const reads = [
      [1, a],
      [2, d],
      [4, b],
      [6, a, b],
      [7, c],
      [9, e],
      [10, b],
    ] as const;
    expect(cut([...reads], 12)).toEqual([
      [undefined, '', 0, 1],
      [0, 'a', 1, 4],
      [1, 'b', 4, 7],
      [2, 'c', 7, 9],
      [1, 'e', 9, 12],
    ]);
  });

  test('bring small weights of a group together, as many as may', () => {
    const reads = [
      [0, b],
      [1, d],
      [2, e],
    ] as const;
    expect(cut([...reads], 3, 7)).toEqual([
      [1, 'b', 0, 2],
      [1, 'e', 2, 3],
    ]);
    expect(cut([...reads], 3, 8)).toEqual([[1, 'be', 0, 3]]);
  });

  test('bring a weight again that another group has replaced', () => {
    const reads = [
      [0, a],
      [1, c],
      [2, a],
    ] as const;
    expect(cut([...reads], 3, 100)).toEqual([
      [0, 'a', 0, 1],
      [2, 'c', 1, 2],
      [0, 'a', 2, 3],
    ]);
  });

  test('two groups of one dispatch come before it', () => {
    expect(cut([[3, a, b]], 5)).toEqual([
      [undefined, '', 0, 3],
      [0, 'a', 3, 3],
      [1, 'b', 3, 5],
    ]);
  });

  test('a dispatch that reads two groups of one slot is refused', () => {
    expect(() => cut([[0, a, c]], 1)).toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: streaming: one operation reads two weights that take each other’s place on the device: got [a, c]. Stream with larger slots, or keep the weights on the device.]`,
    );
  });
});
