/** Processors that look back at the ids so far: penalties for repetition, banned n-grams and sequences, biases. */
import type { Sequences } from './decoder.ts';
import { ban, checkId, eachRow, type LogitsProcessor } from './processor.ts';

const f32 = Math.fround;

/** An id sequence and what is added to the score of its last id where the ids before it have just been written. */
export type SequenceBias = readonly [ids: readonly number[], bias: number];

/**
 * Scores of ids that occur in the row's text so far: s * penalty below 0, s / penalty from 0 on.
 * @param penalty > 0; above 1 discourages repetition
 * @see Keskar et al. 2019, https://arxiv.org/abs/1909.05858; transformers repetition_penalty
 */
export function repetitionPenalty(penalty: number): LogitsProcessor {
  return eachRow((row, ids) => penalise(row, ids, penalty));
}

/**
 * The same for the ids of the encoder's input, with the inverse of the penalty. Row i takes the ids of input i, rows
 * beyond the number of inputs stay as they are: with several beams or returned sequences this is not the row's own
 * input, which is what transformers computes.
 * @param penalty > 0; above 1 encourages words of the input
 * @param encoderIds [inputs] ids
 * @see transformers encoder_repetition_penalty
 */
export function encoderRepetitionPenalty(penalty: number, encoderIds: Sequences): LogitsProcessor {
  return eachRow((row, _, r) => penalise(row, encoderIds[r] ?? [], 1 / penalty));
}

/**
 * Bans ids that would complete an n-gram the text already has.
 * @param size n, >= 1
 * @see transformers no_repeat_ngram_size
 */
export function noRepeatNgram(size: number): LogitsProcessor {
  return eachRow((row, ids) => {
    if (ids.length + 1 >= size) ban(row, continuations(ids, ids, size));
  });
}

/**
 * Bans ids that would complete an n-gram of the encoder's input.
 * @param size n, >= 1
 * @param encoderIds [inputs] ids; rows are shared out evenly
 * @see transformers encoder_no_repeat_ngram_size
 */
export function encoderNoRepeatNgram(size: number, encoderIds: Sequences): LogitsProcessor {
  return (scores, sequences) => {
    const rowsPerInput = Math.floor(sequences.length / encoderIds.length);
    eachRow((row, ids, r) => {
      if (ids.length + 1 >= size) ban(row, continuations(encoderIds[Math.floor(r / rowsPerInput)] ?? [], ids, size));
    })(scores, sequences);
  };
}

/**
 * Adds to the score of a sequence's last id where the text ends with the ids before it; a single id always counts.
 * @param biases non-empty sequences; of equal ones the last counts
 * @param argument the name for error messages
 * @throws InputError at the first step when the vocabulary lacks an id
 * @see transformers sequence_bias
 */
export function sequenceBias(biases: readonly SequenceBias[], argument = 'sequenceBias'): LogitsProcessor {
  const bySequence = new Map(biases.map(entry => [entry[0].join(' '), entry]));
  // Single ids first: sums are rounded in this order.
  const ordered = [...bySequence.values()].sort(([a], [b]) => Math.min(a.length, 2) - Math.min(b.length, 2));
  return eachRow((row, ids) => {
    const totals = new Map<number, number>();
    for (const [sequence, bias] of ordered) {
      for (const id of sequence) checkId(id, row.length, argument);
      const last = sequence[sequence.length - 1] ?? 0;
      if (sequence.length > 1 && (sequence.length > ids.length || !endsWith(ids, sequence.slice(0, -1)))) continue;
      totals.set(last, f32((totals.get(last) ?? 0) + f32(bias)));
    }
    for (const [id, total] of totals) row[id] = (row[id] ?? 0) + total;
  });
}

/**
 * Bans sequences: the last id gets -Infinity where the ids before it have just been written. A sequence that is just an
 * end id is left out, or no text could end.
 * @param words non-empty sequences
 * @param eosIds ids that end a text
 * @see transformers bad_words_ids
 */
export function badWords(words: Sequences, eosIds: readonly number[]): LogitsProcessor {
  const kept = words.filter(([first = -1, ...rest]) => rest.length > 0 || !eosIds.includes(first));
  return sequenceBias(
    kept.map(ids => [ids, Number.NEGATIVE_INFINITY]),
    'badWordsIds',
  );
}

function penalise(row: Float32Array, ids: readonly number[], penalty: number): void {
  const factor = f32(penalty);
  for (const id of new Set(ids)) {
    checkId(id, row.length, 'the ids of the text');
    const score = row[id] ?? 0;
    row[id] = score < 0 ? score * factor : score / factor;
  }
}

/** The ids that follow the last n - 1 ids of `text` wherever these stand in `source`. */
function continuations(source: readonly number[], text: readonly number[], size: number): number[] {
  const prefix = text.slice(text.length + 1 - size);
  const found: number[] = [];
  for (let end = size - 1; end < source.length; end++) {
    const start = end + 1 - size;
    if (prefix.every((id, i) => id === source[start + i])) found.push(source[end] ?? 0);
  }
  return found;
}

function endsWith(ids: readonly number[], tail: readonly number[]): boolean {
  return tail.every((id, i) => id === ids[ids.length - tail.length + i]);
}
