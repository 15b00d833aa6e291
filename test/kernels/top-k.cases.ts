/** Rows around one sweep of a workgroup (1024), a model's vocabulary, and few distinct values so that many are equal. */
export const topKCases: { rows: number; width: number; k: number; levels: number }[] = [
  { rows: 1, width: 1, k: 1, levels: 100 },
  { rows: 3, width: 5, k: 5, levels: 3 },
  { rows: 2, width: 1023, k: 1, levels: 10 },
  { rows: 2, width: 1025, k: 64, levels: 40 },
  { rows: 2, width: 32128, k: 7, levels: 2000 },
];
