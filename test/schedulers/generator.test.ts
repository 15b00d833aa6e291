import { describe, expect, test } from 'vitest';
import { Generator, randnBatch } from '../../src/schedulers/index.ts';
import { maxError } from '../support/close.ts';
import { floats, loadNumbers } from '../support/scheduler-numbers.ts';

interface Numbers {
  words: { seed: string; values: number[] }[];
  uniform: string;
  randn: { n: number; values: string }[];
  randint: { high: string; values: number[] }[];
  exponential: string;
  multinomial: { seed: number; values: number[] }[];
  mixed: { op: string; n: number; values: string }[];
}

const torch: Numbers = loadNumbers('random');
/** torch takes polynomial logarithms, sines and cosines. */
const NORMAL = 1e-6;

describe('Generator draws what torch draws on a CPU', () => {
  test.each(torch.words)('the words of seed $seed, exactly', ({ seed, values }) => {
    const generator = new Generator(BigInt(seed));
    expect(values.map(() => generator.random32())).toEqual(values);
  });

  test('uniform numbers, exactly', () => {
    expect(new Generator(3).uniform(700)).toEqual(floats(torch.uniform));
  });

  test.each(torch.randn)('$n normal numbers to 1e-6', ({ n, values }) => {
    expect(maxError(new Generator(11).randn(n), floats(values))).toBeLessThan(NORMAL);
  });

  test('the first values that are printed everywhere for seed 0', () => {
    const block = [-1.12583983, -1.1523602, -0.25057858, -0.43387881];
    expect(maxError(new Generator(0).randn(16).slice(0, 4), block)).toBeLessThan(NORMAL);
    const pairs = [1.54099607, -0.2934289, -2.17878938];
    expect(maxError(new Generator(0).randn(8).slice(0, 3), pairs)).toBeLessThan(NORMAL);
    expect(new Generator(0).uniform(3)).toEqual(Float32Array.of(0.49625659, 0.7682218, 0.08847743));
  });

  test.each(torch.randint)('whole numbers below $high, exactly', ({ high, values }) => {
    const generator = new Generator(9);
    expect(values.map(() => generator.randint(Number(high)))).toEqual(values);
  });

  test('exponentials, bit for bit', () => {
    expect(new Generator(13).exponential(5120)).toEqual(floats(torch.exponential));
  });

  test.each(torch.multinomial)('one index per row of 16 x 320 weights, seed $seed', ({ seed, values }) => {
    const weight = (r: number, i: number) => (i % 3 > 0 ? ((i * 7919 + r * 31) % 1000) / 1000 : 0);
    const weights = Float32Array.from({ length: 16 * 320 }, (_, k) => weight(Math.floor(k / 320), k % 320));
    expect([...new Generator(seed).multinomial(weights, 16, 320)]).toEqual(values);
  });

  test('calls of all kinds one after the other, the second normal of a pair kept in between', () => {
    const generator = new Generator(5);
    for (const { op, n, values } of torch.mixed) {
      const drawn = {
        randn: () => generator.randn(n),
        uniform: () => generator.uniform(n),
        exponential: () => generator.exponential(n),
        randint: () => Float32Array.of(generator.randint(n)),
      }[op as 'randn' | 'uniform' | 'exponential' | 'randint']();
      expect(maxError(drawn, floats(values)), `${op}(${n})`).toBeLessThan(NORMAL);
    }
  });
});

