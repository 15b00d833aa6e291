/**
 * The packed package through the bundlers that people use, each by its own defaults, and what they made in Chromium: a model in the page and
 * one in a worker find the recorded mask, every day by esbuild in the page and by Vite in the worker. esbuild, Rollup and Vite every day;
 * webpack, Parcel and Next when PENTIMENTO_FULL is set.
 */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Browser, Page, Request } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Bundle,
  byEsbuild,
  byEsbuildInOneFile,
  byNext,
  byParcel,
  byRollup,
  byVite,
  byViteServer,
  byWebpack,
  largeBundlers,
  openProject,
} from '../support/bundlers.ts';
import { relativeL2 } from '../support/close.ts';
import { loadGolden } from '../support/golden.ts';
import { openPage, serve } from '../support/page.ts';
import { picture, wrongPixels } from '../support/pipeline.ts';
import { type Installed, ROOT } from '../support/tarball.ts';

const FULL = process.env['PENTIMENTO_FULL'] !== undefined;
const golden = loadGolden('sd1');

/** Something that stands once in the whole library, in the networks. */
const LIBRARY = 'only_cross_attention';
/** Something that only a worker says. */
const WORKER = 'there is no such call';

interface Case {
  readonly name: string;
  readonly build: (project: string) => Promise<Bundle>;
  /** In how many scripts the library lies; where workers are bundles of their own, in theirs and in the page's. */
  readonly libraries?: 1 | 2 | 3;
  /** In how many what a worker says. */
  readonly workers?: 1 | 2;
  /** Ceiling in KiB, gzipped, of the scripts that the page loads at once: of every entry. */
  readonly ceiling?: number;
  /** Where a mask is found every day. */
  readonly daily?: 'page' | 'worker';
}

const DAILY: Case[] = [
  // Of what the pipelines that make pictures share with DiffEdit, esbuild loads 15 at once.
  { name: 'esbuild', build: byEsbuild, libraries: 1, workers: 1, ceiling: 136, daily: 'page' },
  // Not minified, as Rollup has it.
  { name: 'Rollup', build: byRollup, libraries: 1, workers: 1, ceiling: 165 },
  { name: 'Vite', build: byVite, libraries: 2, workers: 1, ceiling: 100, daily: 'worker' },
  { name: "Vite's server", build: byViteServer },
];

