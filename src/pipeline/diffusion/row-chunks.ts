/** The UNet's batch in pieces that run one after the other. */

/** Rows [first, end) of a batch. */
export interface RowChunk {
  readonly first: number;
  readonly end: number;
}

/**
 * Cuts a batch into chunks of at most `most` rows, as equal as can be. Neighbouring rows that share a context stay within one
 * chunk, or are cut by themselves, so that every chunk's rows are served evenly by whole contexts.
 *
 * @param rows of the batch
 * @param sharing neighbouring rows that share a context, a divisor of `rows`
 * @param most rows of a chunk, at least 1
 */
export function rowChunks(rows: number, sharing: number, most: number): RowChunk[] {
  const together = most >= sharing;
  const [unit, span] = together ? [sharing, rows] : [1, sharing]; // `span` rows are cut into equal parts of whole units
  const units = span / unit;
  const chunks: RowChunk[] = [];
  for (let start = 0; start < rows; start += span) {
    const count = Math.ceil(units / Math.floor(most / unit));
    const cut = (i: number) => start + Math.floor((i * units) / count) * unit;
    for (let i = 0; i < count; i++) chunks.push({ first: cut(i), end: cut(i + 1) });
  }
  return chunks;
}
