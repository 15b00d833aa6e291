/** What a piece of a driver's machine code consists of: the same counts for every maker's cards. */

/** Instructions of one wave, by kind. Kinds that a card does not have stay 0. */
export interface Counts {
  /** All, but for hints to the scheduler. */
  instructions: number;
  /** Of the vector unit, of any kind; products of matrices are not among them on NVIDIA's cards. */
  vector: number;
  /** f32 (or single f16) multiply-adds; those that take f16 operands as they are (mixed) are among them. */
  fma: number;
  /** Pairs of f16 in one instruction. */
  packed: number;
  /** Dot products of two pairs. */
  dot: number;
  /** Products of matrix fragments. */
  matrix: number;
  /** Multiply-adds of one matrix product, of the whole wave. */
  matrixFma: number;
  /** Pairs of vector instructions that are issued as one. */
  dual: number;
  /** Conversions between types, mixed multiply-adds by one among them. */
  conversions: number;
  /** Exponentials, roots and reciprocals. */
  special: number;
  /** Selections and clamps of integers, which bounds checks are made of. */
  selections: number;
  /** Moves between registers. */
  moves: number;
  ldsReads: number;
  /** Bytes a lane. */
  ldsReadBytes: number;
  ldsWrites: number;
  /** Bytes a lane. */
  ldsWriteBytes: number;
  globalLoads: number;
  /** Bytes a lane. */
  globalLoadBytes: number;
  globalStores: number;
  /** Reads and writes of registers that are kept in memory. */
  scratch: number;
  /** Waits for memory. */
  waits: number;
  barriers: number;
  branches: number;
  /** Sum of the clocks for which the compiler lets the wave rest, where it says so (NVIDIA). */
  cycles: number;
  /** Round trips to global memory that follow one another: the longest chain of loads, each issued when the one before it had come. */
  trips: number;
  /** The same with loads that the compiler lets wait for another's scoreboard (NVIDIA, which has six); at least `trips`. */
  queued: number;
}

/** A stretch of code that is run again and again. */
export interface Loop {
  /** The listing's name of where it begins. */
  readonly label: string;
  /** Loops inside it, however deep. */
  readonly inner: readonly Loop[];
  /** One pass, inner loops left out. */
  readonly own: Counts;
  /** How often it is run when it is entered, where it counts to a constant (from 0, as far as the listing tells). */
  readonly times: number | undefined;
  /** Its lines. */
  readonly text: readonly string[];
}

/** One program. */
export interface Listing {
  readonly whole: Counts;
  readonly loops: readonly Loop[];
  /** The loop with most arithmetic; undefined for a program without loops. */
  readonly main: Loop | undefined;
  /**
   * A pass of the innermost loop around that arithmetic which loads from global memory, the loops inside it as often as they are run:
   * the main loop itself where the compiler unrolled what it does with a tile. A loop of unknown count is run once.
   */
  readonly pass: Counts | undefined;
}

/** No instructions. */
export function noCounts(): Counts {
  return {
    ...{ instructions: 0, vector: 0, fma: 0, packed: 0, dot: 0, matrix: 0, matrixFma: 0, dual: 0, conversions: 0 },
    ...{ special: 0, selections: 0, moves: 0, ldsReads: 0, ldsReadBytes: 0, ldsWrites: 0, ldsWriteBytes: 0 },
    ...{ globalLoads: 0, globalLoadBytes: 0, globalStores: 0, scratch: 0, waits: 0, barriers: 0, branches: 0 },
    ...{ cycles: 0, trips: 0, queued: 0 },
  };
}

/**
 * Multiply-adds of one lane in one pass.
 * @param lanes of the wave, which share a product of matrices
 */
export function multiplyAdds({ fma, packed, dot, matrix, matrixFma }: Counts, lanes: number): number {
  return fma + 2 * packed + 2 * dot + (matrix * matrixFma) / lanes;
}

/** Adds `times` as much of `part` to `counts`. */
function addCounts(counts: Counts, part: Counts, times: number): void {
  for (const key of Object.keys(counts) as (keyof Counts)[]) {
    if (key === 'matrixFma') counts[key] ||= part[key];
    else counts[key] += times * part[key];
  }
}

/** One pass with all that is inside. */
function passOf(loop: Loop): Counts {
  const counts = { ...loop.own };
  const direct = loop.inner.filter(one => !loop.inner.some(other => other.inner.includes(one)));
  for (const one of direct) addCounts(counts, passOf(one), one.times ?? 1);
  return counts;
}

/** What the loops of a program say together. */
export function listingOf(whole: Counts, loops: readonly Loop[]): Listing {
  const main = busiest(loops);
  if (!main) return { whole, loops, main, pass: undefined };
  const around = loops.filter(loop => loop === main || loop.inner.includes(main));
  const nearest = [...around].sort((a, b) => a.inner.length - b.inner.length).map(passOf);
  return { whole, loops, main, pass: nearest.find(({ globalLoads }) => globalLoads > 0) ?? nearest[0] };
}

/** The loop with most arithmetic, the longest of equal ones. */
function busiest(loops: readonly Loop[]): Loop | undefined {
  const order = (a: Loop, b: Loop): number =>
    multiplyAdds(b.own, 32) - multiplyAdds(a.own, 32) || b.own.instructions - a.own.instructions;
  return [...loops].sort(order)[0];
}
