// npm test: sets up, then runs the tests in passes. All of them run on the software driver that builds shaders fastest, Mesa's newest
// from a folder, or on the machine's own driver where that cannot be fetched. Then a sample runs on the own driver, as users get it;
// one of what computes on SwiftShader, which has other subgroups and no f16; and the kernels once more in a page of Chromium.
// Ends with `N passed, N failed`. docs/testing.md says what runs where, and why that is enough.
//
//   npm test -- test/io          only these files, in the first pass alone
//   npm test -- --own            the first pass on the machine's own driver: a graphics card, for instance
//   npm run test:full            every recorded edit, not only one; on SwiftShader everything that computes
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { hasAdapter, ROOT, setup } from './setup.mjs';

const SWIFTSHADER = ['/usr/lib/chromium/vk_swiftshader_icd.json', '/usr/lib/chromium-browser/vk_swiftshader_icd.json'];
/** What computes on a device, where everything is asked for; the rest does not depend on the adapter. */
const ON_DEVICES = ['test/kernels', 'test/tensor', 'test/nn', 'test/models', 'test/pipeline'];
/** Networks of full size take an hour there: the first pass has run them, and SwiftShader runs the same kernels for small ones. */
const TOO_LARGE = ['test/models/full-size.test.ts', 'test/pipeline/text/flan-t5-xl.test.ts'];
/**
 * Enough of it for every day, in float32: the UNet's activations, on a bare device those of one. The kernels of both families, a UNet and
 * a whole recorded edit (test/package/page.test.ts, in the first pass) run on the SwiftShader inside Chromium.
 */
const ON_SWIFTSHADER = [
  'test/models/stable-diffusion/unet.test.ts',
  ...['-t', 'float32.*fused|sd1.*float32 on a bare device'],
];
/** The driver that users have: an edit and the demo with the built program, the device, and one kernel of everything it can do. */
const BUILT = ['test/examples/examples.test.ts', 'test/scripts/demo.test.ts'];
const ON_OWN = [...BUILT, 'test/node/device.test.ts', 'test/kernels/matmul.test.ts'];
const OWN = "the machine's own driver";
/** Dawn prints these two lines to stderr for every adapter of Mesa, and has no switch for it. They say nothing of a test. */
const NOISE =
  /^Warning: maxDynamic(Uniform|Storage)BuffersPerPipelineLayout artificially reduced from \d+ to \d+ to fit /;

const FLAGS = ['--full', '--own'];
const asked = process.argv.slice(2).filter(arg => !FLAGS.includes(arg));
const [full, own] = FLAGS.map(flag => process.argv.includes(flag));
setup({ build: true, browser: true });

const scratch = mkdtempSync(join(tmpdir(), 'pentimento-test-'));
const chosen = process.env.VK_DRIVER_FILES;
const mesa = own || chosen ? undefined : newerMesa();
// What the own driver's sample runs with the built program needs no second run.
const elsewhere = mesa && asked.length === 0 ? BUILT.map(file => `--exclude=${file}`) : [];
const runs = [await pass(mesa?.name ?? chosen ?? OWN, [...asked, ...elsewhere], mesa)];
if (asked.length === 0) {
  // Each of these leaves a core idle for most of its time: they run side by side, and print when they have ended.
  const one = full ? [] : ['--maxWorkers=1'];
  const later = { held: true };
  const icd = SWIFTSHADER.find(path => existsSync(path));
  const samples = [
    ...(mesa ? [pass(OWN, [...ON_OWN, ...one], later)] : []),
    icd
      ? pass(
          'SwiftShader',
          [...(full ? [...ON_DEVICES, ...TOO_LARGE.map(file => `--exclude=${file}`)] : ON_SWIFTSHADER), ...one],
          {
            ...later,
            env: { VK_DRIVER_FILES: icd },
          },
        )
      : { passed: 0, failed: 1, note: "SwiftShader is missing: it comes with Debian's package chromium" },
    pass('Chromium', ['--config', 'vitest.browser.config.ts'], later),
  ];
  runs.push(...(await Promise.all(samples)));
}
rmSync(scratch, { recursive: true });

for (const { note } of runs) if (note) process.stdout.write(`${note}\n`);
const sum = key => runs.reduce((total, run) => total + run[key], 0);
process.stdout.write(`${sum('passed')} passed, ${sum('failed')} failed\n`);
process.exit(sum('failed') === 0 ? 0 : 1);

/** How Node runs with the newest Mesa, or nothing where it cannot be had; a line on stderr says why. */
function newerMesa() {
  if (process.platform !== 'linux') return undefined;
  const { status, stdout } = spawnSync('sh', [join(ROOT, 'scripts/mesa/fetch.sh')], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  if (status !== 0) return undefined;
  const bin = join(ROOT, 'scripts', 'mesa');
  const env = {
    PENTIMENTO_MESA: stdout.trim(),
    PENTIMENTO_NODE: process.execPath,
    PATH: [bin, process.env.PATH].join(delimiter),
  };
  const node = join(bin, 'node');
  if (hasAdapter(node, env)) return { name: 'Mesa from a folder', node, env };
  process.stderr.write(`mesa: ${env.PENTIMENTO_MESA} gives no adapter; the tests use this machine's own driver\n`);
  return undefined;
}

/** Runs vitest with these arguments; prints what it prints, less Dawn's noise, at once or when it has ended. */
async function pass(name, args, { node = process.execPath, env = {}, held = false } = {}) {
  const lines = [`\n== ${name}`];
  const say = line => (held ? lines.push(line) : process.stdout.write(`${line}\n`));
  if (!held) process.stdout.write(`${lines[0]}\n`);
  const sums = join(scratch, `${name.replace(/\W/g, '')}.json`);
  const script = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  // One pipe for both streams, or their lines would come out of order.
  const child = spawn('sh', ['-c', 'exec "$0" "$@" 2>&1', node, script, 'run', ...args], {
    cwd: ROOT,
    stdio: ['inherit', 'pipe', 'inherit'],
    env: { ...process.env, ...colours(), ...env, ...(full ? { PENTIMENTO_FULL: '1' } : {}), PENTIMENTO_SUMS: sums },
  });
  const ended = new Promise(done => child.on('close', done));
  for await (const line of createInterface({ input: child.stdout })) if (!NOISE.test(line)) say(line);
  const status = await ended;
  if (held) process.stdout.write(`${lines.join('\n')}\n`);
  if (!existsSync(sums)) return { passed: 0, failed: 1, note: `${name}: the tests did not run to the end` };
  const { passed, failed } = JSON.parse(readFileSync(sums, 'utf8'));
  return { passed, failed: failed === 0 && status !== 0 ? 1 : failed };
}

/** Through a pipe, vitest cannot see a terminal. */
function colours() {
  if ('NO_COLOR' in process.env || 'FORCE_COLOR' in process.env) return {};
  return process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' };
}
