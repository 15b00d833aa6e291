/** The rows of the benchmark, by name. A page measures the same. */
import { attentionCases } from './kernels/attentions.ts';
import { type Choosing, flopsOf, type KernelCase } from './kernels/kernel-case.ts';
import { normCases } from './kernels/norms.ts';
import { productCases } from './kernels/products.ts';

/** Operations from which software takes a second a run, or nearly. */
const LARGE_FLOPS = 3e9;

/**
 * Every row that the device can run, each with the variant that it gets there. Texts of its families must be loaded (`loadTexts`).
 * @throws as choose
 */
export function kernelRows(how: Choosing): KernelCase[] {
  return [...productCases(how), ...attentionCases(how), ...normCases(how)];
}

/** Whether software leaves a row out unless it is asked for. */
export function isLarge(row: KernelCase): boolean {
  return flopsOf(row) > LARGE_FLOPS;
}
