/** Ids that a model has no row for: on the device they would silently read as zeros. */
import { InputError } from '../core/errors.ts';
import type { TextTokenizer } from './types.ts';

/** The table that ids are looked up in. */
export interface EmbeddingTable {
  /** Rows: ids from 0 to one below are known. */
  readonly rows: number;
  /** Its name for messages, such as 'the token embedding of the text encoder'. */
  readonly name: string;
}

/**
 * Refuses ids beyond a table of embeddings.
 * @param op the function that was called, for the message
 * @param ids those of one text
 * @param tokenizer gives the token behind an id, for the message
 * @param table where they will be looked up
 * @param fix what the caller can do about it
 * @throws InputError naming token, id and table
 */
export function checkIds(
  op: string,
  ids: readonly number[],
  tokenizer: TextTokenizer | undefined,
  table: EmbeddingTable,
  fix = 'Use tokenizer and weights of one model.',
): void {
  const unknown = ids.find(id => !(Number.isInteger(id) && id >= 0 && id < table.rows));
  if (unknown === undefined) return;
  const token = Number.isInteger(unknown) ? tokenizer?.decode([unknown]) : undefined;
  throw new InputError({
    op,
    problem: `${table.name} has no row for a token`,
    expected: `ids from 0 to ${table.rows - 1}`,
    received: token ? `${JSON.stringify(token)}, id ${unknown}` : `id ${unknown}`,
    fix,
  });
}
