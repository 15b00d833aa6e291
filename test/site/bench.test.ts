/** The page site/bench, built and opened under a sub-path in Chromium: what it measures, shows and gives away. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseBench } from '../../bench/schema.ts';
import { BENCH_FIXTURE } from '../support/bench-file.ts';
import { free, Site, said, shot, told, type Visit, violations } from '../support/site.ts';

const FULL = process.env.PENTIMENTO_FULL !== undefined;
const site = new Site('bench');
let visit: Visit;
let page: Page;
beforeAll(async () => {
  await site.start();
  visit = await site.visit('?rows=rms-norm');
  ({ page } = visit);
});
afterAll(() => site.stop());

/** Everything that the table shows, once the page has measured. */
async function measured(one: Page): Promise<string[][]> {
  await one.click('#measure');
  await free(one);
  return one
    .locator('#kernels-out tbody tr')
    .evaluateAll(rows => rows.map(row => [...row.children].map(cell => cell.textContent ?? '')));
}

async function copied(one: Page): Promise<string> {
  await one.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await one.click('#copy');
  await one.locator('#status', { hasText: 'as JSON' }).waitFor();
  return one.evaluate(() => navigator.clipboard.readText());
}

/** Answers as a worker that has measured a file already. */
async function instead(context: BrowserContext): Promise<void> {
  const { ceilings, rows, networks: _, peers: __, ...head } = BENCH_FIXTURE;
  const answers = [{ head, of: rows.length }, { ceilings }, ...rows.map(row => ({ row })), { done: true }];
  const body = `addEventListener('message', ({ data: { port } }) => {
    for (const one of ${JSON.stringify(answers)}) port.postMessage(one);
  });`;
  await context.route('**/assets/worker-*.js', route => route.fulfill({ contentType: 'text/javascript', body }));
}

it('is a folder of static files for any path and any host, whose page holds no kernel', () => {
  const files = readdirSync(site.folder, { recursive: true, encoding: 'utf8' });
  expect(files).toEqual(expect.arrayContaining(['index.html', '404.html', '.nojekyll']));
  const text = (name: string): string => readFileSync(join(site.folder, name), 'utf8');
  expect(text('index.html')).not.toMatch(/(src|href)="[/h]/);
  const [own = ''] = files.filter(name => /^assets\/index-.*\.js$/.test(name));
  expect(text(own)).not.toContain('@compute');
  expect(text(own).length).toBeLessThan(60_000);
});

it('measures ceilings and rows, with errors, and gives them as the file of the command', async () => {
  const rows = await measured(page);
  expect(await told(page)).toBe('');
  expect(rows.map(([name]) => name)).toEqual([expect.stringMatching(/^rms-norm/), expect.stringMatching(/^rms-norm/)]);
  for (const [, ms, gflops, gbs, share, error, compile, variant] of rows) {
    for (const text of [ms, gflops, gbs, compile]) expect(Number.parseFloat(text)).toBeGreaterThanOrEqual(0);
    expect(share).toMatch(/^\d+(\.\d)? %(memory|f32)$/);
    expect(error).toMatch(/^\de-\d$/);
    expect(variant).toMatch(/^layer-norm-\w+/);
  }
  expect(await said(page)).toBe('Measured; every kernel is right.');
  expect(await page.locator('#facts').textContent()).toContain('swiftshader');
  const ceilings = await page.locator('#ceiling-list dd').allTextContents();
  expect(ceilings).toEqual([
    expect.stringMatching(/^[\d.]+ GFLOP\/s$/),
    'none',
    'none',
    expect.stringMatching(/ GB\/s$/),
  ]);
  const file = parseBench(await copied(page));
  expect(file).toMatchObject({ adapter: { architecture: 'swiftshader' }, without: [], networks: [], peers: [] });
  expect(file.machine.runtime).toContain('Chrome');
  expect(file.rows.map(({ op, wrong }) => [op, wrong])).toEqual([
    ['rms-norm', undefined],
    ['rms-norm', undefined],
  ]);
});

it('is cancelled and begun again from the keyboard, focus going to the button that ends it and back', async () => {
  await page.focus('#measure');
  await page.keyboard.press('Enter');
  await page.locator('#cancel:focus').waitFor();
  await page.keyboard.press('Enter');
  await free(page);
  expect(await said(page)).toBe('Cancelled.');
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('measure');
  expect(visit.problems).toEqual([]);
});

it('works without timestamps, subgroups and f16', async () => {
  const lesser = await site.visit('?rows=rms-norm 64x1024 activations f32&without=timestamps,subgroups,f16');
  expect(await lesser.page.isChecked('#without-subgroups')).toBe(true);
  const rows = await measured(lesser.page);
  expect([rows.length, await told(lesser.page)]).toEqual([1, '']);
  const file = parseBench(await copied(lesser.page));
  expect(file).toMatchObject({ clock: 'clock', without: ['timestamps', 'subgroups', 'f16'] });
  expect(file.features.filter(name => /timestamp|subgroup|f16/.test(name))).toEqual([]);
  expect(file.rows[0].variant).toMatch(/-tile$/);
  await lesser.page.fill('#rows', 'no such row');
  await lesser.page.click('#measure');
  await lesser.page.locator('#problem', { hasText: 'no such row' }).waitFor();
  expect(lesser.problems).toEqual([]);
  await lesser.page.context().close();
});

it('shows wrong kernels without a speed, and charts on which no words overlap, in every scheme and width', async () => {
  const shown = await site.visit('', instead);
  const rows = await measured(shown.page);
  expect(rows).toHaveLength(BENCH_FIXTURE.rows.length);
  expect(rows[6].slice(1, 3)).toEqual(['wrong: no speed', '0.31']);
  expect(await said(shown.page)).toBe('Measured; 1 of 10 kernels is wrong here.');
  for (const [colorScheme, width] of [
    ['dark', 360],
    ['light', 1280],
  ] as const) {
    await shown.page.setViewportSize({ width, height: 900 });
    await shown.page.emulateMedia({ colorScheme });
    const drawn = shown.page.locator(`#bars-out svg[width="${width === 360 ? 328 : 1120}"]`);
    await drawn.waitFor();
    expect(await violations(shown.page), `${colorScheme}, ${width} pixels`).toEqual([]);
    expect(await shown.page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
    expect(await shown.page.evaluate(overlaps)).toEqual([]);
    await shot(shown.page, `bench-${colorScheme}-${width}`, true);
  }
  expect(shown.problems).toEqual([]);
  await shown.page.context().close();
});

/** Runs in the page: words of the charts that lie on each other, or outside. */
function overlaps(): string[] {
  return [...document.querySelectorAll('#charts svg')].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    // A rotated box is larger than its words.
    const all = [...svg.querySelectorAll('text:not([transform])')].map(one => ({
      text: one.textContent ?? '',
      box: one.getBoundingClientRect(),
    }));
    const outside = all.filter(({ box }) => box.left < frame.left || box.right > frame.right + 0.5);
    const pairs = all.flatMap(({ text, box: a }, i) =>
      all
        .slice(i + 1)
        .filter(({ box: b }) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.5)
        // Boxes have room for accents above and below: letters touch where boxes share more than that.
        .filter(({ box: b }) => Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4)
        .map(other => `${text} / ${other.text}`),
    );
    return [...outside.map(({ text }) => `outside: ${text}`), ...pairs];
  });
}

