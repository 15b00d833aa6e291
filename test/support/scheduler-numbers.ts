import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { NdArray } from '../../src/core/ndarray.ts';

/** Parses test/golden/scheduler-numbers/<name>.json, written by scripts/golden/schedulers.py. */
// biome-ignore lint/suspicious/noExplicitAny: free-form JSON, each test knows its own file
export function loadNumbers(name: string): any {
  return JSON.parse(readFileSync(new URL(`../golden/scheduler-numbers/${name}.json`, import.meta.url), 'utf8'));
}

/** float32 values from base64. */
export function floats(base64: string): Float32Array {
  return new Float32Array(new Uint8Array(Buffer.from(base64, 'base64')).buffer);
}

/** The camelCase fields of a Python keyword dictionary. */
export function fieldsOf<T>(keywords: Record<string, unknown>): T {
  const camel = (key: string) => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(keywords).map(([key, value]) => [camel(key), value])) as T;
}

/** Fails where a value is further from torch's than `tolerance` times torch's largest magnitude. */
export function expectNear(actual: Float32Array, expected: Float32Array, tolerance: number, label = 'values'): void {
  expect(actual.length, `${label}: length`).toBe(expected.length);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  let worst = 0;
  expected.forEach((value, i) => {
    if (!(Math.abs(actual[i] - value) <= Math.abs(actual[worst] - expected[worst]))) worst = i;
  });
  const error = Math.abs(actual[worst] - expected[worst]);
  const message = `${label}: worst at ${worst}: got ${actual[worst]}, expected ${expected[worst]}, largest magnitude ${largest}`;
  expect(error <= tolerance * largest, message).toBe(true);
}

/** diffusers' dummy sample [4, 3, 8, 8]: i / 768 over [3, 8, 8, 4] with the last axis moved to the front. */
export function dummySample(): NdArray {
  const data = Float32Array.from({ length: 768 }, (_, i) => ((i % 192) * 4 + Math.floor(i / 192)) / 768);
  return { data, shape: [4, 3, 8, 8] };
}

/** diffusers' dummy noise: the dummy sample with its batch reversed. */
export function dummyNoise(): NdArray {
  const { data, shape } = dummySample();
  return { data: data.map((_, i) => data[(3 - Math.floor(i / 192)) * 192 + (i % 192)]), shape };
}

/** diffusers' dummy model: x * t / (t + 1). */
export function dummyModel(x: NdArray, t: number): NdArray {
  return { data: x.data.map(value => Math.fround(value * t) / (t + 1)), shape: x.shape };
}

/** Sum of magnitudes. */
export function absSum(data: Float32Array): number {
  return data.reduce((sum, value) => sum + Math.abs(value), 0);
}
