/** What DiffEdit's peers have and this pipeline has not. */
import { InputError } from '../../core/errors.ts';

/** The error for what is not built; a method is its own place. */
export function refusal(op: string, what: string, path: string = op): InputError {
  const fix = 'docs/parity.md lists what this pipeline has and what it refuses.';
  return new InputError({ op, problem: `${what} is not built`, path, fix });
}
