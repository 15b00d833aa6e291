/**
 * The start of a zlib stream, as far as it can be read. Every runtime has an inflater that is faster, but they differ in what
 * they do with a stream that is damaged behind its pixels: some throw away what they had inflated before. This one keeps it.
 * Memory grows with what is really inflated, never with what a header claims.
 * @see RFC 1950, RFC 1951
 */
import { GrowingBytes } from './growing-bytes.ts';

/** Base values and numbers of extra bits of the length codes 257 to 285. @see RFC 1951, section 3.2.5 */
const LENGTHS = bases(3, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0]);
/** The same of the distance codes 0 to 29. */
const DISTANCES = bases(
  1,
  Array.from({ length: 30 }, (_, i) => Math.max(0, (i >> 1) - 1)),
);
/** Order in which the lengths of the code-length codes are stored. */
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const END_OF_BLOCK = 256;
const LONGEST_CODE = 15;

interface Bases {
  readonly extra: readonly number[];
  readonly base: readonly number[];
}

function bases(first: number, extra: readonly number[]): Bases {
  let next = first;
  const base = extra.map(bits => {
    const at = next;
    next += 1 << bits;
    return at;
  });
  if (extra.length === 29) base[28] = 258; // the longest match has a code of its own
  return { extra, base };
}

/** The start of a stream. */
export interface InflatedPrefix {
  /** As many bytes as were asked for, or fewer where the stream ends or is damaged before. */
  readonly bytes: Uint8Array;
  /**
   * What the stream itself says about them: 'sound' where it ends with them and its checksum is right or cut off, 'wrong' where
   * that is another, 'open' where more follows, or damage.
   */
  readonly verdict: 'sound' | 'wrong' | 'open';
}

/**
 * What a zlib stream holds, up to its end, its first damage, or `size` bytes.
 * @param stream with its two bytes of header
 * @param size bytes, at most
 */
export function inflatePrefix(stream: Uint8Array, size: number): InflatedPrefix {
  const bits = new Bits(stream);
  const out = new GrowingBytes(size + 1, 4 * stream.length + 1024); // one more, to see whether more follows
  const method = bits.take(8);
  const flags = bits.take(8);
  let whole = (method & 15) === 8 && ((method << 8) | flags) % 31 === 0 && (flags & 32) === 0;
  for (let last = 0; whole && last === 0 && !bits.spent && !out.full; ) {
    last = bits.take(1);
    const kind = bits.take(2);
    whole = kind === 0 ? stored(bits, out) : compressed(bits, out, kind);
  }
  const bytes = out.bytes();
  if (out.full) return { bytes: bytes.subarray(0, size), verdict: 'open' };
  if (bits.spent) return { bytes, verdict: 'sound' }; // cut off
  if (!whole) return { bytes, verdict: 'open' };
  const [a = 0, b = 0, c = 0, d] = bits.bytes(4);
  const sound = d === undefined || ((a << 24) | (b << 16) | (c << 8) | d) >>> 0 === adler32(bytes);
  return { bytes, verdict: sound ? 'sound' : 'wrong' };
}

/** @see RFC 1950, section 9 */
function adler32(bytes: Uint8Array): number {
  let [a, b] = [1, 0];
  for (let from = 0; from < bytes.length; from += 3800) {
    for (const byte of bytes.subarray(from, from + 3800)) {
      a += byte;
      b += a;
    }
    a %= 65521;
    b %= 65521;
  }
  return b * 65536 + a;
}

/** Bits from the lowest on. Beyond the end there are zeros, and `spent` says so. */
class Bits {
  /** Whether bits were taken that are not there. */
  spent = false;
  #at = 0;
  #held = 0;
  #count = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The next `count` bits, at most 16, without taking them. */
  peek(count: number): number {
    while (this.#count < count) {
      this.#held |= (this.#bytes[this.#at++] ?? 0) << this.#count;
      this.#count += 8;
    }
    return this.#held & ((1 << count) - 1);
  }

