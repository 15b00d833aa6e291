// npm test: sets up, then runs the tests on the machine's own adapter; those that compute again on SwiftShader, which has
// other subgroups and no f16; and those of the kernels once more in a page of Chromium. Ends with `N passed, N failed`.
//
//   npm test -- test/io          only these files, on the machine's own adapter
//   npm run test:full            every recorded edit, not only one; on SwiftShader everything that computes
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import process from 'node:process';
import { ROOT, setup } from './setup.mjs';

const SWIFTSHADER = ['/usr/lib/chromium/vk_swiftshader_icd.json', '/usr/lib/chromium-browser/vk_swiftshader_icd.json'];
/** What computes on a device, where everything is asked for; the rest does not depend on the adapter. */
const ON_DEVICES = ['test/kernels', 'test/tensor', 'test/nn', 'test/models', 'test/pipeline'];
/** Enough of it for every day, in float32: the UNet and a short edit. The kernels run on SwiftShader inside Chromium. */
const SAMPLE = ['test/models/stable-diffusion/unet.test.ts', 'test/pipeline/orchard.test.ts', '-t', 'float32'];

const asked = process.argv.slice(2).filter(arg => arg !== '--full');
const full = process.argv.includes('--full');
setup({ build: true, browser: true });

const scratch = mkdtempSync(join(tmpdir(), 'pentimento-test-'));
const runs = [vitest("the machine's own adapter", asked, {})];
const second = SWIFTSHADER.find(path => existsSync(path));
if (asked.length === 0) {
  const env = { VK_DRIVER_FILES: second };
  if (second && full) runs.push(vitest('SwiftShader', ON_DEVICES, env));
  else if (second) runs.push(vitest('SwiftShader', SAMPLE, env));
  else runs.push({ passed: 0, failed: 1, note: "SwiftShader is missing: it comes with Debian's package chromium" });
  runs.push(vitest('Chromium', ['--config', 'vitest.browser.config.ts'], {}));
}
rmSync(scratch, { recursive: true });

for (const { note } of runs) if (note) process.stdout.write(`${note}\n`);
const sum = key => runs.reduce((total, run) => total + run[key], 0);
process.stdout.write(`${sum('passed')} passed, ${sum('failed')} failed\n`);
process.exit(sum('failed') === 0 ? 0 : 1);

function vitest(name, files, env) {
  process.stdout.write(`\n== ${name}\n`);
  const report = join(scratch, `${name.replace(/\W/g, '')}.json`);
  const script = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const args = [script, 'run', ...files, '--reporter=dot', '--reporter=json', `--outputFile.json=${report}`];
  const { status } = spawnSync(process.execPath, args, {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, ...env, ...(full ? { PENTIMENTO_FULL: '1' } : {}) },
  });
  if (!existsSync(report)) return { passed: 0, failed: 1, note: `${name}: the tests did not run to the end` };
  const {
    numPassedTests: passed,
    numFailedTests,
    numFailedTestSuites,
    testResults,
  } = JSON.parse(readFileSync(report, 'utf8'));
  slowest(testResults);
  // A file that cannot be imported has no tests to fail; so has an error outside of tests.
  const failed = Math.max(numFailedTests, numFailedTestSuites > 0 || status !== 0 ? 1 : 0);
  return { passed, failed };
}

/** Names the files that took longest, so that a slow suite explains itself. */
function slowest(files) {
  const seconds = file => Math.round((file.endTime - file.startTime) / 1000);
  const rows = files.toSorted((a, b) => seconds(b) - seconds(a)).slice(0, 12);
  process.stdout.write(`slowest: ${rows.map(file => `${relative(ROOT, file.name)} ${seconds(file)} s`).join(', ')}\n`);
}
