/** A logarithmic axis: from values to pixels, and the values that are written beside it. */

/** An axis. */
export class LogAxis {
  readonly least: number;
  readonly most: number;
  readonly #from: number;
  readonly #to: number;

  /** @param from pixel of the least value @param to pixel of the largest */
  constructor(range: readonly [least: number, most: number], from: number, to: number) {
    [this.least, this.most] = range;
    [this.#from, this.#to] = [from, to];
  }

  /** The pixel of a value; what is outside goes to the end that is nearer. */
  at(value: number): number {
    const within = Math.min(this.most, Math.max(this.least, value));
    const share = Math.log(within / this.least) / Math.log(this.most / this.least);
    return this.#from + share * (this.#to - this.#from);
  }

  /** Powers of `base`, thinned out to at most `count`. */
  ticks(base: 2 | 10, count: number): number[] {
    const log = base === 2 ? Math.log2 : Math.log10;
    const [first, last] = [Math.ceil(log(this.least) - 1e-9), Math.floor(log(this.most) + 1e-9)];
    const powers = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
    const step = Math.max(1, Math.ceil(powers.length / count));
    const fine = base === 10 && powers.length <= count / 2 ? [1, 2, 5] : [1];
    // The power below the first gives the 2 and 5 that lie in front of it.
    return [...(powers.length > 0 ? [first - 1, ...powers] : [first - 1, first])]
      .filter(power => power % step === 0)
      .flatMap(power => fine.map(digit => Number((digit * base ** power).toPrecision(12))))
      .filter(value => value >= this.least * 0.999 && value <= this.most * 1.001);
  }
}

/** A tick in words: 0.25, 1, 16, 1000, 10k. */
export function tickWords(value: number): string {
  return value >= 10_000 ? `${Number((value / 1000).toPrecision(4))}k` : String(Number(value.toPrecision(4)));
}
