import { expect } from 'vitest';

/** Relative L2 error ||a - b|| / ||b||. */
export function relativeL2(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let error = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return Math.sqrt(error / Math.max(norm, 1e-60));
}

/** Largest absolute difference. */
export function maxError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(actual[i] - expected[i]);
    if (!(d <= worst)) worst = Number.isNaN(d) ? Number.POSITIVE_INFINITY : d;
  }
  return worst;
}

/** Fails with the worst index and both values where the relative L2 error exceeds `tolerance`. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  label = 'tensor',
): void {
  expect(actual.length, `${label}: length`).toBe(expected.length);
  const error = relativeL2(actual, expected);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    if (!(Math.abs(actual[i] - expected[i]) <= Math.abs(actual[worst] - expected[worst]))) worst = i;
  }
  const message = `${label}: relative L2 ${error.toExponential(2)} > ${tolerance}; worst at ${worst}: got ${actual[worst]}, expected ${expected[worst]}`;
  expect(error <= tolerance, message).toBe(true);
}
