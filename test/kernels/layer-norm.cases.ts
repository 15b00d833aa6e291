/** Row norms: rows around the 4 of a tile, widths around a vec4, a lane sweep (32, 256) and a model's. */
export const layerNormCases: { rows: number; width: number; mean: number }[] = [
  { rows: 1, width: 1, mean: 0 },
  { rows: 3, width: 7, mean: 1 },
  { rows: 4, width: 31, mean: 0 },
  { rows: 5, width: 33, mean: -2 },
  { rows: 13, width: 100, mean: 0 },
  { rows: 2, width: 257, mean: 0.5 },
  { rows: 9, width: 320, mean: 0 },
];
