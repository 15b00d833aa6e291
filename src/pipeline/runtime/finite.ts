/** Values that are not finite are told as an error: they would become a black picture and a white mask. */
import { NumericsError } from '../../core/errors.ts';
import type { DeviceMemory } from './device-memory.ts';

type FloatType = DeviceMemory['dtype'];

/** What helps: halves end at 65504, floats hardly ever do. */
function fixFor(dtype: FloatType): string {
  if (dtype === 'float16') return "Use dtype: 'float32'; where that fails too, the weights hold such values.";
  return 'The weights hold such values, or an adapter acts too strongly: use a sound file, or a smaller scale.';
}

/** Whether none of the values is an infinity or a NaN. */
export function allFinite(values: ArrayLike<number>): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}

/**
 * Checks what a network gave.
 * @param phase of the call
 * @param dtype of the model, for the remedy
 * @throws NumericsError
 */
export function checkFinite(values: ArrayLike<number>, phase: string, dtype: FloatType): void {
  if (!allFinite(values)) throw nonFiniteResult(phase, dtype);
}

/** The error of a network's result that is not finite. */
export function nonFiniteResult(phase: string, dtype: FloatType): NumericsError {
  return new NumericsError({
    op: phase,
    problem: 'the result holds values that are not finite',
    fix: fixFor(dtype),
  });
}

/** The error of latents that are not finite. */
export function nonFiniteLatents(
  phase: string,
  at: { readonly step: number; readonly timesteps: readonly number[]; readonly dtype: FloatType },
): NumericsError {
  const { step, timesteps, dtype } = at;
  return new NumericsError({
    op: phase,
    problem: 'the latents hold values that are not finite',
    path: `from step ${step + 1} of ${timesteps.length} on, timestep ${timesteps[step]}`,
    fix: fixFor(dtype),
  });
}
