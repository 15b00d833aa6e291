/** Columns of the k largest values of each row, largest first, of equal values the lower column first. */
export function topKIds(x: ArrayLike<number>, width: number, k: number): number[] {
  const ids: number[] = [];
  for (let start = 0; start < x.length; start += width) {
    const order = Array.from({ length: width }, (_, i) => i);
    order.sort((a, b) => x[start + b] - x[start + a] || a - b);
    ids.push(...order.slice(0, k));
  }
  return ids;
}
