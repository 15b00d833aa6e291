import type { NdArray } from '../../src/core/ndarray.ts';
import type { RgbImage } from '../../src/io/image.ts';
import { DiffEditPipeline, type PretrainedOptions } from '../../src/pipeline/diffedit/pipeline.ts';
import { Generator } from '../../src/schedulers/index.ts';
import { maxError } from './close.ts';
import { diskFolder } from './folder.ts';
import type { Golden } from './golden.ts';
import { testGpu } from './gpu.ts';

/** A pipeline on the tests' device; `folder` is a path from the repository's root. */
export async function openPipeline(folder: string, options: PretrainedOptions = {}): Promise<DiffEditPipeline> {
  const path = new URL(`../../${folder}`, import.meta.url).pathname;
  return DiffEditPipeline.fromPretrained(diskFolder(path), { gpu: await testGpu(), ...options });
}

/** A recorded picture [H, W, 3] of bytes. */
export function picture(golden: Golden, name = 'image'): RgbImage {
  const { data, shape } = golden.ints(name);
  return { width: shape[1], height: shape[0], data: Uint8Array.from(data) };
}

/** A recorded tensor. */
export function array(golden: Golden, name: string): NdArray {
  const { data, shape } = golden.tensor(name);
  return { data: Float32Array.from(data), shape };
}

export function seeded(seed: number): Generator {
  return new Generator(seed);
}

/** Mean absolute difference. */
export function meanError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < expected.length; i++) sum += Math.abs(actual[i] - expected[i]);
  return sum / expected.length;
}

/**
 * Pixels in which two masks may not differ but do: a difference is excused where the expected map lies within twice the map's
 * own largest error of the threshold, half of ratio times the mean.
 */
export function wrongPixels(
  actual: { mask: NdArray; map: NdArray },
  expected: { mask: ArrayLike<number>; map: ArrayLike<number> },
  ratio = 3,
): number {
  const error = maxError(actual.map.data, expected.map);
  let sum = 0;
  for (let i = 0; i < expected.map.length; i++) sum += expected.map[i];
  const threshold = (0.5 * ratio * sum) / expected.map.length;
  let wrong = 0;
  for (let i = 0; i < expected.mask.length; i++) {
    if (actual.mask.data[i] !== expected.mask[i] && !(Math.abs(expected.map[i] - threshold) <= 2 * error)) wrong++;
  }
  return wrong;
}
