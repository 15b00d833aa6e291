/** Halves of the two 8-bit floats that checkpoints hold; both fit into a half exactly. */

/** 8-bit floats as safetensors names them: torch's float8_e4m3fn (no infinities) and float8_e5m2 (half a half). */
export type Float8 = 'F8_E4M3' | 'F8_E5M2';

/**
 * The half of every code of an 8-bit float, as 256 words.
 * @see Micikevicius et al. 2022, "FP8 Formats for Deep Learning", table 1
 */
export function halvesOf(dtype: Float8): Uint16Array<ArrayBuffer> {
  return Uint16Array.from({ length: 256 }, (_, code) => (dtype === 'F8_E5M2' ? code << 8 : halfOfE4m3(code)));
}

/** Exponents are biased by 7 here and by 15 in a half, where all subnormals of E4M3 are normal numbers. */
function halfOfE4m3(code: number): number {
  const sign = (code & 0x80) << 8;
  const magnitude = code & 0x7f;
  if (magnitude === 0x7f) return sign | 0x7e00; // the one pair of NaNs
  if (magnitude === 0) return sign;
  if (magnitude >= 8) return sign | (((magnitude >> 3) + 8) << 10) | ((magnitude & 7) << 7);
  const shift = magnitude >= 4 ? 1 : magnitude >= 2 ? 2 : 3;
  return sign | ((9 - shift) << 10) | (((magnitude << shift) & 7) << 7);
}

/** The number that a half stands for. */
export function halfValue(word: number): number {
  const sign = word & 0x8000 ? -1 : 1;
  const exponent = (word >> 10) & 31;
  const fraction = word & 0x3ff;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
}
