/** The floats of checkpoints turned into those of device memory, in the place where they were read. */

/** Element types of the files that layers take. */
export type FileDType = 'F32' | 'F16' | 'BF16';

/** Bytes of an element in the file. */
export const FILE_BYTES: Readonly<Record<FileDType, number>> = { F32: 4, F16: 2, BF16: 2 };

/** Largest magnitude, as f32 bits, that rounds to a finite half; the smallest that rounds to a normal one. */
const [HALF_OVERFLOW, HALF_NORMAL] = [0x477ff000, 0x38800000];

/**
 * Turns `count` elements at the start of `bytes` into others there; what is wider than before overwrites from behind.
 *
 * @param bytes starts at a multiple of 4 and is long enough for both forms
 * @param to BF16 only from BF16
 */
export function convertBits(bytes: Uint8Array, count: number, from: FileDType, to: FileDType): void {
  if (from === to) return;
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.byteLength / 2));
  if (from === 'F32') narrow(words(bytes, count), halves);
  else if (to === 'F16') rebias(halves, words(bytes, count >> 1), count);
  else if (from === 'F16') widen(halves, words(bytes, count), singlesOfHalves());
  else shift(halves, words(bytes, count));
}

/** Floats as halves, in a buffer of their own size: to nearest, ties to even, beyond their range infinities. */
export function halvesOfFloats(floats: Float32Array): Uint16Array<ArrayBuffer> {
  const bytes = new Uint8Array(Float32Array.from(floats).buffer);
  convertBits(bytes, floats.length, 'F32', 'F16');
  return new Uint16Array(bytes.buffer, 0, floats.length).slice();
}

/** Halves as floats, which hold them all. */
export function floatsOfHalves(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const floats = new Float32Array(halves.length);
  new Uint16Array(floats.buffer).set(halves);
  convertBits(new Uint8Array(floats.buffer), halves.length, 'F16', 'F32');
  return floats;
}

function words(bytes: Uint8Array, count: number): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, count);
}

/** To nearest, ties to even. Numbers that are normal as halves, which are nearly all, do without a call. */
function narrow(from: Uint32Array, to: Uint16Array): void {
  for (let i = 0; i < from.length; i++) {
    const bits = from[i] ?? 0;
    const magnitude = bits & 0x7fffffff;
    to[i] =
      (magnitude - HALF_NORMAL) >>> 0 < HALF_OVERFLOW - HALF_NORMAL
        ? ((bits >>> 16) & 0x8000) | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
        : roundToHalf(bits);
  }
}

/** Bfloat16 to half, two in a word: those that are normal as halves only change the bias of their exponents. */
function rebias(halves: Uint16Array, pairs: Uint32Array, count: number): void {
  for (let i = 0; i < pairs.length; i++) {
    const bits = pairs[i] ?? 0;
    const low = (bits & 0x7fff) - 0x3880;
    const high = ((bits >>> 16) & 0x7fff) - 0x3880;
    pairs[i] =
      low >>> 0 < 0xf00 && high >>> 0 < 0xf00
        ? (bits & 0x80008000) | (((bits & 0x7fff7fff) - 0x38003800) << 3)
        : roundToHalf(bits << 16) | (roundToHalf(bits & 0xffff0000) << 16);
  }
  if (count % 2 === 1) halves[count - 1] = roundToHalf((halves[count - 1] ?? 0) << 16);
}

function widen(from: Uint16Array, to: Uint32Array, table: Uint32Array): void {
  for (let i = to.length - 1; i >= 0; i--) to[i] = table[from[i] ?? 0] ?? 0;
}

function shift(from: Uint16Array, to: Uint32Array): void {
  for (let i = to.length - 1; i >= 0; i--) to[i] = (from[i] ?? 0) << 16;
}

/** The half next to f32 bits: ties to even, subnormals, overflow to infinity; any NaN is the quiet one of its sign. */
function roundToHalf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= HALF_OVERFLOW) return sign | 0x7c00;
  if (magnitude >= HALF_NORMAL) {
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  const exponent = magnitude >>> 23;
  if (exponent < 102) return sign;
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const shift = 126 - exponent; // 14 to 24
  const kept = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const middle = 1 << (shift - 1);
  return sign | (kept + (rest > middle || (rest === middle && (kept & 1) === 1) ? 1 : 0));
}

/** The f32 bits of a half, the payloads of NaNs kept. */
function widenHalf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 31;
  const mantissa = half & 0x3ff;
  if (exponent === 31) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  const top = 31 - Math.clz32(mantissa);
  return sign | ((top + 103) << 23) | ((mantissa << (23 - top)) & 0x7fffff);
}

let singles: Uint32Array | undefined;

/** f32 bits of all halves. */
function singlesOfHalves(): Uint32Array {
  singles ??= Uint32Array.from({ length: 0x10000 }, (_, half) => widenHalf(half));
  return singles;
}
