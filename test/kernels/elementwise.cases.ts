/** Shapes for element-wise kernels: odd widths, and one vec4 more and less than a tile of 1024. */
export const elementwiseCases: { rows: number; width: number }[] = [
  { rows: 1, width: 1 },
  { rows: 7, width: 3 },
  { rows: 5, width: 30 },
  { rows: 1025, width: 4 },
  { rows: 2, width: 2044 },
];
