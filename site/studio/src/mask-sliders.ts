/** The sliders that adjust a mask. */
import { box, input } from '../../shared/elements.ts';
import { type MaskAdjustments, UNTOUCHED } from './mask.ts';

const SLIDERS = Object.keys(UNTOUCHED) as readonly (keyof MaskAdjustments)[];

/** What they say. */
export function adjustments(): MaskAdjustments {
  const values = SLIDERS.map(name => [name, input(name).valueAsNumber] as const);
  return { ...UNTOUCHED, ...Object.fromEntries(values) };
}

/** Moves them. */
export function setAdjustments(to: MaskAdjustments): void {
  for (const name of SLIDERS) input(name).value = String(to[name]);
}

/** Writes their values beside them. */
export function showAdjustments(): void {
  for (const name of SLIDERS) box(`${name}-out`).textContent = input(name).value;
}
