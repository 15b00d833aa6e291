/** When a sequence is done: its length, an end id, a stop string, the caller's own rule, or time. */

/** Says whether a sequence is done. @param ids so far, the prompt included */
export type StoppingCriterion = (ids: readonly number[]) => boolean;

/** Done at one of the end ids. @see transformers EosTokenCriteria */
export function endsAt(eosIds: readonly number[]): StoppingCriterion {
  return ids => eosIds.includes(ids[ids.length - 1] ?? -1);
}

/** Done once a number of seconds has passed, counted from this call. @see transformers MaxTimeCriteria */
export function endsAfter(seconds: number): StoppingCriterion {
  const start = performance.now();
  return () => performance.now() - start > seconds * 1000;
}

/**
 * Done where the last token completes a stop string: the string stands anywhere in the text and ends inside the last
 * token, which may go on behind it. The prompt counts as text.
 * @param stops non-empty strings
 * @param tokenText text of one token as it stands inside a sentence
 * @see transformers StopStringCriteria
 */
export function endsWithText(stops: readonly string[], tokenText: (id: number) => string): StoppingCriterion {
  const longest = Math.max(...stops.map(stop => stop.length));
  return ids => {
    // As many tokens as the longest string has characters, empty ones counted too.
    const pieces = ids.slice(-longest).map(tokenText);
    const text = pieces.join('');
    const before = text.length - (pieces[pieces.length - 1]?.length ?? 0);
    return stops.some(stop => text.indexOf(stop, Math.max(0, before - stop.length + 1)) >= 0);
  };
}