it('asks its own origin alone, and neither page nor worker could ask another', async () => {
  const outside = (): Promise<unknown> => fetch('https://huggingface.co/').then(String, error => error.name);
  expect(await page.evaluate(outside)).toBe('TypeError');
  expect(await page.workers()[0].evaluate(outside)).toBe('TypeError');
  expect(visit.problems.splice(0).filter(text => !text.includes('Content Security Policy'))).toEqual([]);
  const own = [site.url, 'blob:', 'https://huggingface.co/'];
  expect(visit.asked.filter(url => !own.some(begin => url.startsWith(begin)))).toEqual([]);
});

it('says so where its worker does not start, and begins anew when asked again', async () => {
  let broken = true;
  const { page: own } = await site.visit('?rows=rms-norm', context =>
    context.route('**/assets/worker-*.js', route => (broken ? route.abort() : route.fallback())),
  );
  await own.click('#measure');
  await free(own);
  expect(await told(own)).toContain('The worker that measures has failed, or its script did not load: measure again.');
  broken = false;
  await own.click('#measure');
  await own.locator('#adapter', { hasText: /./ }).waitFor();
  await own.click('#cancel');
  await free(own);
  await own.context().close();
});

it('says so where there is no WebGPU', async () => {
  const without = await site.visit('', context =>
    context.addInitScript(() => Object.defineProperty(Navigator.prototype, 'gpu', { get: () => undefined })),
  );
  await without.page.locator('#problem', { hasText: 'no WebGPU' }).waitFor();
  expect(await without.page.isDisabled('#measure')).toBe(true);
  expect(without.problems).toEqual([]);
  await without.page.context().close();
});

it.runIf(FULL)('measures every row that software runs, each of them right', async () => {
  const whole = await site.visit();
  const rows = await measured(whole.page);
  expect(rows.length).toBeGreaterThan(40);
  const file = parseBench(await copied(whole.page));
  expect(file.rows.filter(({ wrong }) => wrong)).toEqual([]);
  expect(new Set(file.rows.map(({ op }) => op)).size).toBeGreaterThanOrEqual(7);
  await shot(whole.page, 'bench-all', true);
  expect(whole.problems).toEqual([]);
  await whole.page.context().close();
});
