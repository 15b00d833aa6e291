/**
 * Bits and Huffman codes of a JPEG's scans. Where the data break off there are zeros, and a code that does not exist stands
 * for 0, both as in libjpeg; both are noted.
 */

/** Bits that the fast table looks at. */
const FAST = 8;

/** One table of codes. @see ITU-T T.81, annex C; libjpeg, jdhuff.c jpeg_make_d_derived_tbl */
export class HuffmanTable {
  /** 256 * length + symbol for whatever begins with a short code, else 0. */
  readonly fast: Uint16Array = new Uint16Array(1 << FAST);
  /** Largest code of each length; -1 where there is none. */
  readonly last: Int32Array = new Int32Array(18).fill(-1);
  /** What to add to a code of each length to find its symbol. */
  readonly offset: Int32Array = new Int32Array(17);
  readonly symbols: Uint8Array;

  private constructor(symbols: Uint8Array) {
    this.symbols = symbols;
  }

  /**
   * @param counts how many codes have 1, 2, ... 16 bits
   * @param symbols in the order of their codes
   * @returns undefined where no such code can exist
   */
  static from(counts: Uint8Array, symbols: Uint8Array): HuffmanTable | undefined {
    const table = new HuffmanTable(symbols);
    let [code, at] = [0, 0];
    for (let length = 1; length <= 16; length++, code <<= 1) {
      const count = counts[length - 1] ?? 0;
      if (count === 0) continue;
      table.offset[length] = at - code;
      for (let i = 0; i < count && length <= FAST; i++) {
        const first = (code + i) << (FAST - length);
        table.fast.fill((length << 8) | (symbols[at + i] ?? 0), first, first + (1 << (FAST - length)));
      }
      code += count;
      at += count;
      if (code > 1 << length) return undefined;
      table.last[length] = code - 1;
    }
    return at <= symbols.length ? table : undefined;
  }
}

/** Reads a scan's bits, highest first, up to the next marker. */
export class EntropyReader {
  /** Where the next byte is read. */
  at: number;
  /** Whether bits were asked for behind the next marker or the end of the file. */
  missing = false;
  /** Whether what was met is the end of the file, not a marker. */
  ended = false;
  /** Codes that no table has. */
  wrongCodes = 0;
  #held = 0;
  #count = 0;
  #marker = false;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** Begins anew at a byte, behind a restart marker. */
  restart(at: number): void {
    this.at = at;
    this.#held = 0;
    this.#count = 0;
    this.#marker = false;
    this.missing = false;
  }

  /** `length` bits, 0 to 16. */
  bits(length: number): number {
    if (this.#count < length) this.#fill(length);
    this.#count -= length;
    return (this.#held >>> this.#count) & ((1 << length) - 1);
  }

  /** A number of `length` bits whose first bit says its sign. @see ITU-T T.81, F.2.2.1 */
  signed(length: number): number {
    if (length === 0) return 0;
    const value = this.bits(length);
    return value < 1 << (length - 1) ? value - (1 << length) + 1 : value;
  }

  /** The symbol of the next code. */
  symbol(table: HuffmanTable): number {
    if (this.#count < 16) this.#fill(16, true);
    const entry = table.fast[this.#peek(FAST)] ?? 0;
    if (entry > 0) {
      this.#take(entry >> 8);
      return entry & 255;
    }
    for (let length = FAST + 1; length <= 16; length++) {
      const code = this.#peek(length);
      if (code > (table.last[length] ?? -1)) continue;
      this.#take(length);
      return table.symbols[code + (table.offset[length] ?? 0)] ?? 0;
    }
    this.#take(16);
    this.wrongCodes++;
    return 0;
  }

  /** The next bits, zeros where there are fewer. */
  #peek(length: number): number {
    const short = length - this.#count;
    if (short > 0) return (this.#held << short) & ((1 << length) - 1);
    return (this.#held >>> -short) & ((1 << length) - 1);
  }

  #take(length: number): void {
    if (this.#count < length) this.#fill(length);
    this.#count -= length;
  }

  /** Holds at least `length` bits, unless it is only to look. */
  #fill(length: number, look = false): void {
    while (this.#count <= 24 && !this.#marker) {
      const byte = this.#bytes[this.at];
      if (byte === undefined) {
        this.#marker = true;
        this.ended = true;
        break;
      }
      let next = this.at + 1;
      if (byte === 0xff) {
        while (this.#bytes[next] === 0xff) next++;
        if (this.#bytes[next] !== 0) {
          this.#marker = true;
          this.ended = next >= this.#bytes.length;
          break;
        }
        next++; // a 0 behind 255 means 255
      }
      this.#held = (this.#held << 8) | byte;
      this.#count += 8;
      this.at = next;
    }
    if (look || this.#count >= length) return;
    this.missing = true;
    this.#held <<= 24 - this.#count;
    this.#count = 24;
  }
}
