import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Interval, planMemory } from '../../src/tensor/memory.ts';

const intervals = fc
  .array(
    fc.record({ size: fc.integer({ min: 1, max: 5000 }), first: fc.nat(30), length: fc.nat(10), enemy: fc.nat(40) }),
    { maxLength: 40 },
  )
  .map(rows =>
    rows.map(
      (r, i): Interval => ({
        size: r.size,
        first: r.first,
        last: r.first + r.length,
        apart: r.enemy < i ? [r.enemy] : [],
      }),
    ),
  );

const alive = (a: Interval, b: Interval) => a.first <= b.last && b.first <= a.last;

describe('planMemory', () => {
  it('never overlaps two values that live at once, keeps enemies apart, aligns, and stays inside its arenas', () => {
    fc.assert(
      fc.property(intervals, values => {
        const { placements, arenaBytes } = planMemory(values, 256, 1e6);
        values.forEach((a, i) => {
          const pa = placements[i];
          expect(pa.offset % 256).toBe(0);
          expect(pa.offset + a.size).toBeLessThanOrEqual(arenaBytes[pa.arena]);
          for (const enemy of a.apart) expect(placements[enemy].arena).not.toBe(pa.arena);
          values.slice(0, i).forEach((b, j) => {
            const pb = placements[j];
            if (pa.arena !== pb.arena || !alive(a, b)) return;
            expect(pa.offset + a.size <= pb.offset || pb.offset + b.size <= pa.offset).toBe(true);
          });
        });
      }),
      { seed: 7, numRuns: 300 },
    );
  });

  it('runs a chain in two arenas of the largest value', () => {
    const chain: Interval[] = [100, 256, 512, 300].map((size, i) => ({
      size,
      first: i,
      last: i + 1,
      apart: i > 0 ? [i - 1] : [],
    }));
    expect(planMemory(chain, 256, 1e6).arenaBytes).toEqual([512, 512]);
  });

  it('opens another arena rather than one larger than the limit', () => {
    const both: Interval[] = [
      { size: 600, first: 0, last: 1, apart: [] },
      { size: 600, first: 0, last: 1, apart: [] },
    ];
    expect(planMemory(both, 256, 1000).arenaBytes).toEqual([768, 768]);
    // A free arena grows within the limit; a value beyond it has one of its own.
    const three: Interval[] = [
      { size: 512, first: 0, last: 1, apart: [] },
      { size: 512, first: 1, last: 2, apart: [0] },
      { size: 700, first: 3, last: 3, apart: [] },
    ];
    expect(planMemory(three, 256, 1000).arenaBytes).toEqual([768, 512]);
    expect(planMemory([{ size: 3000, first: 0, last: 0, apart: [] }], 256, 1000).arenaBytes).toEqual([3072]);
  });

  it('plans nothing for nothing', () => {
    expect(planMemory([], 256, 1000)).toEqual({ placements: [], arenaBytes: [] });
  });
});
