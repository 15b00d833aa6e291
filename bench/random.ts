/** Seeded numbers in [-1, 1): the same on every run. */
export function randoms(count: number, seed = 1): Float32Array<ArrayBuffer> {
  let s = (seed * 2654435761) >>> 0;
  return Float32Array.from({ length: count }, () => {
    s = (Math.imul(s ^ (s >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    s ^= s >>> 13;
    return ((s >>> 8) / 2 ** 24) * 2 - 1;
  });
}
