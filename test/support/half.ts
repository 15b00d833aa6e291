import { Float16Array } from '@petamoriken/float16';

/** f32 values -> the bits of their nearest f16. */
export function toHalf(values: ArrayLike<number>): Uint16Array {
  const half = new Float16Array(values.length);
  for (let i = 0; i < values.length; i++) half[i] = values[i];
  return new Uint16Array(half.buffer);
}

/** f16 bits -> f32 values. */
export function fromHalf(bits: Uint16Array): Float32Array {
  return Float32Array.from(new Float16Array(bits.buffer, bits.byteOffset, bits.length));
}
