import type { Storage } from './kernel.ts';

/** Rows of a table by number; the table may be bound in windows of whole rows. */
export interface EmbeddingProblem {
  /** ids is [items, idsPitch] u32, of which the first `length` of each row count. */
  readonly items: number;
  readonly length: number;
  readonly idsPitch: number;
  readonly pitch: number;
  readonly table: { readonly rows: number; readonly first: number; readonly count: number; readonly storage: Storage };
  readonly output: Storage;
}
