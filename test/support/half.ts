import { Float16Array, f16round } from '@petamoriken/float16';

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/**
 * f32 values -> the bits of their nearest f16. The package rounds; what is a half already is taken apart here, because an element of its
 * array takes a microsecond.
 */
export function toHalf(values: ArrayLike<number>): Uint16Array {
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    float[0] = f16round(values[i]);
    const [magnitude, sign] = [word[0] & 0x7fffffff, (word[0] >>> 16) & 0x8000];
    const exponent = (magnitude >>> 23) - 112;
    if (magnitude > 0x7f800000) bits[i] = 0x7e00;
    else if (magnitude === 0x7f800000) bits[i] = sign | 0x7c00;
    else
      bits[i] = sign | (exponent > 0 ? (exponent << 10) | ((magnitude >>> 13) & 0x3ff) : Math.abs(float[0]) * 2 ** 24);
  }
  return bits;
}

const HALVES = Float32Array.from(new Float16Array(Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits).buffer));

/** f16 bits -> f32 values. */
export function fromHalf(bits: Uint16Array): Float32Array {
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = HALVES[bits[i]];
  return values;
}
