/** Whether a result is right: sampled elements against f64, and all elements against those of another way to make them. */
import type { Storage } from '../kernels/kernel.ts';
import { MOMENT_ROWS, momentsPitch } from '../kernels/moments.ts';
import type { MeasuredMoments, ProblemCase, Values } from './case-types.ts';
import { randoms } from './open-case.ts';

/** Elements that are computed in f64. */
const SAMPLES = 96;
/** Channels whose measured statistics are. */
const MOMENT_SAMPLES = 6;

/** How far a result may lie from the exact one: shares of its own size, and of the root mean square of all. */
interface Tolerance {
  readonly own: number;
  readonly all: number;
}

/**
 * By the coarser of what a call reads and writes. Sums of f32 in any order stay far below the first; factors that were rounded to halves on
 * their way lie above it. Halves are rounded to 2^-11 of their own size, and weights of attention may be halves.
 */
const TOLERANCE: Readonly<Record<'f32' | 'half', Tolerance>> = {
  f32: { own: 2e-5, all: 1e-4 },
  half: { own: 2e-3, all: 4e-3 },
};

/** The tolerance of a case. */
export function toleranceOf({ buffers, output }: ProblemCase): Tolerance {
  const activations = [output, 'a', 'q', 'x'].map((name): Storage => buffers[name]?.[1] ?? 'f32');
  return activations.every(storage => storage === 'f32') ? TOLERANCE.f32 : TOLERANCE.half;
}

/** An element and its value in f64. */
export interface Sample {
  /** Which. */
  readonly at: number;
  /** Its value. */
  readonly expected: number;
}

/** Elements all over the result, its ends among them, and what they should be; those that the op leaves alone are left out. */
export function samplesOf({ buffers, output, expected }: ProblemCase, values: Values): Sample[] {
  const [elements] = buffers[output] ?? [0];
  const random = randoms(3 * SAMPLES, 77);
  const places = new Set([0, elements - 1]);
  for (const r of random) {
    if (places.size >= Math.min(SAMPLES, elements)) break;
    places.add(Math.min(elements - 1, Math.floor(((r + 1) / 2) * elements)));
  }
  // In their order, so that a formula which keeps a row meets it once.
  const all = [...places].sort((a, b) => a - b).map(at => ({ at, expected: expected(values, at) }));
  return all.filter(sample => !Number.isNaN(sample.expected));
}

/** Root mean square of the exact values. */
export function exactSize(samples: readonly Sample[]): number {
  return Math.sqrt(samples.reduce((sum, { expected }) => sum + expected ** 2, 0) / Math.max(1, samples.length));
}

/** What is wrong with a result by its samples, in words; undefined where nothing is. */
export function wrongSample(
  result: Float32Array,
  samples: readonly Sample[],
  tolerance: Tolerance,
  size: number,
): string | undefined {
  for (const { at, expected } of samples) {
    const got = result[at] ?? Number.NaN;
    if (Math.abs(got - expected) <= tolerance.all * size + tolerance.own * Math.abs(expected)) continue;
    return `element ${at} is ${got}, not ${expected}`;
  }
  return undefined;
}

/**
 * The element in which two results differ most beyond what both may; undefined where they agree. Elements that the op leaves alone agree.
 */
export function disagreement(a: Float32Array, b: Float32Array, tolerance: Tolerance, size: number): number | undefined {
  let worst: number | undefined;
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] as number, b[i] as number];
    const apart = Math.abs(x - y);
    const over = apart - 2 * (tolerance.all * size + tolerance.own * Math.abs(y));
    if (Number.isNaN(apart)) return i;
    if (over > most) [worst, most] = [i, over];
  }
  return worst;
}

/**
 * What is wrong with measured statistics, against those of the result itself, by a few pairs of channels.
 * @param y the result
 * @param moments as `lib/moments` lays them out
 */
export function wrongMoments(
  { pitch, channels: [first, count], imageRows }: MeasuredMoments,
  y: Float32Array,
  moments: Float32Array,
): string | undefined {
  const rows = y.length / pitch;
  const images = Math.max(1, Math.floor(rows / imageRows));
  const each = momentsPitch(pitch);
  const slabs = rows / images / MOMENT_ROWS;
  for (let i = 0; i < MOMENT_SAMPLES; i++) {
    const image = i % images;
    const channel = first + 2 * Math.floor((i * (count / 2 - 1)) / (MOMENT_SAMPLES - 1));
    const exact = pairStatistics(y, pitch, [image * (rows / images), (image + 1) * (rows / images)], channel);
    const parts = Array.from({ length: slabs }, (_, slab) => {
      const at = (image * slabs + slab) * each + Math.floor(channel / 4) * 6 + (Math.floor(channel / 2) % 2);
      return { mean: (moments[at] ?? 0) + (moments[at + 2] ?? 0), squares: moments[at + 4] ?? 0 };
    });
    const mean = parts.reduce((sum, part) => sum + part.mean, 0) / slabs;
    const squares = parts.reduce((sum, part) => sum + part.squares + 2 * MOMENT_ROWS * (part.mean - mean) ** 2, 0);
    const spread = Math.sqrt(exact.squares / (2 * MOMENT_ROWS * slabs)) || 1;
    const near =
      Math.abs(mean - exact.mean) <= 1e-3 * spread && Math.abs(squares - exact.squares) <= 1e-3 * exact.squares;
    if (!near) return `the mean of channels ${channel} and ${channel + 1} is measured as ${mean}, and is ${exact.mean}`;
  }
  return undefined;
}

function pairStatistics(
  y: Float32Array,
  pitch: number,
  [from, to]: readonly [number, number],
  channel: number,
): { readonly mean: number; readonly squares: number } {
  const of = (row: number, c: number): number => y[row * pitch + channel + c] ?? Number.NaN;
  const count = 2 * (to - from);
  let sum = 0;
  for (let row = from; row < to; row++) sum += of(row, 0) + of(row, 1);
  const mean = sum / count;
  let squares = 0;
  for (let row = from; row < to; row++) squares += (of(row, 0) - mean) ** 2 + (of(row, 1) - mean) ** 2;
  return { mean, squares };
}
