/** Static memory planning: lifetimes to offsets in a few arenas. Pure numbers, tested without a GPU. */
import { alignUp } from '../core/shape.ts';

/** One value: alive from step `first` (written) to step `last` (read for the last time), both included. */
export interface Interval {
  readonly size: number;
  readonly first: number;
  readonly last: number;
  /** Indices of intervals that must lie in other arenas, because one dispatch writes this and reads those. */
  readonly apart: readonly number[];
}

export interface Placement {
  readonly arena: number;
  readonly offset: number;
}

export interface MemoryPlan {
  readonly placements: readonly Placement[];
  readonly arenaBytes: readonly number[];
}

/**
 * Colours values so that no dispatch reads and writes the same arena, then packs each arena: largest first, at the lowest
 * offset that is free throughout the lifetime (greedy best fit by size).
 *
 * @param maxArena arenas grow to at most this many bytes; more arenas are opened then
 */
export function planMemory(intervals: readonly Interval[], align: number, maxArena: number): MemoryPlan {
  const arenaOf = colour(intervals, maxArena);
  const placements: Placement[] = new Array(intervals.length);
  const arenaBytes: number[] = new Array(Math.max(0, ...arenaOf.map(a => a + 1))).fill(0);
  const order = intervals
    .map((_, i) => i)
    .sort((a, b) => (intervals[b]?.size ?? 0) - (intervals[a]?.size ?? 0) || a - b);
  const placed: number[] = [];
  for (const i of order) {
    const own = intervals[i] as Interval;
    const arena = arenaOf[i] as number;
    const taken = placed
      .filter(j => arenaOf[j] === arena && overlap(own, intervals[j] as Interval))
      .map(j => {
        const offset = (placements[j] as Placement).offset;
        return [offset, offset + (intervals[j] as Interval).size] as const;
      })
      .sort((a, b) => a[0] - b[0]);
    let offset = 0;
    for (const [from, to] of taken) {
      if (from - offset >= own.size) break;
      offset = Math.max(offset, alignUp(to, align));
    }
    placements[i] = { arena, offset };
    arenaBytes[arena] = Math.max(arenaBytes[arena] ?? 0, alignUp(offset + own.size, align));
    placed.push(i);
  }
  return { placements, arenaBytes };
}

function overlap(a: Interval, b: Interval): boolean {
  return a.first <= b.last && b.first <= a.last;
}

/** Gives each value the emptiest arena that none of its enemies lives in, in order of birth. */
function colour(intervals: readonly Interval[], maxArena: number): number[] {
  const enemies = intervals.map(() => new Set<number>());
  intervals.forEach((interval, i) => {
    for (const j of interval.apart) {
      enemies[i]?.add(j);
      enemies[j]?.add(i);
    }
  });
  const arenas: number[] = [];
  const arenaOf: number[] = new Array(intervals.length).fill(-1);
  const order = intervals.map((_, i) => i).sort((a, b) => (intervals[a]?.first ?? 0) - (intervals[b]?.first ?? 0));
  for (const i of order) {
    const own = intervals[i] as Interval;
    const forbidden = new Set([...(enemies[i] ?? [])].map(j => arenaOf[j]));
    const load = (arena: number) =>
      intervals.reduce((sum, other, j) => (arenaOf[j] === arena && overlap(own, other) ? sum + other.size : sum), 0);
    let best = -1;
    let bestLoad = Number.POSITIVE_INFINITY;
    for (let arena = 0; arena < arenas.length; arena++) {
      const bytes = load(arena);
      if (forbidden.has(arena) || bytes + own.size > maxArena || bytes >= bestLoad) continue;
      best = arena;
      bestLoad = bytes;
    }
    if (best < 0) {
      best = arenas.length;
      arenas.push(0);
    }
    arenaOf[i] = best;
  }
  return arenaOf;
}
