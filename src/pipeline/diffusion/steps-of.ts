/** How many steps of a schedule are done. */
import { InputError } from '../../core/errors.ts';

/**
 * Steps that `strength` leaves of `steps`: min(trunc(steps * strength), steps).
 * @throws InputError where none is left
 */
export function stepsOf(op: string, steps: number, strength: number, path: string): number {
  const count = Math.min(Math.trunc(steps * strength), steps);
  if (count >= 1) return count;
  throw new InputError({
    op,
    problem: `numInferenceSteps ${steps} at ${path} ${strength} leave no step`,
    expected: `at least 1 of ${steps}`,
    received: count,
    path,
    fix: 'Use more steps or a higher strength.',
  });
}
