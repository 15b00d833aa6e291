/** What a text model shows to generation: a decoder with its cache, one position at a time. */

/** Ids of several rows. */
export type Sequences = readonly (readonly number[])[];

/**
 * A decoder in the middle of its text: V vocabulary entries for each of its rows, a cache that grows by one position per
 * step. Row r belongs to input floor(r * inputs / rows); rows of one input share what was computed from it.
 */
export interface StepDecoder {
  readonly vocab: number;
  readonly rows: number;

  /**
   * Feeds the first ids, one or several a row, into the empty cache.
   * @param ids [rows] of equal length
   * @returns [rows, V] logits for the position after the last id; the caller may write over them
   */
  prefill(ids: Sequences): Promise<Float32Array>;

  /**
   * Feeds one more id per row.
   * @param tokens [rows] ids
   * @param reorder [rows] indices: row r first takes over the cache that row `reorder[r]` had; absent for no change
   * @returns [rows, V] logits for the next position; the caller may write over them
   */
  step(tokens: readonly number[], reorder?: readonly number[]): Promise<Float32Array>;

  /**
   * The same as `step`, with the choice made on the device, so that only ids come back. Equal logits: the lower id.
   * @param tokens [rows] ids
   * @returns [rows] ids of the largest logits
   */
  greedyStep?(tokens: readonly number[]): Promise<readonly number[]>;

  /** Frees the cache. */
  dispose(): void;
}

/**
 * Opens a decoder with an empty cache.
 * @param rows sequences that grow side by side: inputs times beams or returned sequences
 * @param maxLength longest sequence in ids, the prompt included
 */
export type StartDecoder = (rows: number, maxLength: number) => Promise<StepDecoder>;
