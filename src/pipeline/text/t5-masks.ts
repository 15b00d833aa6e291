/** Which ids of T5's encoder count. */
import type { Sequences } from '../../generation/index.ts';

/** What is added to the scores of padding: in f32 nothing is left of their weight, and nothing overflows. */
const HIDDEN = -1e30;

/** Ids of the encoder, padded to one length. */
export interface EncoderInput {
  /** [N, S] */
  readonly ids: Sequences;
  /** 1 for ids that count, 0 for padding. */
  readonly mask: Sequences;
}

/** Whether any id is padding. */
export function isPadded(mask: Sequences): boolean {
  return mask.some(row => row.some(counts => counts === 0));
}

/** What is added to the scores: 0 for ids that count. */
export function additive(mask: Sequences): number[] {
  return mask.flatMap(row => row.map(counts => (counts === 0 ? HIDDEN : 0)));
}
