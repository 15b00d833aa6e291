/**
 * torch's CPU random stream: the same seed gives the same noise as `torch.Generator().manual_seed(seed)`. Words, uniform
 * numbers, whole numbers and exponentials agree exactly, normals to about 5e-7 (torch takes polynomial logarithms and
 * sines). CUDA generators (Philox) are another stream and cannot be reproduced from here.
 */

import { InputError, ShapeError } from '../core/errors.ts';
import { checkMember } from '../core/kinds.ts';
import { type Shape, sizeOf } from '../core/shape.ts';
import { MersenneTwister } from './mersenne-twister.ts';

const f32 = Math.fround;
const TWO_PI = f32(2 * Math.PI);
/** The seed of a generator that was given none. */
const DEFAULT_SEED = 67280421310721n;
/** Below this many values torch draws normals one by one in double precision. */
const BLOCK = 16;

/** Everything that decides a generator's future draws; plain data, fit for structuredClone. */
export interface GeneratorState {
  /** That the stream started from, 0 to 2^64 - 1. */
  readonly seed: bigint;
  /** The twister's 624 words. */
  readonly words: Uint32Array;
  /** How many of them are used up, 0 to 624. */
  readonly used: number;
  /** The second normal of a pair, kept by draws of fewer than 16 values. */
  readonly cachedNormal: number | null;
}

/** A seeded stream of random numbers. @see torch.Generator (CPU) */
export class Generator {
  private engine: MersenneTwister;
  private currentSeed: bigint;
  private cachedNormal: number | null = null;

  /**
   * @param seed a whole number; torch's own default where absent, so an unseeded generator repeats itself too
   * @throws InputError when the seed is no whole number of at most 64 bits
   */
  constructor(seed: number | bigint = DEFAULT_SEED) {
    this.currentSeed = checkedSeed(seed);
    this.engine = new MersenneTwister(Number(this.currentSeed & 0xffffffffn));
  }

  /**
   * Starts the stream again from a seed; only its low 32 bits count.
   * @param seed a whole number from -2^63 to 2^64 - 1; a bigint beyond 2^53
   * @returns this generator
   * @throws InputError when the seed is no such number
   */
  manualSeed(seed: number | bigint): this {
    this.currentSeed = checkedSeed(seed);
    this.engine = new MersenneTwister(Number(this.currentSeed & 0xffffffffn));
    this.cachedNormal = null;
    return this;
  }

  /** Seeds the generator from the platform's entropy. @returns the seed, to repeat the run with */
  seed(): bigint {
    const [low = 0, high = 0] = crypto.getRandomValues(new Uint32Array(2));
    const seed = (BigInt(high) << 32n) | BigInt(low);
    this.manualSeed(seed);
    return seed;
  }

  /** The seed that the stream started from. */
  initialSeed(): bigint {
    return this.currentSeed;
  }

  /** The next word of the stream, a whole number in [0, 2^32). */
  random32(): number {
    return this.engine.next();
  }

  /**
   * Uniform numbers u = (word mod 2^24) / 2^24.
   * @param shape a count or sizes
   * @returns row-major values in [0, 1), one word each
   * @see torch.rand
   */
  uniform(shape: number | Shape): Float32Array {
    return new Float32Array(countOf('uniform', shape)).map(() => (this.random32() & 0xffffff) * 2 ** -24);
  }

  /**
   * Standard normal numbers by the Box-Muller transform: r = sqrt(-2 ln(1 - u)), r cos(2 pi v), r sin(2 pi v).
   * From 16 values on in blocks of 16 float32 uniforms; fewer in double precision, one pair at a time.
   * @param shape a count or sizes
   * @returns row-major values
   * @see torch.randn; Box & Muller 1958, https://doi.org/10.1214/aoms/1177706645
   */
  randn(shape: number | Shape): Float32Array {
    const count = countOf('randn', shape);
    if (count < BLOCK) return new Float32Array(count).map(() => this.nextNormal());
    const out = this.uniform(count);
    for (let start = 0; start + BLOCK <= count; start += BLOCK) normalsInPlace(out.subarray(start, start + BLOCK));
    if (count % BLOCK !== 0) {
      // The last 16 positions get fresh uniforms, over what the last whole block has left there.
      const tail = this.uniform(BLOCK);
      normalsInPlace(tail);
      out.set(tail, count - BLOCK);
    }
    return out;
  }

