/** Prompts, tokens of each, table sizes and widths; 520 vec4s of y and more cross a tile of 1024. */
export const embeddingCases: { items: number; length: number; tableRows: number; width: number }[] = [
  { items: 1, length: 1, tableRows: 1, width: 1 },
  { items: 2, length: 7, tableRows: 13, width: 20 },
  { items: 3, length: 8, tableRows: 50, width: 36 },
  { items: 1, length: 77, tableRows: 101, width: 131 },
];
