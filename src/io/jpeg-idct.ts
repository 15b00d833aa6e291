/**
 * The inverse cosine transform of JPEG blocks in whole numbers, step for step the "slow" one of libjpeg, so that the samples
 * are its samples and not merely near them.
 * @see libjpeg, jidctint.c jpeg_idct_islow; Loeffler, Ligtenberg and Moschytz 1989
 */

/** Bits behind the point of the constants. */
const CONSTANT = 13;
/** Bits behind the point that the first pass keeps. */
const KEPT = 2;

/** Products of cosines, times 2^13. */
const F_0_298 = 2446;
const F_0_390 = 3196;
const F_0_541 = 4433;
const F_0_765 = 6270;
const F_0_899 = 7373;
const F_1_175 = 9633;
const F_1_501 = 12299;
const F_1_847 = 15137;
const F_1_961 = 16069;
const F_2_053 = 16819;
const F_2_562 = 20995;
const F_3_072 = 25172;

const work = new Int32Array(64);

/**
 * Samples of one block of 8 x 8.
 * @param coefficients of many blocks, row by row, not in zigzag order
 * @param from where this block's 64 begin
 * @param quantisers 64, in the same order
 * @param out samples, 0 to 255
 * @param to where the block's first row begins in `out`
 * @param pitch samples from row to row of `out`
 */
export function inverseTransform(
  coefficients: ArrayLike<number>,
  from: number,
  quantisers: Uint16Array,
  out: Uint8Array,
  to: number,
  pitch: number,
): void {
  for (let i = 0; i < 64; i++) work[i] = (coefficients[from + i] ?? 0) * (quantisers[i] ?? 0);
  for (let column = 0; column < 8; column++) transform(column, 8, CONSTANT - KEPT);
  for (let row = 0; row < 8; row++) {
    transform(8 * row, 1, CONSTANT + KEPT + 3);
    for (let column = 0; column < 8; column++) {
      const sample = (work[8 * row + column] ?? 0) + 128;
      out[to + row * pitch + column] = Math.max(0, Math.min(255, sample));
    }
  }
}

/** Eight values, `step` apart, transformed in place, times 2^13, divided by 2^shift and rounded. */
function transform(at: number, step: number, shift: number): void {
  const i0 = work[at] ?? 0;
  const i1 = work[at + step] ?? 0;
  const i2 = work[at + 2 * step] ?? 0;
  const i3 = work[at + 3 * step] ?? 0;
  const i4 = work[at + 4 * step] ?? 0;
  const i5 = work[at + 5 * step] ?? 0;
  const i6 = work[at + 6 * step] ?? 0;
  const i7 = work[at + 7 * step] ?? 0;
  const half = 1 << (shift - 1);
  // Even half.
  const e = (i2 + i6) * F_0_541;
  const e2 = e - i6 * F_1_847;
  const e3 = e + i2 * F_0_765;
  const [sum, difference] = [(i0 + i4) * 8192, (i0 - i4) * 8192];
  const [a0, a3, a1, a2] = [sum + e3 + half, sum - e3 + half, difference + e2 + half, difference - e2 + half];
  // Odd half.
  const z5 = (i7 + i3 + i5 + i1) * F_1_175;
  const z1 = -(i7 + i1) * F_0_899;
  const z2 = -(i5 + i3) * F_2_562;
  const z3 = z5 - (i7 + i3) * F_1_961;
  const z4 = z5 - (i5 + i1) * F_0_390;
  const b0 = i7 * F_0_298 + z1 + z3;
  const b1 = i5 * F_2_053 + z2 + z4;
  const b2 = i3 * F_3_072 + z2 + z3;
  const b3 = i1 * F_1_501 + z1 + z4;
  work[at] = (a0 + b3) >> shift;
  work[at + 7 * step] = (a0 - b3) >> shift;
  work[at + step] = (a1 + b2) >> shift;
  work[at + 6 * step] = (a1 - b2) >> shift;
  work[at + 2 * step] = (a2 + b1) >> shift;
  work[at + 5 * step] = (a2 - b1) >> shift;
  work[at + 3 * step] = (a3 + b0) >> shift;
  work[at + 4 * step] = (a3 - b0) >> shift;
}
