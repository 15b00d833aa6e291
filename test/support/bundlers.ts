/** Projects that bundle the packed package, each with the bundler's own defaults, and what comes out of them. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { nodeResolve } from '@rollup/plugin-node-resolve';
import { build as esbuild } from 'esbuild';
import { rollup } from 'rollup';
import { serve } from './page.ts';
import { type Installed, installTarball, ROOT } from './tarball.ts';

const CONSUMER = join(ROOT, 'test/package/bundlers');
const MODEL = join(ROOT, 'test/golden/sd1/model');
const PICTURE = join(ROOT, 'models/orchard/samples/apples-bowl.png');

/** What a bundler made, and where it is served. */
export interface Bundle {
  /** The page. */
  readonly url: string;
  /** Every script that was written, by its path; none of a server that makes them as they are asked for. */
  readonly scripts: Readonly<Record<string, string>>;
  /** What the bundler said of the package; of a server, so far. */
  readonly said: readonly string[];
  close(): void;
}

/** An empty project with the package. */
export function openProject(beside?: string): Installed {
  const installed = installTarball(beside);
  const { project } = installed;
  cpSync(join(CONSUMER, 'app.js'), join(project, 'app.js'));
  cpSync(join(CONSUMER, 'index.html'), join(project, 'index.html'));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  cpSync(MODEL, join(project, 'public/model'), { recursive: true });
  cpSync(PICTURE, join(project, 'public/picture.png'));
  return installed;
}

/** Serves a folder below a path, with the model and the picture at the origin's root. */
async function serveBundle(
  project: string,
  out: string,
  said: readonly string[],
  base = '/some/path/',
): Promise<Bundle> {
  const folder = join(project, out);
  const server = await serve({ '/': join(project, 'public'), [base]: folder });
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name => /\.m?js$/.test(name));
  const scripts = Object.fromEntries(names.map(name => [name, readFileSync(join(folder, name), 'utf8')]));
  return { url: server.url + base, scripts, said, close: server.close };
}

const putPage = (project: string, out: string): void => {
  mkdirSync(join(project, out), { recursive: true });
  cpSync(join(CONSUMER, 'index.html'), join(project, out, 'index.html'));
};

export async function byEsbuild(project: string): Promise<Bundle> {
  const { warnings } = await esbuild({
    absWorkingDir: project,
    entryPoints: ['app.js'],
    outdir: 'esbuild',
    logLevel: 'silent',
    // What code splitting needs.
    ...{ bundle: true, splitting: true, format: 'esm', minify: true },
  });
  putPage(project, 'esbuild');
  return serveBundle(
    project,
    'esbuild',
    warnings.map(({ text }) => text),
  );
}

export async function byEsbuildInOneFile(project: string): Promise<Bundle> {
  await esbuild({ absWorkingDir: project, entryPoints: ['app.js'], outdir: 'esbuild', bundle: true, format: 'esm' });
  putPage(project, 'esbuild');
  return serveBundle(project, 'esbuild', []);
}

export async function byRollup(project: string): Promise<Bundle> {
  const said: string[] = [];
  const bundle = await rollup({
    input: join(project, 'app.js'),
    plugins: [nodeResolve()],
    onLog: (_, { message }) => void said.push(message),
  });
  await bundle.write({ dir: join(project, 'rollup'), format: 'es' });
  await bundle.close();
  putPage(project, 'rollup');
  return serveBundle(project, 'rollup', said);
}

/** Lines that name the package, or warn of anything but the sizes of files and the time it took. */
function complaints(text: string): string[] {
  const lines = text.split('\n').filter(line => /node_modules\/pentimento|warn|error|⚠/i.test(line));
  return lines.filter(line => !/TIMINGS|chunkSizeWarningLimit/.test(line));
}

const NODE = process.env['PENTIMENTO_NODE'] ?? process.execPath;

/** Without what this process was told: bundlers build otherwise for tests, and Node itself cannot load the driver of Mesa's folder. */
function environment(): NodeJS.ProcessEnv {
  const { NODE_ENV: _, VITEST: __, NODE_OPTIONS: ___, VK_DRIVER_FILES: driver, ...env } = process.env;
  const own = env['PENTIMENTO_MESA'] || !driver ? {} : { VK_DRIVER_FILES: driver };
  return { ...env, ...own, NO_COLOR: '1', NEXT_TELEMETRY_DISABLED: '1' };
}

/** Runs a bundler's own command without this process's settings; gives what it printed. */
function run(project: string, script: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      NODE,
      [script, ...args],
      { cwd: project, env: environment(), maxBuffer: 2 ** 26 },
      (error, stdout, stderr) =>
        error ? reject(new Error(stdout + stderr, { cause: error })) : resolve(stdout + stderr),
    );
  });
}

