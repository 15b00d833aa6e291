/** Listings whose loops are stretches of lines: a label, and further down a jump back to it. */
import { type Counts, type Listing, type Loop, listingOf, noCounts } from './counts.ts';

/** How a compiler writes. */
export interface Dialect {
  /** A label, its name captured. */
  readonly label: RegExp;
  /** A jump, the label's name captured. */
  readonly jump: RegExp;
  count(counts: Counts, line: string): void;
  /** Whether a line loads from global memory. */
  loads(line: string): boolean;
  /** How many of the loads under way may still be after this line; undefined where it waits for none. */
  waits(line: string): number | undefined;
  /** How often a loop of these lines is run. */
  times(lines: readonly string[]): number | undefined;
}

interface Range {
  readonly label: string;
  readonly from: number;
  readonly to: number;
}

/** Stretches that end with a jump back to where they begin; ways back to one place are one loop. */
function rangesOf(lines: readonly string[], { label: isLabel, jump }: Dialect): Range[] {
  const labels = new Map<string, number>();
  lines.forEach((line, i) => {
    const label = isLabel.exec(line)?.[1];
    if (label) labels.set(label, i);
  });
  const ranges = new Map<number, Range>();
  lines.forEach((line, to) => {
    const label = jump.exec(line)?.[1] ?? '';
    const from = labels.get(label);
    if (from === undefined || from > to) return;
    ranges.set(from, { label, from, to: Math.max(to, ranges.get(from)?.to ?? 0) });
  });
  return [...ranges.values()];
}

/** Without the lines of the ranges inside. */
function ownLines(lines: readonly string[], { from, to }: Range, inside: readonly Range[]): string[] {
  return lines.filter((_, i) => i >= from && i <= to && !inside.some(one => i >= one.from && i <= one.to));
}

/** Loads that come in the order in which they went out. */
class LoadsUnderWay {
  /** The longest chain of loads, each of which went out when the one before it had come. */
  trips = 0;
  #arrived = 0;
  #places: number[] = [];

  /** Another pass begins. */
  turn(): void {
    this.trips = 0;
    this.#arrived = 0;
    this.#places = this.#places.map(() => 0);
  }

  load(): void {
    this.#places.push(this.#arrived + 1);
    this.trips = Math.max(this.trips, this.#arrived + 1);
  }

  /** Until no more than `left` are under way. */
  wait(left: number): void {
    while (this.#places.length > left) this.#arrived = Math.max(this.#arrived, this.#places.shift() ?? 0);
  }
}

function countLines(lines: readonly string[], dialect: Dialect): Counts {
  const counts = noCounts();
  for (const line of lines) dialect.count(counts, line);
  return counts;
}

/** Round trips of one pass: what the pass before it left under way is none of its own. */
function tripsOf(lines: readonly string[], dialect: Dialect): number {
  const underWay = new LoadsUnderWay();
  const pass = (): void => {
    for (const line of lines) {
      const left = dialect.waits(line);
      if (left !== undefined) underWay.wait(left);
      if (dialect.loads(line)) underWay.load();
    }
  };
  pass();
  underWay.turn();
  pass();
  return underWay.trips;
}

/** What the lines of a program say. */
export function readLines(lines: readonly string[], dialect: Dialect): Listing {
  // The innermost first, so that each finds those inside it.
  const ranges = rangesOf(lines, dialect).sort((a, b) => a.to - a.from - (b.to - b.from));
  const loops = new Map<Range, Loop>();
  for (const range of ranges) {
    const inside = [...loops.keys()].filter(one => one.from >= range.from && one.to <= range.to);
    const own = ownLines(lines, range, inside);
    const trips = tripsOf(own, dialect);
    loops.set(range, {
      label: range.label,
      inner: inside.flatMap(one => loops.get(one) ?? []),
      own: { ...countLines(own, dialect), trips, queued: trips },
      times: dialect.times(own),
      text: lines.slice(range.from, range.to + 1),
    });
  }
  return listingOf(countLines(lines, dialect), [...loops.values()]);
}
