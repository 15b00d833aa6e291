/**
 * Masks that open step by step: how much a place shall change says how early it is free.
 * Levin & Fried 2023, Differential Diffusion, https://arxiv.org/abs/2306.00950.
 */
import type { NdArray } from '../../core/ndarray.ts';

/** The largest float32 below 1. */
const BELOW_ONE = 1 - 2 ** -24;

/** How an edit reads its mask: as zeros and ones, or as how much each place shall change. */
export type MaskMode = 'binary' | 'soft';

/**
 * What a soft mask D in [0, 1] must exceed for a pixel's latents to be free at step i: 1 - ((i + 1) / n)^p.
 * @param i from 0
 * @param n steps that run
 * @param exponent p > 0; 1 opens evenly, less opens earlier
 * @returns rounded down to float32, so that a float32 exceeds it where it exceeds the number itself; below 1, so that D = 1 is always free
 */
export function maskAbove(i: number, n: number, exponent: number): number {
  const exact = Math.min(1 - ((i + 1) / n) ** exponent, BELOW_ONE);
  const nearest = Float32Array.of(exact);
  if ((nearest[0] ?? 0) > exact) new Uint32Array(nearest.buffer)[0] = (new Uint32Array(nearest.buffer)[0] ?? 0) - 1;
  return nearest[0] ?? 0;
}

/**
 * How much of an edit shows where it is pasted into its picture: all where the latents were free in a quarter of the steps or more, nothing
 * up to an eighth, in which only grain changes, and between them in proportion: where less shows, the old thing shines through the new one.
 * Zeros and ones stay.
 * @param mask D in [0, 1]; free is the share 1 - (1 - D)^(1 / p) of the steps
 */
export function shownShare(mask: NdArray, exponent: number): NdArray {
  const shown = (d: number): number => Math.min(1, Math.max(0, 8 * (1 - (1 - d) ** (1 / exponent)) - 1));
  return { ...mask, data: mask.data.map(shown) };
}
