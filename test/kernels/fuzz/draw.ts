/** Random numbers of problems: the same from the same seed, in any order of the problems. */
import type { Storage } from '../../../src/kernels/kernel.ts';

/** A stream of draws; its seed names it in messages. */
export class Draw {
  #state: number;
  readonly #turn: number;

  /**
   * @param seed any text: the run's number, and what of it is drawn
   * @param turn how many times the same was drawn before
   */
  constructor(seed: string, turn = 0) {
    this.#turn = turn;
    let state = 2166136261;
    for (const c of seed) state = Math.imul(state ^ (c.codePointAt(0) ?? 0), 16777619) >>> 0;
    this.#state = state;
  }

  /** A word of 32 bits. */
  word(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }

  /** A whole number of [least, most]. */
  int(least: number, most: number): number {
    return least + Math.floor((this.word() / 2 ** 32) * (most - least + 1));
  }

  /** One in `times`, most often. */
  chance(times = 2): boolean {
    return this.int(1, times) === 1;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)] as T;
  }

  /** Each of a list in its turn: what a few turns must all have seen. */
  turn<T>(list: readonly T[]): T {
    return list[this.#turn % list.length] as T;
  }

  /** A size: often at a border of `tile`, where kernels go wrong, else anything up to `most`. */
  size(tile: number, most: number = 2 * tile + 1): number {
    const border = [1, tile - 1, tile, tile + 1, 2 * tile, 2 * tile + 1].filter(size => size > 0 && size <= most);
    return this.chance() ? this.pick(border) : this.int(1, most);
  }

  /** A multiple of `step`. */
  multiple(step: number, tile: number, most: number = 2 * tile): number {
    return step * this.size(Math.ceil(tile / step), Math.ceil(most / step));
  }

  /** `elements` values in [-2, 2) in a storage form, as words. */
  values(storage: Storage, elements: number): Uint32Array {
    if (storage === 'f32') return this.words(elements, w => (w & 0x807fffff) | (0x3f000000 + (w & 0x800000)));
    const each =
      storage === 'bf16-packed' ? { keep: 0x807f807f, base: 0x3f003f00 } : { keep: 0x87ff87ff, base: 0x38003800 };
    return this.words(Math.ceil(elements / 2), w => (w & each.keep) | each.base);
  }

  /** Words that `make` makes of random ones. */
  words(count: number, make: (word: number) => number = w => w): Uint32Array {
    const words = new Uint32Array(count);
    for (let i = 0; i < count; i++) words[i] = make(this.word());
    return words;
  }
}
