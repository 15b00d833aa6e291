// npm run check: everything that a change must pass, in the order in which it fails fastest.
import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { ROOT, setup } from './setup.mjs';

setup({ build: true, browser: true });

const STEPS = [
  ['format and lint', 'npm', ['run', '--silent', 'lint']],
  ['types', 'npm', ['run', '--silent', 'types']],
  ['shaders compile', 'npx', ['vitest', 'run', 'test/shaders.test.ts', 'test/architecture.test.ts']],
  ['package', 'npm', ['run', '--silent', 'check:package']],
  ['tests', 'node', ['scripts/test.mjs']],
];
for (const [name, command, args] of STEPS) {
  process.stdout.write(`\n== ${name}\n`);
  if (spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' }).status !== 0) {
    process.stdout.write(`check: ${name} failed\n`);
    process.exit(1);
  }
}
