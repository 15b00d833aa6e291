// npm run check: everything that a change must pass, in the order in which it fails fastest.
import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { CHECKS } from './checks.mjs';
import { ROOT, setup } from './setup.mjs';

setup({ build: true, browser: true });

for (const name of [...CHECKS, 'test']) {
  process.stdout.write(`\n== ${name}\n`);
  if (spawnSync('npm', ['run', '--silent', name], { cwd: ROOT, stdio: 'inherit' }).status !== 0) {
    process.stdout.write(`check: ${name} failed\n`);
    process.exit(1);
  }
}
