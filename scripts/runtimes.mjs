// Fetches the other runtimes that `npm run test:full` runs the package in, from npm into a folder of the cache: Deno, Bun, and
// bun-webgpu, which brings Bun a navigator.gpu. 220 MB, so they are no dependencies of a clone; no script of a package is run.
//
//   node scripts/runtimes.mjs     prints where they are; fetches them first where they are missing
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';

/** What is fetched, exactly: README names what was tested. */
export const VERSIONS = { deno: '2.9.6', bun: '1.4.5', 'bun-webgpu': '0.1.7' };

/** The programs and the folder of the packages. @throws Error where npm cannot fetch them, or has none for this machine */
export function fetchRuntimes() {
  const { PENTIMENTO_CACHE, XDG_CACHE_HOME } = process.env;
  const cache = PENTIMENTO_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'pentimento');
  const folder = join(cache, `runtimes-${Object.values(VERSIONS).join('-')}`);
  if (!existsSync(folder)) install(cache, folder);
  const packages = join(folder, 'node_modules');
  const ending = process.platform === 'win32' ? '.exe' : '';
  return {
    packages,
    deno: program(join(packages, '@deno'), `deno${ending}`),
    bun: program(join(packages, '@oven'), `bin/bun${ending}`),
  };
}

function install(cache, folder) {
  mkdirSync(cache, { recursive: true });
  const scratch = mkdtempSync(join(cache, 'runtimes-'));
  try {
    writeFileSync(join(scratch, 'package.json'), JSON.stringify({ private: true, dependencies: VERSIONS }));
    const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    const { status, stderr } = spawnSync('npm', args, { cwd: scratch, stdio: ['ignore', 2, 'pipe'], encoding: 'utf8' });
    if (status !== 0) throw new Error(`npm cannot fetch Deno and Bun: ${stderr}`);
    if (!existsSync(folder)) renameSync(scratch, folder); // another run may have been faster
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** A program of the one package that npm chose for this machine. */
function program(scope, path) {
  const found = readdirSync(scope)
    .map(name => join(scope, name, path))
    .find(file => existsSync(file));
  if (!found) throw new Error(`${scope}: no ${path} for this machine`);
  return found;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  process.stdout.write(`${JSON.stringify(fetchRuntimes(), null, 2)}\n`);
