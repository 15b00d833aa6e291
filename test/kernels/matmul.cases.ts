export interface BatchedCase {
  batch: number;
  rows: number;
  n: number;
  k: number;
  scale?: number;
  shared?: boolean;
  bias?: boolean;
}

/** Batches whose rows fill no tile, columns on both sides of a panel, one matrix for all. */
export const BATCHED_CASES: readonly BatchedCase[] = [
  { batch: 1, rows: 1, n: 1, k: 1 },
  { batch: 3, rows: 9, n: 33, k: 17, scale: 0.25 },
  { batch: 2, rows: 65, n: 40, k: 24, bias: true },
  { batch: 5, rows: 7, n: 65, k: 31, shared: true },
];
