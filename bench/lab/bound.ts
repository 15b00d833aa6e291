/** What instruction issue and workgroup memory leave of a card's peak: a bound without any latency in it. */
import type { Card } from './cards.ts';
import { type Counts, multiplyAdds } from './listing/counts.ts';

/** The bound of a loop. */
export interface Bound {
  /** Of the data-sheet peak, 0 to 1 (packed halves and mixed operands can go beyond). */
  readonly share: number;
  /** The unit that never rests: the vector unit's issue, or workgroup memory. */
  readonly by: 'issue' | 'LDS';
}

/** Multiply-adds of a lane: loops with less arithmetic are bound by other things than these two units. */
export const LEAST = 32;

/**
 * By rates that all of AMD's cards have in common: a wave of 32 takes a clock of its SIMD for an instruction, one of 64 two; two SIMDs
 * share workgroup memory that moves 128 bytes a clock. (GCN's four SIMDs take four clocks for 64 lanes: the same shares.) Two
 * instructions that the compiler wrote as one take the time of one.
 * @param counts one pass of one wave
 * @param lanes of the wave
 * @returns undefined for other makers' cards, and for loops with little arithmetic
 */
export function boundOf(card: Card, counts: Counts, lanes: number): Bound | undefined {
  const work = multiplyAdds(counts, lanes);
  if (card.maker !== 'amd' || lanes === 0 || work < LEAST) return undefined;
  const { issue, lds } = unitsOf(card, counts, lanes);
  const clocks = Math.max(issue, lds);
  const peak = counts.matrix > 0 ? counts.matrixFma / card.matrixClocks : card.dual ? 64 : 32;
  return { share: (work * lanes) / clocks / peak, by: issue >= lds ? 'issue' : 'LDS' };
}

/** Clocks for which each of the two units is busy, of a SIMD of 32 lanes. */
function unitsOf(card: Card, counts: Counts, lanes: number): { readonly issue: number; readonly lds: number } {
  const issue = (lanes / 32) * (counts.vector - counts.matrix) + card.matrixClocks * counts.matrix;
  return { issue, lds: (2 * (counts.ldsReadBytes + counts.ldsWriteBytes) * lanes) / 128 };
}

/**
 * Clocks of a SIMD for one pass of one wave, waits for memory left out: by those two units on AMD's cards, by the compiler's own account
 * elsewhere.
 * @returns undefined where there is neither
 */
export function clocksOf(card: Card, counts: Counts, lanes: number): number | undefined {
  if (card.maker === 'intel') {
    // A vector unit of so many lanes, and as many bytes of workgroup memory for each.
    const issue = (counts.cycles * 8) / card.width + card.matrixClocks * counts.matrix;
    return Math.max(issue, ((counts.ldsReadBytes + counts.ldsWriteBytes) * lanes) / card.width) || undefined;
  }
  if (card.maker !== 'amd') return counts.cycles || undefined;
  const { issue, lds } = unitsOf(card, counts, lanes);
  return (Math.max(issue, lds) * 32) / card.width;
}
