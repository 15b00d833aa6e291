/** Processors that know where in the text they are: shortest and longest length, forced and suppressed ids. */
import { InputError } from '../core/errors.ts';
import { ban, banWhere, eachRow, force, type LogitsProcessor } from './processor.ts';

const f32 = Math.fround;
const MAX_F32 = f32(3.4028234663852886e38);

/**
 * No end before a length.
 * @param length in ids, the prompt included
 * @param eosIds ids that end a text
 * @see transformers min_length; min_new_tokens with the prompt's length added
 */
export function minLength(length: number, eosIds: readonly number[]): LogitsProcessor {
  return eachRow((row, ids) => {
    if (ids.length < length) ban(row, eosIds);
  });
}

/**
 * Only ids that a function allows.
 * @param allowed (batch, ids so far) -> ids, at least one; batch counts rows / `beams`
 * @throws InputError at the step for which it allows nothing
 * @see transformers prefix_allowed_tokens_fn
 */
export function prefixAllowedTokens(
  allowed: (batch: number, ids: readonly number[]) => readonly number[],
  beams: number,
): LogitsProcessor {
  return eachRow((row, ids, r) => {
    const batch = Math.floor(r / beams);
    const kept = new Set(allowed(batch, ids));
    if (kept.size === 0) {
      throw new InputError({
        op: 'generate',
        problem: `no id is allowed after [${ids.join(', ')}]`,
        received: `an empty list for batch ${batch}`,
        path: 'prefixAllowedTokensFn',
        fix: 'Return at least one id, for example the end id.',
      });
    }
    banWhere(row, (_, id) => !kept.has(id));
  });
}

/** The first id after a prompt of one. @see transformers forced_bos_token_id */
export function forcedBos(id: number): LogitsProcessor {
  return eachRow((row, ids) => {
    if (ids.length === 1) force(row, [id], 'forcedBosTokenId');
  });
}

/**
 * The id at the last position that the length allows.
 * @param maxLength longest sequence in ids, the prompt included
 * @see transformers forced_eos_token_id
 */
export function forcedEos(forced: readonly number[], maxLength: number): LogitsProcessor {
  return eachRow((row, ids) => {
    if (ids.length === maxLength - 1) force(row, forced, 'forcedEosTokenId');
  });
}

/** NaN becomes 0, infinities the largest float32 values. @see transformers remove_invalid_values */
export function removeInvalidValues(): LogitsProcessor {
  return eachRow(row => {
    row.forEach((x, i) => {
      row[i] = Number.isNaN(x) ? 0 : Math.max(-MAX_F32, Math.min(MAX_F32, x));
    });
  });
}

/**
 * From a length on, the end becomes likelier with every id: s + |s| (factor^n - 1), n ids beyond the start.
 * @param start new ids before the penalty begins
 * @param factor > 1 for shorter texts
 * @param promptLength ids of the prompt
 * @see transformers exponential_decay_length_penalty
 */
export function exponentialDecay(
  start: number,
  factor: number,
  eosIds: readonly number[],
  promptLength: number,
): LogitsProcessor {
  return eachRow((row, ids) => {
    const beyond = ids.length - promptLength - start;
    if (beyond <= 0) return;
    const growth = f32(factor ** beyond - 1);
    for (const id of new Set(eosIds)) row[id] = (row[id] ?? 0) + f32(Math.abs(row[id] ?? 0) * growth);
  });
}

/** Bans ids everywhere. @see transformers suppress_tokens */
export function suppressTokens(suppressed: readonly number[]): LogitsProcessor {
  return eachRow(row => ban(row, suppressed));
}

/** Bans ids at one position. @param at the length of the text before it @see transformers begin_suppress_tokens */
export function suppressTokensAt(suppressed: readonly number[], at: number): LogitsProcessor {
  return eachRow((row, ids) => {
    if (ids.length === at) ban(row, suppressed);
  });
}