  /**
   * A uniform whole number: one word modulo `high` below 2^28, two words from there on.
   * @param high exclusive bound, 1 to 2^53
   * @returns a whole number in [0, high)
   * @throws InputError when the bound is no such number
   * @see torch.randint
   */
  randint(high: number): number {
    if (!Number.isSafeInteger(high) || high < 1) {
      throw new InputError({
        op: 'randint',
        problem: 'the bound is no whole number >= 1',
        value: high,
        fix: 'The result lies in [0, high): give at least 1.',
      });
    }
    return high < 2 ** 28 ? this.random32() % high : Number(this.random64() % BigInt(high));
  }

  /**
   * Exponential numbers with rate 1: -ln(1 - u) with u of 53 bits, rounded to float32.
   * @param shape a count or sizes
   * @returns row-major values >= 0, two words each
   * @see torch.Tensor.exponential_
   */
  exponential(shape: number | Shape): Float32Array {
    return new Float32Array(countOf('exponential', shape)).map(() => -Math.log1p(-this.uniform53()));
  }

  /**
   * One index per row, drawn with the row's weights: argmax over i of p_i / e_i, e exponential. Every entry of the
   * matrix consumes a draw, also where its weight is 0.
   * @param probabilities [rows, vocabulary] float32 weights >= 0, finite; a row need not sum to 1
   * @param rows number of rows
   * @param vocabulary number of entries in a row
   * @returns [rows] indices
   * @throws ShapeError when the sizes do not fit; InputError for a negative, infinite or NaN weight, or a row of zeros
   * @see torch.multinomial with num_samples = 1
   */
  multinomial(probabilities: Float32Array, rows: number, vocabulary: number): Int32Array {
    if (probabilities.length !== rows * vocabulary || rows * vocabulary === 0) {
      throw new ShapeError({
        op: 'multinomial',
        problem: 'rows and vocabulary do not fit the weights',
        expected: `${rows} x ${vocabulary} values, at least one`,
        received: `${probabilities.length}`,
        fix: 'Pass one row of weights after the other, all of one length.',
      });
    }
    for (let row = 0; row < rows; row++)
      checkWeights(probabilities.subarray(row * vocabulary, (row + 1) * vocabulary), row);
    const draws = this.exponential(probabilities.length);
    return new Int32Array(rows).map((_, row) => {
      let best = 0;
      let bestScore = Number.NEGATIVE_INFINITY;
      for (let i = 0; i < vocabulary; i++) {
        const at = row * vocabulary + i;
        const score = f32((probabilities[at] ?? 0) / (draws[at] ?? 1));
        if (score > bestScore) [best, bestScore] = [i, score];
      }
      return best;
    });
  }

  /** A second generator that will draw what this one draws. */
  clone(): Generator {
    const copy = new Generator();
    copy.setState(this.getState());
    return copy;
  }

  /** A snapshot of the stream; later draws do not change it. */
  getState(): GeneratorState {
    const { words, used } = this.engine;
    return { seed: this.currentSeed, words: words.slice(), used, cachedNormal: this.cachedNormal };
  }

  /**
   * Continues from a snapshot.
   * @param state what getState() of any generator returned
   * @throws InputError when the snapshot has not 624 words, or a position outside 0 to 624
   */
  setState(state: GeneratorState): void {
    const engine = new MersenneTwister(0);
    const { length } = engine.words;
    if (state.words.length !== length || !Number.isInteger(state.used) || state.used < 0 || state.used > length) {
      throw new InputError({
        op: 'setState',
        problem: 'this is no generator state',
        expected: `${length} words and a position from 0 to ${length}`,
        received: `${state.words.length} words, position ${state.used}`,
        fix: 'Pass what getState() returned.',
      });
    }
    engine.words.set(state.words);
    engine.used = state.used;
    this.engine = engine;
    this.currentSeed = checkedSeed(state.seed);
    this.cachedNormal = state.cachedNormal;
  }

