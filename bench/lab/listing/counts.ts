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
  /** Round trips to global memory in one pass: groups of loads that are waited for before the next group is issued. */
  trips: number;
}

/** A stretch of code that is run again and again. */
export interface Loop {
  /** The listing's name of where it begins. */
  readonly label: string;
  /** Loops inside it. */
  readonly inner: number;
  /** One pass, inner loops left out. */
  readonly own: Counts;
  /** Its lines. */
  readonly text: readonly string[];
}

/** One program. */
export interface Listing {
  readonly whole: Counts;
  readonly loops: readonly Loop[];
  /** The loop with most arithmetic; undefined for a program without loops. */
  readonly main: Loop | undefined;
}

/** No instructions. */
export function noCounts(): Counts {
  return {
    ...{ instructions: 0, vector: 0, fma: 0, packed: 0, dot: 0, matrix: 0, matrixFma: 0, dual: 0, conversions: 0 },
    ...{ special: 0, selections: 0, moves: 0, ldsReads: 0, ldsReadBytes: 0, ldsWrites: 0, ldsWriteBytes: 0 },
    ...{ globalLoads: 0, globalLoadBytes: 0, globalStores: 0, scratch: 0, waits: 0, barriers: 0, branches: 0 },
    ...{ cycles: 0, trips: 0 },
  };
}

/**
 * Multiply-adds of one lane in one pass.
 * @param lanes of the wave, which share a product of matrices
 */
export function multiplyAdds({ fma, packed, dot, matrix, matrixFma }: Counts, lanes: number): number {
  return fma + 2 * packed + 2 * dot + (matrix * matrixFma) / lanes;
}

/** The loop with most arithmetic, the longest of equal ones. */
export function busiest(loops: readonly Loop[]): Loop | undefined {
  const order = (a: Loop, b: Loop): number =>
    multiplyAdds(b.own, 32) - multiplyAdds(a.own, 32) || b.own.instructions - a.own.instructions;
  return [...loops].sort(order)[0];
}
