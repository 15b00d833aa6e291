const SIZE = 624;
const SHIFT = 397;

/**
 * MT19937, the 32-bit Mersenne twister with period 2^19937 - 1, seeded by Knuth's linear recurrence.
 * @see Matsumoto & Nishimura 1998, https://doi.org/10.1145/272991.272995; at::mt19937 in torch
 */
export class MersenneTwister {
  readonly words: Uint32Array;
  /** Words of the current block that are already used up. */
  used: number;

  /**
   * @param seed 32 bits; higher ones are ignored
   */
  constructor(seed: number) {
    this.words = new Uint32Array(SIZE);
    this.used = SIZE;
    let word = seed >>> 0;
    for (let i = 0; i < SIZE; i++) {
      this.words[i] = word;
      word = (Math.imul(1812433253, word ^ (word >>> 30)) + i + 1) >>> 0;
    }
  }

  /** The next word, a whole number in [0, 2^32). */
  next(): number {
    if (this.used >= SIZE) this.refill();
    let y = this.words[this.used++] ?? 0;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  private refill(): void {
    const w = this.words;
    for (let i = 0; i < SIZE; i++) {
      const y = ((w[i] ?? 0) & 0x80000000) | ((w[(i + 1) % SIZE] ?? 0) & 0x7fffffff);
      w[i] = (w[(i + SHIFT) % SIZE] ?? 0) ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.used = 0;
  }
}
