// What a change must pass beside the tests: npm scripts, in the order in which they fail fastest.
// `npm run check` and .ci/run take them from here; run as a program, this file prints them, one a line.
import process from 'node:process';
import { pathToFileURL } from 'node:url';

export const CHECKS = ['lint', 'types', 'docs:check', 'knip', 'check:package', 'dry-run'];

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) process.stdout.write(`${CHECKS.join('\n')}\n`);
