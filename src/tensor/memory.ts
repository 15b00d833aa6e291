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

/** A value with its place. */
interface Placed extends Interval {
  readonly offset: number;
}

/**
 * Packs values into arenas: largest first, then in order of birth, each where it lets the arenas grow least, at the lowest offset
 * that is free throughout its lifetime (greedy by size, as Pisarchyk & Lee 2020, Efficient Memory Management for Deep Neural Net
 * Inference, https://arxiv.org/abs/2001.03288). No dispatch reads and writes the same arena.
 *
 * @param maxArena arenas grow to at most this many bytes, or to one value that is larger; more arenas are opened then
 */
export function planMemory(intervals: readonly Interval[], align: number, maxArena: number): MemoryPlan {
  const enemies = enemiesOf(intervals);
  const arenas: { bytes: number; values: Placed[] }[] = [];
  const placements: (Placement | undefined)[] = new Array(intervals.length).fill(undefined);
  const order = intervals.map((value, i) => ({ value, i }));
  order.sort((a, b) => b.value.size - a.value.size || a.value.first - b.value.first || a.i - b.i);
  for (const { value, i } of order) {
    const forbidden = new Set([...(enemies[i] ?? [])].map(j => placements[j]?.arena));
    let best = { arena: arenas.length, offset: 0, growth: alignUp(value.size, align) };
    for (const [arena, { bytes, values }] of arenas.entries()) {
      if (forbidden.has(arena)) continue;
      const offset = freeOffset(value, values, align);
      const growth = Math.max(0, alignUp(offset + value.size, align) - bytes);
      if (offset + value.size <= Math.max(maxArena, bytes) && growth < best.growth) best = { arena, offset, growth };
    }
    const { arena, offset, growth } = best;
    const home = arenas[arena] ?? { bytes: 0, values: [] };
    arenas[arena] = home;
    home.bytes += growth;
    home.values.push({ ...value, offset });
    placements[i] = { arena, offset };
  }
  return { placements: placements.filter(p => p !== undefined), arenaBytes: arenas.map(a => a.bytes) };
}

/** The lowest offset at which a value meets none of those that live while it does. */
function freeOffset(own: Interval, values: readonly Placed[], align: number): number {
  const alive = values.filter(v => own.first <= v.last && v.first <= own.last).sort((a, b) => a.offset - b.offset);
  let offset = 0;
  for (const other of alive) {
    if (other.offset - offset >= own.size) break;
    offset = Math.max(offset, alignUp(other.offset + other.size, align));
  }
  return offset;
}

/** For each value those that must lie elsewhere, in both directions. */
function enemiesOf(intervals: readonly Interval[]): readonly ReadonlySet<number>[] {
  const enemies = intervals.map(() => new Set<number>());
  for (const [i, { apart }] of intervals.entries()) {
    for (const j of apart) {
      enemies[i]?.add(j);
      enemies[j]?.add(i);
    }
  }
  return enemies;
}
