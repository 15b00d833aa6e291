/** Names of files that come from outside. */
import { InputError } from '../core/errors.ts';

/**
 * A name below a folder, with '/' between its parts.
 * @throws InputError for one that leads out of it, or that some file system does not take
 */
export function safeRelativeName(op: string, name: string): string {
  const parts = name.split(/[/\\]/);
  const wrong = parts.some(part => part === '' || part === '.' || part === '..' || /[:*?"<>|\p{Cc}]|[. ]$/u.test(part));
  if (!wrong) return parts.join('/');
  throw new InputError({ op, problem: 'no name below the folder of the results', value: name });
}
