/** Rows of y [rows, width] from one or two sources, by the definition of `copy`. */
export interface CopyReference {
  rows: number;
  itemRows: number;
  /** Item of the source for each item written. */
  place: (item: number) => number;
  source: { first: number; stride: number };
  target: { first: number; stride: number };
  parts: { values: ArrayLike<number>; width: number; first: number; channels: number }[];
}

/** `width` values for each row that is written, by target row. */
export function copy(c: CopyReference): Map<number, number[]> {
  const rows = new Map<number, number[]>();
  for (let i = 0; i < c.rows; i++) {
    const item = Math.floor(i / c.itemRows);
    const within = i % c.itemRows;
    const from = c.source.first + c.place(item) * c.source.stride + within;
    const row: number[] = [];
    for (const part of c.parts)
      for (let k = 0; k < part.channels; k++) row.push(part.values[from * part.width + part.first + k]);
    rows.set(c.target.first + item * c.target.stride + within, row);
  }
  return rows;
}
