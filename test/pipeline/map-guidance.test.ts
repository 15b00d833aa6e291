/** When a map needs no negatives, and what stands for them. */
import { expect, test } from 'vitest';
import { guidanceOf, guidanceOfMap } from '../../src/pipeline/diffedit/guidance.ts';
import { samePrompts } from '../../src/pipeline/diffusion/prompt-request.ts';
import type { Sampler } from '../../src/pipeline/diffusion/sampler.ts';

const sampler = { length: 1000 } as Sampler;
const at = { mendQuirks: false, sameNegatives: true };
const plain = { guidanceScale: 7.5, guidanceRescale: 0 };

test('one negative for both leaves two predictions and a gain', () => {
  const of = (more: object, o: object = {}) => {
    const { guidance, gain } = guidanceOfMap(guidanceOf({ ...plain, ...more }, [{ timestep: 500 }], sampler), {
      ...at,
      ...o,
    });
    return [guidance.guided, gain];
  };
  expect(of({})).toEqual([false, 6.5]);
  expect(of({}, { mendQuirks: true })).toEqual([false, 7.5]);
  expect(of({}, { sameNegatives: false })).toEqual([true, 1]);
  expect(of({ guidanceRescale: 0.7 })).toEqual([true, 1]);
  expect(of({ guidanceScale: 1 })).toEqual([false, 1]);
  expect(of({ guidanceInterval: [0.4, 0.6] })).toEqual([false, 6.5]);
  for (const sameNegatives of [true, false])
    for (const guidanceRescale of [0, 0.7])
      expect(of({ guidanceInterval: [0, 0.4], guidanceRescale }, { sameNegatives })).toEqual([false, 1]);
});

test('negatives are the same as texts, or as embeddings value by value, and never one beside the other', () => {
  const embeds = (...data: number[]) => ({ data: Float32Array.from(data), shape: [1, 1, data.length] });
  expect(samePrompts(['', 'a'], ['', 'a'])).toBe(true);
  expect(samePrompts(['', 'a'], ['a', ''])).toBe(false);
  expect(samePrompts([''], ['', ''])).toBe(false);
  expect(samePrompts(embeds(1, 2), embeds(1, 2))).toBe(true);
  expect(samePrompts(embeds(1, 2), embeds(1, 2 + 2 ** -22))).toBe(false);
  expect(samePrompts(embeds(1, 2), { ...embeds(1, 2), shape: [1, 2, 1] })).toBe(false);
  expect(samePrompts(embeds(Number.NaN), embeds(Number.NaN))).toBe(false);
  expect(samePrompts([''], embeds(1))).toBe(false);
  expect(samePrompts(undefined, [''])).toBe(false);
  expect(samePrompts(undefined, undefined)).toBe(true);
});
