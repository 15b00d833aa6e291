/** The form of everything that changes scores between the model and the choice of a token. */
import { InputError } from '../core/errors.ts';
import type { Sequences } from './decoder.ts';

/**
 * Changes scores in place.
 * @param scores [rows, V] float32, row-major
 * @param sequences [rows] ids so far, the prompt included
 */
export type LogitsProcessor = (scores: Float32Array, sequences: Sequences) => void;

/** A processor that treats every row by itself. */
export function eachRow(change: (row: Float32Array, ids: readonly number[], index: number) => void): LogitsProcessor {
  return (scores, sequences) => {
    const vocab = scores.length / sequences.length;
    sequences.forEach((ids, r) => {
      change(scores.subarray(r * vocab, (r + 1) * vocab), ids, r);
    });
  };
}

/** Writes -Infinity at the given ids; ids outside the vocabulary are passed over. */
export function ban(row: Float32Array, ids: Iterable<number>): void {
  for (const id of ids) {
    if (id < row.length) row[id] = Number.NEGATIVE_INFINITY;
  }
}

/** Writes -Infinity wherever a row passes a test. */
export function banWhere(row: Float32Array, test: (score: number, id: number) => boolean): void {
  for (let id = 0; id < row.length; id++) if (test(row[id] ?? 0, id)) row[id] = Number.NEGATIVE_INFINITY;
}

/** Leaves only the given ids possible: 0 there, -Infinity elsewhere. */
export function force(row: Float32Array, ids: readonly number[], argument: string): void {
  row.fill(Number.NEGATIVE_INFINITY);
  for (const id of ids) {
    checkId(id, row.length, argument);
    row[id] = 0;
  }
}

/** @throws InputError when the vocabulary has no such id */
export function checkId(id: number, vocab: number, argument: string): void {
  if (id < vocab) return;
  throw new InputError({
    op: 'generate',
    problem: 'an id lies outside the vocabulary',
    expected: `0 to ${vocab - 1}`,
    received: id,
    path: argument,
    fix: 'Take ids of this model’s tokenizer.',
  });
}
