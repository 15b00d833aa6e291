/** Successive halving finds what exhaustive timing finds, and a gain is one only beyond its error; layouts of weights by sums of times. */
import { describe, expect, it } from 'vitest';
import { settledLayout } from '../../src/tuning/layouts.ts';
import { gainOf, median, race } from '../../src/tuning/race.ts';
import { randoms } from '../support/run-kernel.ts';

/** Runners of known costs, with noise of so many parts of one. */
function runners(costs: readonly number[], noise: number, seed: number) {
  const random = randoms(10_000, seed);
  let at = 0;
  let taken = 0;
  const all = costs.map((cost, i) => ({
    name: `${i}`,
    sample: async (times: number): Promise<number> => {
      taken += cost * times;
      return cost * (1 + noise * (random[at++ % random.length] ?? 0));
    },
  }));
  return { all, taken: () => taken };
}

describe('a race', () => {
  const costs = [5, 4.2, 9, 4, 30, 7, 6, 8, 11, 4.9, 5.2, 14];

  it('ends with the best and the one that stays, at a fraction of what all rounds would take', async () => {
    for (let seed = 1; seed < 20; seed++) {
      const fast = runners(costs, 0.02, seed);
      const last = await race(fast.all, fast.all[4], { sampleMs: 20, samples: 9 });
      expect(last[0]?.runner.name).toBe('3');
      expect(last.map(({ runner }) => runner.name)).toContain('4');
      const slow = runners(costs, 0.02, seed);
      const all = await race(slow.all, slow.all[4], { sampleMs: 20, samples: 9, exhaustive: true });
      expect(all).toHaveLength(costs.length);
      expect(all[0]?.runner.name).toBe('3');
      expect(fast.taken()).toBeLessThan(slow.taken() / 1.5);
    }
  });

  it('sums short runs up to a sample', async () => {
    const asked: number[] = [];
    const short = {
      name: 'short',
      sample: async (times: number) => {
        asked.push(times);
        return 0.1;
      },
    };
    await race([short], short, { sampleMs: 20, samples: 2 });
    expect(asked[0]).toBe(1);
    expect(Math.max(...asked)).toBe(200);
  });

  it('takes the middle', () => {
    expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
  });
});

describe('a gain', () => {
  it('is told with its error', () => {
    const slow = [10, 10.1, 9.9, 10, 10.2, 9.8, 10, 10, 10];
    const sure = gainOf(
      slow.map(ms => ms * 0.9),
      slow,
    );
    expect(sure.share).toBeCloseTo(0.1);
    expect(sure.error).toBeLessThan(1e-9);
    const none = gainOf([9, 11, 10.5, 9.2, 10, 11, 9, 10.1, 9.9], slow);
    expect(none.share - 2 * none.error).toBeLessThan(0.01);
    expect(none.error).toBeGreaterThan(0.01);
  });
});

describe('the layout of a weight that several problems read', () => {
  const of = (panels: readonly (number | undefined)[], rows: readonly (number | undefined)[]) =>
    new Map([
      ['panels', panels],
      ['rows', rows],
    ] as const);

  it('is that of the least time in all, if it saves 3 %', () => {
    expect(settledLayout('panels', of([10, 1], [5, 2]))).toBe('rows');
    expect(settledLayout('panels', of([10, 1], [5, 7]))).toBe('panels');
    expect(settledLayout('panels', of([10, 1], [9.9, 0.9]))).toBe('panels');
    expect(settledLayout('rows', of([10, 1], [9.9, 0.9]))).toBe('rows');
  });

  it('is one that serves all of them', () => {
    expect(settledLayout('panels', of([10, 10], [1, undefined]))).toBe('panels');
    expect(settledLayout('panels', new Map([['panels', [1]]]))).toBe('panels');
  });
});