const VITE = join(ROOT, 'node_modules/vite/bin/vite.js');

/** At the root of its server, as Vite has it by itself; `base` is Vite's own option. */
export async function byVite(project: string, base?: './'): Promise<Bundle> {
  const out = base ? 'vite-anywhere' : 'vite';
  const said = await run(
    project,
    VITE,
    'build',
    '--logLevel=warn',
    `--outDir=${out}`,
    ...(base ? ['--base', base] : []),
  );
  return serveBundle(project, out, complaints(said), base ? undefined : '/');
}

/** Vite's server for those who develop. */
export async function byViteServer(project: string): Promise<Bundle> {
  const { url, said, close } = await serveBy(project, VITE, '--host=127.0.0.1', '--port=0');
  return { url, scripts: {}, said, close };
}

/** Starts a command that prints the address at which it serves. `said` grows. */
function serveBy(project: string, script: string, ...args: string[]): Promise<Omit<Bundle, 'scripts'>> {
  const child = spawn(NODE, [script, ...args], { cwd: project, env: environment(), detached: true });
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    let text = '';
    const hear = (chunk: Buffer): void => {
      text += chunk;
      said.splice(0, said.length, ...complaints(text));
      const [url] = /https?:\/\/(localhost|127\.0\.0\.1):\d+\/?/.exec(text) ?? [];
      if (url) resolve({ url, said, close: () => void (child.pid && process.kill(-child.pid)) });
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('close', () => reject(new Error(text)));
  });
}

/**
 * A folder with the bundlers that are too large to be dependencies, in the versions of test/package/bundlers/package.json: fetched once by
 * npm, from where it always fetches.
 */
export function largeBundlers(): string {
  const list = readFileSync(join(CONSUMER, 'package.json'), 'utf8');
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const wanted = JSON.parse(list);
  Object.assign(wanted.dependencies, dependencies, { webgpu: peerDependencies.webgpu });
  const text = JSON.stringify(wanted);
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const { webpack, parcel, next } = wanted.dependencies;
  const name = `bundlers-${webpack}-${parcel}-${next}-${createHash('sha256').update(text).digest('hex').slice(0, 8)}`;
  const folder = join(cache, 'pentimento', name);
  if (existsSync(folder)) return folder;
  mkdirSync(join(cache, 'pentimento'), { recursive: true });
  const draft = mkdtempSync(`${folder}-`);
  try {
    writeFileSync(join(draft, 'package.json'), text);
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: draft, stdio: 'pipe' });
    if (!existsSync(folder)) renameSync(draft, folder);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return folder;
}

export async function byWebpack(project: string): Promise<Bundle> {
  cpSync(join(CONSUMER, 'build-by-webpack.js'), join(project, 'build-by-webpack.js'));
  const said = (await run(project, 'build-by-webpack.js')).trim().split('\n');
  putPage(project, 'webpack');
  // As webpack writes it, for any page.
  const page = join(project, 'webpack/index.html');
  writeFileSync(page, readFileSync(page, 'utf8').replace('type="module" src="./app.js"', 'defer src="./main.js"'));
  // It has opinions on the size of any large program.
  const recommendations = /^(asset|entrypoint) size limit|^webpack performance recommendations|^$/;
  return serveBundle(
    project,
    'webpack',
    said.filter(line => !recommendations.test(line)),
  );
}

export async function byParcel(project: string): Promise<Bundle> {
  const script = join(project, '../node_modules/parcel/lib/bin.js');
  const options = ['--dist-dir=parcel', '--public-url=./', '--no-source-maps'];
  const said = await run(project, script, 'build', 'index.html', ...options);
  return serveBundle(project, 'parcel', complaints(said));
}

/** @param config the text of next.config.mjs */
export async function byNext(project: string, config: string): Promise<Bundle> {
  cpSync(join(CONSUMER, 'next/app'), join(project, 'app'), { recursive: true });
  cpSync(join(CONSUMER, 'app.js'), join(project, 'app/bundled.js'));
  writeFileSync(join(project, 'next.config.mjs'), config);
  const script = join(project, '../node_modules/next/dist/bin/next');
  const built = complaints(await run(project, script, 'build'));
  const { url, said, close } = await serveBy(project, script, 'start', '--hostname=127.0.0.1', '--port=0');
  const folder = join(project, '.next/static');
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.js'));
  const scripts = Object.fromEntries(names.map(name => [name, readFileSync(join(folder, name), 'utf8')]));
  return { url, scripts, said: built.length > 0 ? built : said, close };
}