  private random64(): bigint {
    const high = this.random32();
    return (BigInt(high) << 32n) | BigInt(this.random32());
  }

  /** The low 53 bits of two words, as a double in [0, 1). */
  private uniform53(): number {
    const high = this.random32() & 0x1fffff;
    return (high * 2 ** 32 + this.random32()) * 2 ** -53;
  }

  private nextNormal(): number {
    if (this.cachedNormal !== null) {
      const value = this.cachedNormal;
      this.cachedNormal = null;
      return value;
    }
    const angle = 2 * Math.PI * this.uniform53();
    const radius = Math.sqrt(-2 * Math.log1p(-this.uniform53()));
    this.cachedNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

/**
 * Normal numbers for a batch: from one generator in one draw, from a list of generators item by item.
 * @param shape sizes, batch first
 * @param generator one generator, or one for each item of the batch; a list of one counts as that generator
 * @returns row-major values
 * @throws InputError when a list has another length than the batch
 * @see diffusers randn_tensor
 */
export function randnBatch(shape: Shape, generator: Generator | readonly Generator[]): Float32Array {
  if (generator instanceof Generator) return generator.randn(shape);
  checkMember('randnBatch', { generator }, 'generator', 'list', 'a Generator, or one for each item');
  const [only] = generator;
  if (only && generator.length === 1) return only.randn(shape);
  const [batch = 0, ...item] = shape;
  if (generator.length !== batch) {
    throw new InputError({
      op: 'randnBatch',
      problem: 'the number of generators differs from the batch size',
      expected: batch,
      received: generator.length,
      path: 'generator',
      fix: 'Give one generator, or one for each item of the batch.',
    });
  }
  const out = new Float32Array(sizeOf(shape));
  generator.forEach((one, i) => {
    out.set(one.randn(item), i * sizeOf(item));
  });
  return out;
}

/** Turns 16 uniforms into 16 normals: 8 radii, then 8 angles. */
function normalsInPlace(block: Float32Array): void {
  const half = BLOCK / 2;
  for (let j = 0; j < half; j++) {
    const radius = f32(Math.sqrt(f32(-2 * f32(Math.log(1 - (block[j] ?? 0))))));
    const angle = f32(TWO_PI * (block[j + half] ?? 0));
    block[j] = radius * Math.cos(angle);
    block[j + half] = radius * Math.sin(angle);
  }
}

function countOf(op: string, shape: number | Shape): number {
  const count = typeof shape === 'number' ? shape : sizeOf(shape);
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new InputError({
      op,
      problem: 'this is no count and no shape',
      value: shape,
      fix: 'Give a whole number >= 0, or a list of them.',
    });
  }
  return count;
}

/**
 * A seed as torch keeps it, without making a generator of it.
 * @param seed a whole number from -2^63 to 2^64 - 1; a bigint beyond 2^53
 * @returns the same modulo 2^64
 * @throws InputError when it is no such number
 */
export function checkedSeed(seed: number | bigint): bigint {
  const value = typeof seed === 'bigint' || Number.isSafeInteger(seed) ? BigInt(seed) : null;
  if (value === null || value < -(2n ** 63n) || value >= 2n ** 64n) {
    throw new InputError({
      op: 'Generator',
      problem: 'the seed is no whole number of at most 64 bits',
      value: seed,
      path: 'seed',
      fix: 'Give an integer; beyond 2^53 write it as a bigint, for example 12345678901234567890n.',
    });
  }
  return BigInt.asUintN(64, value);
}

function checkWeights(weights: Float32Array, row: number): void {
  const bad = weights.find(p => !(p >= 0 && p < Number.POSITIVE_INFINITY));
  if (bad === undefined && weights.some(p => p > 0)) return;
  throw new InputError({
    op: 'multinomial',
    problem: bad === undefined ? 'all weights of a row are 0' : 'a weight is negative, infinite or NaN',
    expected: 'finite weights >= 0, one of them above 0',
    received: bad ?? 0,
    path: `row ${row}`,
    fix: 'Pass the softmax of finite logits.',
  });
}
