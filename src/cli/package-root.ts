/** The package that this file belongs to: a clone of the repository, or a folder in node_modules. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InputError } from '../core/errors.ts';

/** Its folder: the nearest one above this file that holds a package.json. */
export function packageRoot(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); dirname(at) !== at; at = dirname(at)) {
    if (existsSync(join(at, 'package.json'))) return at;
  }
  throw new InputError({
    op: 'pentimento',
    problem: 'the package is incomplete',
    expected: 'package.json',
    fix: 'Install it again.',
  });
}

/** Its version. */
export function packageVersion(): string {
  return String(JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')).version);
}
