/** Values that are not finite are told as an error: they would become a black picture and a white mask. */
import { NumericsError } from '../../core/errors.ts';

const FIX =
  "With dtype 'float16' use 'float32'; in float32 the weights or what was given hold such values: use a sound file.";

/** Whether none of the values is an infinity or a NaN. */
export function allFinite(values: ArrayLike<number>): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}

/**
 * Checks what a network gave.
 * @param phase of the call
 * @throws NumericsError
 */
export function checkFinite(values: ArrayLike<number>, phase: string): void {
  if (allFinite(values)) return;
  throw new NumericsError({ op: phase, problem: 'the result holds values that are not finite', fix: FIX });
}

/** The error of latents that are not finite. */
export function nonFiniteLatents(phase: string, step: number, timesteps: readonly number[]): NumericsError {
  return new NumericsError({
    op: phase,
    problem: 'the latents hold values that are not finite',
    path: `from step ${step + 1} of ${timesteps.length} on, timestep ${timesteps[step]}`,
    fix: FIX,
  });
}
