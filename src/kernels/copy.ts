import type { Storage } from './kernel.ts';

/** Channels [first, first + channels) of rows with `pitch` elements. */
export interface CopySource {
  readonly channels: number;
  readonly pitch: number;
  /** Default 0. */
  readonly first?: number | undefined;
}

/** Rows from one tensor, or from two that stand side by side on channels. */
export interface CopyProblem {
  /** Rows to write. */
  readonly rows: number;
  readonly sources: readonly [CopySource] | readonly [CopySource, CopySource];
  readonly storage: Storage;
  readonly output: Storage;
}
