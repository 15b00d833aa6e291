// Brings a fresh clone to where it can run: npm packages, a Vulkan driver on Linux, the built files. Plain Node without
// packages, because there are none yet. Each step looks first and does nothing when nothing is missing.
//
//   node scripts/setup.mjs             packages and driver
//   node scripts/setup.mjs --build     also dist/
//   node scripts/setup.mjs --browser   also Chromium and Firefox, for the browser tests
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const FIREFOXES = ['/usr/bin/firefox-esr', '/usr/bin/firefox'];

/** Does what is missing; ends the process with a line of advice where it cannot. */
export function setup({ build = false, browser = false } = {}) {
  if (Number(process.versions.node.split('.')[0]) < 20) fail(`Node 20 or newer is needed, this is ${process.version}`);
  packages();
  if (process.platform === 'linux') driver(browser);
  if (build) bundle();
}

/** The newest change in milliseconds of a file, or of any file below a folder. */
export function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(0, ...readdirSync(path).map(name => newest(join(path, name))));
}

/** Where Chromium lies: CHROMIUM_PATH, or a usual place. */
export function chromiumPath() {
  const asked = process.env.CHROMIUM_PATH;
  return asked ?? BROWSERS.find(path => existsSync(path));
}

/** Where Firefox lies: FIREFOX_PATH, or a usual place. */
function firefoxPath() {
  return process.env.FIREFOX_PATH ?? FIREFOXES.find(path => existsSync(path));
}

function packages() {
  const installed = join(ROOT, 'node_modules', '.package-lock.json');
  if (existsSync(installed) && newest(installed) >= newest(join(ROOT, 'package-lock.json'))) return;
  say('installing npm packages');
  // Not `npm ci`: it refuses a lock file that lacks optional packages of platforms which a mirror does not carry.
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund'], 'npm install failed; its last lines say why');
}

function driver(browser) {
  const gpu = hasAdapter();
  if (gpu && (!browser || (chromiumPath() && firefoxPath() && queueServer()))) return;
  const which = !chromiumPath()
    ? 'Chromium for the browser tests'
    : !firefoxPath()
      ? 'Firefox for the browser tests'
      : 'a server for the tests of queues';
  say(gpu ? `installing ${which}` : 'no usable Vulkan driver; installing a software one');
  const script = join(ROOT, 'scripts', 'setup-debian.sh');
  const args = [script, ...(browser ? ['--browser', '--queue'] : [])];
  // Without Firefox or the server alone its tests fail, and say so.
  if (gpu && chromiumPath()) return void spawnSync('sh', args, { cwd: ROOT, stdio: ['inherit', 2, 2] });
  run('sh', args, 'see the line above for what to type');
  if (!hasAdapter())
    fail('there is still no usable Vulkan driver; `npx pentimento devices` says more after `npm run build`');
}

/** Whether there is a server for queues. */
function queueServer() {
  return ['valkey-server', 'redis-server'].some(name => spawnSync(name, ['--version']).status === 0);
}

/** Asks Dawn in another process, of this Node or the one given: a broken driver may crash the one that loads it. */
export function hasAdapter(node = process.execPath, more = {}) {
  const code = `
    const { create } = await import('webgpu');
    const gpu = create([]);
    process.exit((await gpu.requestAdapter()) ? 0 : 1);`;
  const env = { XDG_RUNTIME_DIR: tmpdir(), ...process.env, ...more };
  return spawnSync(node, ['--input-type=module', '--eval', code], { cwd: ROOT, env }).status === 0;
}

function bundle() {
  const made = join(ROOT, 'dist', 'cli.js');
  const sources = ['src', 'wgsl', 'bench', 'tsdown.config.ts', 'package.json'].map(name => join(ROOT, name));
  if (existsSync(made) && newest(made) >= Math.max(...sources.map(newest))) return;
  say('building');
  run('npm', ['run', '--silent', 'build'], 'the build failed; its last lines say why');
}

function run(command, args, advice) {
  const { status } = spawnSync(command, args, { cwd: ROOT, stdio: ['inherit', 2, 2] });
  if (status !== 0) fail(advice);
}

function say(text) {
  process.stderr.write(`setup: ${text}\n`);
}

function fail(text) {
  say(text);
  process.exit(1);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  setup({ build: process.argv.includes('--build'), browser: process.argv.includes('--browser') });
}