const README_LINE = /`(serverExternalPackages: \[[^\]`]*\])`/;
const [, forNext = ''] = README_LINE.exec(readFileSync(join(ROOT, 'README.md'), 'utf8')) ?? [];

const LARGE: Case[] = [
  { name: 'Vite below a path', build: project => byVite(project, './'), libraries: 2, workers: 1, ceiling: 100 },
  { name: 'webpack', build: byWebpack, libraries: 2, workers: 1, ceiling: 230 },
  // The chunk of a worker that no page of Parcel's asks for: 4 KB.
  { name: 'Parcel', build: byParcel, libraries: 2, workers: 2, ceiling: 230 },
  // A copy of the worker's script as it is, which nothing asks for: Turbopack's own doing.
  {
    name: 'Next',
    build: project => byNext(project, `export default { ${forNext} };`),
    libraries: 3,
    workers: 2,
    ceiling: 400,
  },
];

let browser: Browser;
let page: Page;
let problems: string[];
beforeAll(async () => {
  ({ browser, page, problems } = await openPage());
});
afterAll(() => browser?.close());

const isScript = (request: Request): boolean =>
  request.resourceType() === 'script' || /\.m?js(\?|$)/.test(request.url());

/** Gzipped KiB of the scripts among these. */
async function size(requests: readonly Request[]): Promise<number> {
  const bodies = requests.filter(isScript).map(async request => (await request.response())?.body());
  return (await Promise.all(bodies)).reduce((sum, body) => sum + (body ? gzipSync(body).length : 0), 0) / 1024;
}

const call = <T>(what: string, ...args: unknown[]): Promise<T> =>
  page.evaluate(`consumer.${what}(${args.map(arg => JSON.stringify(arg)).join()})`);

const image = picture(golden);
const args = {
  image: { ...image, data: [...image.data] },
  ...{ sourcePrompt: golden.json.source_prompt, targetPrompt: golden.json.target_prompt, seed: golden.json.seed },
  ...{ numMapsPerMask: 3, numInferenceSteps: 10, guidanceScale: 6 },
};

describe.each(FULL ? [...DAILY, ...LARGE] : DAILY)('$name', ({ name, build, libraries, workers, ceiling, daily }) => {
  let installed: Installed;
  let bundle: Bundle;
  const requests: Request[] = [];
  const note = (request: Request): void => void requests.push(request);
  beforeAll(async () => {
    installed = openProject(LARGE.some(one => one.name === name) ? largeBundlers() : undefined);
    bundle = await build(installed.project);
    page.context().on('request', note);
  });
  afterAll(async () => {
    page.context().off('request', note);
    await page.goto('about:blank');
    bundle?.close();
    installed?.remove();
  });

  it('says nothing of the package, and lets nothing of Node into the page', () => {
    expect(bundle.said).toEqual([]);
    for (const [script, text] of Object.entries(bundle.scripts)) expect(text, script).not.toMatch(/["']node:/);
  });

  it.runIf(libraries)('writes the library, and the worker, as often as they are needed', () => {
    const holding = (what: string) => Object.values(bundle.scripts).filter(text => text.includes(what));
    expect(holding(LIBRARY)).toHaveLength(libraries ?? 0);
    expect(holding(WORKER)).toHaveLength(workers ?? 0);
  });

  it('runs in a page and in its worker, as recorded', async () => {
    await page.goto(bundle.url, { waitUntil: 'load' });
    await page.waitForFunction('globalThis.consumer');
    const atOnce = await size(requests);
    if (ceiling) expect(atOnce).toBeLessThan(ceiling);
    expect(await call('others')).toEqual([128, 1000, true, 'function', 0]);
    const expected = { mask: golden.ints('diffedit.mask').data, map: golden.floats('diffedit.mask_map').data };
    // A server compiles what the builds do: that it is found is enough.
    const everywhere = ceiling ? ['page', 'worker'] : [];
    for (const where of FULL ? everywhere : everywhere.filter(place => place === daily)) {
      const found = await call<{ map: number[]; mask: number[] }>('findMask', where, args);
      expect(relativeL2(found.map, expected.map), where).toBeLessThanOrEqual(1e-3);
      expect(wrongPixels({ mask: { data: found.mask }, map: { data: found.map } } as never, expected), where).toBe(0);
    }
    expect(await call('open', 'worker')).toBeGreaterThan(1e6);
    for (const request of requests.filter(isScript))
      expect((await request.response())?.status(), request.url()).toBeLessThan(400);
    expect(requests.filter(isScript).length).toBeGreaterThan(1);
    expect(bundle.said).toEqual([]); // servers speak when they are asked
    expect(problems).toEqual([]);
  });

  it.runIf(name === 'Next')('opens a model on the server, in an API route', async () => {
    expect(forNext).not.toBe('');
    const response = await fetch(new URL('api/model', bundle.url));
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ width: 128, bytes: expect.any(Number) });
  });
});

describe('without code splitting', () => {
  let installed: Installed;
  let bundle: Bundle;
  beforeAll(async () => {
    installed = openProject();
    bundle = await byEsbuildInOneFile(installed.project);
    await page.goto(bundle.url);
    await page.waitForFunction('globalThis.consumer');
  });
  afterAll(async () => {
    await page.goto('about:blank');
    bundle?.close();
    installed?.remove();
  });

  it('the worker has no script, and says what helps', async () => {
    const refused = await page.evaluate(`consumer.open('worker').catch(({ code, message }) => ({ code, message }))`);
    expect(refused).toEqual({
      code: 'device',
      message:
        'createWorkerPipeline: the worker failed: got no script of it was found (a file is not there). Try again, or reload the page. Where it ' +
        'never starts, let the bundler split code (esbuild: --format=esm --splitting), or put pentimento/dist/worker-entry.js beside the bundle; ' +
        'a Content-Security-Policy must allow workers of this origin (worker-src).',
    });
  });

  it('runs where the script lies beside the bundle', async () => {
    const { project } = installed;
    cpSync(join(project, 'node_modules/pentimento/dist/worker-entry.js'), join(project, 'esbuild/worker-entry.js'));
    expect(await call('open', 'worker')).toBeGreaterThan(1e6);
    expect(problems).toEqual([]);
  });
});

it('starts its worker where an import map finds the package on another origin', async () => {
  const installed = openProject();
  const elsewhere = await serve({ '/': join(installed.project, 'node_modules/pentimento/dist') }, { cors: true });
  const { project } = installed;
  const names = ['', 'kernels', 'page', 'safetensors', 'schedulers', 'worker'];
  const imports = names.map(name => [
    name ? `pentimento/${name}` : 'pentimento',
    `${elsewhere.url}/${name || 'index'}.js`,
  ]);
  const map = JSON.stringify({ imports: Object.fromEntries(imports) });
  const text = readFileSync(join(project, 'index.html'), 'utf8');
  writeFileSync(
    join(project, 'index.html'),
    text.replace('<script', `<script type="importmap">${map}</script><script`),
  );
  const server = await serve({ '/': project, '/model/': join(project, 'public/model') });
  try {
    await page.goto(server.url);
    await page.waitForFunction('globalThis.consumer');
    expect(await call('open', 'worker')).toBeGreaterThan(1e6);
    expect(problems).toEqual([]);
  } finally {
    await page.goto('about:blank');
    elsewhere.close();
    server.close();
    installed.remove();
  }
});
