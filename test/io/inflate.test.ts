import { constants, deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { inflatePrefix } from '../../src/io/inflate.ts';
import { Generator } from '../../src/schedulers/generator.ts';

/** Bytes that repeat a little, so that all kinds of codes occur. */
function bytesOf(length: number, seed: number): Uint8Array {
  const noise = new Generator(seed).randn([length]);
  const out = new Uint8Array(length);
  for (let i = 0; i < length; i++) out[i] = (noise[i] ?? 0) > 0.3 ? (out[i - 7 * seed] ?? 0) : 40 * (noise[i] ?? 0);
  return out;
}

const { Z_DEFAULT_STRATEGY, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE } = constants;

describe('the start of a zlib stream', () => {
  it.each([
    ['stored', { level: 0 }],
    ['of fixed codes', { strategy: Z_FIXED }],
    ['of codes only', { strategy: Z_HUFFMAN_ONLY }],
    ['of runs', { strategy: Z_RLE }],
    ['with a small window', { windowBits: 9 }],
    ['at its best', { level: 9, strategy: Z_DEFAULT_STRATEGY }],
  ])('%s is what was deflated', (_, options) => {
    for (const length of [0, 1, 5, 300, 70_000, 200_000]) {
      const plain = bytesOf(length, 3);
      const stream = deflateSync(plain, options);
      for (const size of [0, length >> 1, length, length + 10]) {
        const { bytes, verdict } = inflatePrefix(stream, size);
        expect(Buffer.compare(bytes, plain.subarray(0, size))).toBe(0);
        expect(verdict).toBe(size < length ? 'open' : 'sound');
      }
    }
  });

  it('is kept whatever comes behind it, and says what is known of it', () => {
    const plain = bytesOf(5000, 2);
    const stream = deflateSync(plain);
    const read = (bytes: Uint8Array): [number, string] => {
      const { bytes: start, verdict } = inflatePrefix(bytes, plain.length);
      const same = Buffer.compare(start, plain.subarray(0, start.length)) === 0;
      return [same ? start.length : -1, verdict];
    };
    expect(read(Uint8Array.from([...stream, 1, 2, 3]))).toEqual([5000, 'sound']);
    expect(read(stream.subarray(0, -4))).toEqual([5000, 'sound']);
    expect(read(stream.subarray(0, -6))[1]).toBe('sound');
    expect(read(stream.subarray(0, 1000))[0]).toBeGreaterThan(500);
    const wrong = Uint8Array.from(stream);
    wrong[wrong.length - 1] ^= 1;
    expect(read(wrong)).toEqual([5000, 'wrong']);
    expect(read(Uint8Array.of(0x78, 0x9d, 1))).toEqual([0, 'open']);
    expect(read(new Uint8Array())).toEqual([0, 'sound']);
  });
});
