/** Doubling, doubling to an odd size, a third, a shrink; channels with and without padding. */
export const upsampleCases: { n: number; h: number; w: number; h2: number; w2: number; c: number }[] = [
  { n: 1, h: 1, w: 1, h2: 1, w2: 3, c: 1 },
  { n: 2, h: 3, w: 5, h2: 6, w2: 10, c: 12 },
  { n: 1, h: 4, w: 3, h2: 7, w2: 5, c: 8 },
  { n: 3, h: 7, w: 2, h2: 23, w2: 11, c: 3 },
  { n: 1, h: 9, w: 9, h2: 5, w2: 4, c: 20 },
];
