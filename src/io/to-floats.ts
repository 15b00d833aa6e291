/** Stored elements as f32 numbers on the host. */

import type { StoredDType } from '../core/tensor-source.ts';

/** Bytes of an element of a type that `toFloats` knows. */
export const FLOAT_BYTES: ReadonlyMap<StoredDType, number> = new Map([
  ['F64', 8],
  ['F32', 4],
  ['F16', 2],
  ['BF16', 2],
]);

/**
 * Little-endian floats as f32.
 * @param bytes whole elements; they may begin anywhere
 * @param dtype a key of FLOAT_BYTES
 * @returns memory of its own, which the caller may change; undefined for another type
 */
export function toFloats(bytes: Uint8Array, dtype: StoredDType): Float32Array<ArrayBuffer> | undefined {
  const { buffer } = bytes.slice(); // at an offset that fits every type
  if (dtype === 'F32') return new Float32Array(buffer);
  if (dtype === 'F64') return Float32Array.from(new Float64Array(buffer));
  if (dtype !== 'F16' && dtype !== 'BF16') return undefined;
  const halves = new Uint16Array(buffer);
  const floats = new Float32Array(halves.length);
  if (dtype === 'F16') {
    const table = halfTable();
    for (let i = 0; i < halves.length; i++) floats[i] = table[halves[i] as number] as number;
    return floats;
  }
  const words = new Uint32Array(floats.buffer);
  for (let i = 0; i < halves.length; i++) words[i] = (halves[i] as number) << 16;
  return floats;
}

let halfs: Float32Array | undefined;

/** The value of each of the 65536 halves. */
function halfTable(): Float32Array {
  halfs ??= Float32Array.from({ length: 0x10000 }, (_, word) => {
    const [sign, exponent, fraction] = [word & 0x8000 ? -1 : 1, (word >> 10) & 31, word & 1023];
    if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
  });
  return halfs;
}