describe('Generator', () => {
  test('takes a shape as well as a count', () => {
    expect(new Generator(1).randn([2, 3, 4])).toEqual(new Generator(1).randn(24));
    expect(new Generator(1).uniform([])).toEqual(new Generator(1).uniform(1));
  });

  test('looks at the low 32 bits of a seed only, and remembers all of it', () => {
    expect(new Generator(2 ** 32 + 7).random32()).toBe(new Generator(7).random32());
    expect(new Generator(-1).random32()).toBe(new Generator(0xffffffffn).random32());
    expect(new Generator(2 ** 40).initialSeed()).toBe(2n ** 40n);
    expect(new Generator(-1).initialSeed()).toBe(2n ** 64n - 1n);
    expect(new Generator().initialSeed()).toBe(67280421310721n);
  });

  test('forgets the kept normal when it is seeded again', () => {
    const generator = new Generator(4);
    const first = generator.randn(1);
    generator.manualSeed(4);
    expect(generator.randn(1)).toEqual(first);
  });

  test('continues from a snapshot or a clone, the kept normal included', () => {
    const generator = new Generator(8);
    generator.uniform(700);
    generator.randn(3);
    const state = structuredClone(generator.getState());
    const clone = generator.clone();
    const next = [...generator.randn(5), ...generator.uniform(700)];
    expect([...clone.randn(5), ...clone.uniform(700)]).toEqual(next);
    const other = new Generator(1);
    other.setState(state);
    expect([...other.randn(5), ...other.uniform(700)]).toEqual(next);
    expect(other.initialSeed()).toBe(8n);
  });

  test('seeds itself from entropy and says with what', () => {
    const generator = new Generator();
    const seed = generator.seed();
    expect(new Generator(seed).random32()).toBe(generator.random32());
    expect(generator.seed()).not.toBe(seed);
  });

  test('draws a batch item by item from a list of generators', () => {
    const list = [new Generator(1), new Generator(2)];
    const both = randnBatch([2, 4, 5], list);
    expect(both.slice(0, 20)).toEqual(new Generator(1).randn(20));
    expect(both.slice(20)).toEqual(new Generator(2).randn(20));
    expect(randnBatch([2, 10], [new Generator(3)])).toEqual(new Generator(3).randn(20));
    expect(randnBatch([2, 10], new Generator(3))).toEqual(new Generator(3).randn(20));
  });

  test('refuses what it cannot draw', () => {
    expect(() => new Generator(1.5)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: Generator: the seed is no whole number of at most 64 bits: got 1.5 (seed). Give an integer; beyond 2^53 write it as a bigint, for example 12345678901234567890n.]`,
    );
    expect(() => new Generator(2n ** 64n)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: Generator: the seed is no whole number of at most 64 bits: got 18446744073709551616 (seed). Give an integer; beyond 2^53 write it as a bigint, for example 12345678901234567890n.]`,
    );
    expect(() => new Generator(0).randint(0)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: randint: the bound is no whole number >= 1: got 0. The result lies in [0, high): give at least 1.]`,
    );
    expect(() => new Generator(0).randn(-1)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: randn: this is no count and no shape: got -1. Give a whole number >= 0, or a list of them.]`,
    );
    expect(() => randnBatch([3, 2], [new Generator(0), new Generator(1)])).toThrowErrorMatchingInlineSnapshot(
      `[InputError: randnBatch: the number of generators differs from the batch size: expected 3, got 2 (generator). Give one generator, or one for each item of the batch.]`,
    );
    expect(() => new Generator(0).multinomial(new Float32Array(5), 2, 3)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: multinomial: rows and vocabulary do not fit the weights: expected 2 x 3 values, at least one, got 5. Pass one row of weights after the other, all of one length.]`,
    );
    expect(() => new Generator(0).multinomial(Float32Array.of(1, 0, 0, 0), 2, 2)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: multinomial: all weights of a row are 0: expected finite weights >= 0, one of them above 0, got 0 (row 1). Pass the softmax of finite logits.]`,
    );
    expect(() => new Generator(0).multinomial(Float32Array.of(1, -1), 1, 2)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: multinomial: a weight is negative, infinite or NaN: expected finite weights >= 0, one of them above 0, got -1 (row 0). Pass the softmax of finite logits.]`,
    );
    expect(() => new Generator(0).multinomial(Float32Array.of(1, Number.NaN), 1, 2)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: multinomial: a weight is negative, infinite or NaN: expected finite weights >= 0, one of them above 0, got NaN (row 0). Pass the softmax of finite logits.]`,
    );
    const state = { ...new Generator(0).getState(), used: 700 };
    expect(() => new Generator(0).setState(state)).toThrowErrorMatchingInlineSnapshot(
      `[InputError: setState: this is no generator state: expected 624 words and a position from 0 to 624, got 624 words, position 700. Pass what getState() returned.]`,
    );
  });
});
