/** Softmax: rows around the 4 of a tile, widths around a vec4, a lane sweep (32, 256) and 77 text tokens. */
export const softmaxCases: { rows: number; width: number; scale: number; spread: number }[] = [
  { rows: 1, width: 1, scale: 1, spread: 1 },
  { rows: 3, width: 5, scale: 0.5, spread: 100 },
  { rows: 4, width: 31, scale: 1, spread: 3 },
  { rows: 5, width: 77, scale: 0.125, spread: 30 },
  { rows: 2, width: 259, scale: -1, spread: 5 },
  { rows: 11, width: 1025, scale: 1, spread: 4 },
];
