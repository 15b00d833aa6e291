/** table[ids[r]], or zeros where the table lacks the id. */
export function embedding(ids: ArrayLike<number>, table: ArrayLike<number>, width: number): Float64Array {
  const y = new Float64Array(ids.length * width);
  for (let r = 0; r < ids.length; r++) {
    if (ids[r] >= table.length / width) continue;
    for (let c = 0; c < width; c++) y[r * width + c] = table[ids[r] * width + c];
  }
  return y;
}