  skip(count: number): void {
    this.#held >>>= count;
    this.#count -= count;
    // At most two bytes are held, so this is exact.
    if (8 * (this.#at - this.#bytes.length) > this.#count) this.spent = true;
  }

  take(count: number): number {
    const value = this.peek(count);
    this.skip(count);
    return value;
  }

  /** Leaves the rest of a byte, and gives the next `length` bytes. */
  bytes(length: number): Uint8Array {
    const from = this.#at - (this.#count >> 3);
    this.#held = 0;
    this.#count = 0;
    this.#at = from + length;
    this.spent ||= this.#at > this.#bytes.length;
    return this.#bytes.subarray(from, from + length);
  }
}

/** A block that is not compressed. False where it is damaged. */
function stored(bits: Bits, out: GrowingBytes): boolean {
  const head = bits.bytes(4);
  const [a = 0, b = 0, c = 0, d = 0] = head;
  if (head.length < 4 || (a ^ c) !== 255 || (b ^ d) !== 255) return false;
  for (const byte of bits.bytes(a | (b << 8))) {
    if (out.full) break;
    out.push(byte);
  }
  return true;
}

/** A block of codes, of the standard's own tables (1) or of its own (2). False where it is damaged. */
function compressed(bits: Bits, out: GrowingBytes, kind: number): boolean {
  const codes = kind === 1 ? fixedCodes() : kind === 2 ? ownCodes(bits) : undefined;
  if (!codes) return false;
  while (!out.full) {
    const symbol = codes.symbols.next(bits);
    if (bits.spent || symbol < 0) return false;
    if (symbol < END_OF_BLOCK) out.push(symbol);
    else if (symbol === END_OF_BLOCK) return true;
    else {
      const length = measure(bits, LENGTHS, symbol - END_OF_BLOCK - 1);
      const distance = measure(bits, DISTANCES, codes.distances.next(bits));
      if (bits.spent || length === undefined || distance === undefined || !out.repeat(distance, length)) return false;
    }
  }
  return true;
}

function measure(bits: Bits, { base, extra }: Bases, code: number): number | undefined {
  const first = base[code];
  return first === undefined ? undefined : first + bits.take(extra[code] ?? 0);
}

/** A prefix code as one table: what the next bits, as many as the longest code has, begin with. */
class PrefixCode {
  readonly #longest: number;
  /** 16 * symbol + length of its code; 0 where no code begins so. */
  readonly #table: Uint16Array;

  constructor(lengths: ArrayLike<number>) {
    const counts = countsOf(lengths);
    this.#longest = Math.max(
      1,
      counts.findLastIndex(n => n > 0),
    );
    this.#table = new Uint16Array(1 << this.#longest);
    const next: number[] = [0, 0];
    for (let n = 1; n < LONGEST_CODE; n++) next[n + 1] = ((next[n] ?? 0) + (counts[n] ?? 0)) << 1;
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      const length = lengths[symbol] ?? 0;
      if (length === 0) continue;
      const code = next[length] ?? 0;
      next[length] = code + 1;
      for (let i = reversed(code, length); i < this.#table.length; i += 1 << length)
        this.#table[i] = (symbol << 4) | length;
    }
  }

  /** The next symbol; -1 where the bits are no code. */
  next(bits: Bits): number {
    const entry = this.#table[bits.peek(this.#longest)] ?? 0;
    bits.skip(entry & 15);
    return entry === 0 ? -1 : entry >> 4;
  }
}

/** How many codes have 0, 1, ... 15 bits; of those that are not used none. */
function countsOf(lengths: ArrayLike<number>): number[] {
  const counts = new Array<number>(LONGEST_CODE + 1).fill(0);
  for (let i = 0; i < lengths.length; i++) {
    const length = lengths[i] ?? 0;
    if (length > 0) counts[length] = (counts[length] ?? 0) + 1;
  }
  return counts;
}

/** Whether code lengths make a prefix code that leaves no gap; a single code of one bit may. */
function isPrefixCode(lengths: ArrayLike<number>, mayBeSingle: boolean): boolean {
  const counts = countsOf(lengths);
  let free = 1;
  for (let n = 1; n <= LONGEST_CODE; n++) {
    free = 2 * free - (counts[n] ?? 0);
    if (free < 0) return false;
  }
  return free === 0 || (mayBeSingle && counts.findLastIndex(n => n > 0) <= 1);
}

function reversed(code: number, length: number): number {
  let out = 0;
  for (let i = 0; i < length; i++) out |= ((code >> i) & 1) << (length - 1 - i);
  return out;
}

interface Codes {
  readonly symbols: PrefixCode;
  readonly distances: PrefixCode;
}

let fixed: Codes | undefined;

/** @see RFC 1951, section 3.2.6 */
function fixedCodes(): Codes {
  const lengths = Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8));
  fixed ??= { symbols: new PrefixCode(lengths), distances: new PrefixCode(new Uint8Array(30).fill(5)) };
  return fixed;
}

/** The tables that a block brings; undefined where they make no code. @see RFC 1951, section 3.2.7 */
function ownCodes(bits: Bits): Codes | undefined {
  const [symbols, distances, given] = [bits.take(5) + 257, bits.take(5) + 1, bits.take(4) + 4];
  const small = new Uint8Array(19);
  for (const at of ORDER.slice(0, given)) small[at] = bits.take(3);
  if (symbols > 286 || distances > 30 || !isPrefixCode(small, false)) return undefined;
  const code = new PrefixCode(small);
  const lengths = new Uint8Array(symbols + distances);
  for (let i = 0; i < lengths.length; ) {
    const symbol = code.next(bits);
    if (symbol < 0 || bits.spent || (symbol === 16 && i === 0)) return undefined;
    if (symbol < 16) lengths[i++] = symbol;
    else {
      const value = symbol === 16 ? (lengths[i - 1] ?? 0) : 0;
      const times = symbol === 16 ? 3 + bits.take(2) : symbol === 17 ? 3 + bits.take(3) : 11 + bits.take(7);
      if (i + times > lengths.length) return undefined;
      lengths.fill(value, i, i + times);
      i += times;
    }
  }
  const [first, second] = [lengths.subarray(0, symbols), lengths.subarray(symbols)];
  if (first[END_OF_BLOCK] === 0 || !isPrefixCode(first, true) || !isPrefixCode(second, true)) return undefined;
  return { symbols: new PrefixCode(first), distances: new PrefixCode(second) };
}
