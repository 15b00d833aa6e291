/** The page site/studio, built and opened under a sub-path in Chromium; clicked through whole where everything is asked for. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openPage, serve } from '../support/page.ts';
import { patience } from '../support/patience.ts';
import { ROOT } from '../support/tarball.ts';

const FULL = process.env.PENTIMENTO_FULL !== undefined;
/** Kept, to be looked at. */
const SHOTS = join(ROOT, 'out/studio-screenshots');
const folder = mkdtempSync(join(tmpdir(), 'pentimento-studio-'));
let server: { url: string; close: () => void };
let browser: Browser;
let page: Page;
let problems: string[];
const asked: string[] = [];

beforeAll(async () => {
  const vite = join(ROOT, 'node_modules/vite/bin/vite.js');
  const config = join(ROOT, 'site/studio/vite.config.ts');
  const { NODE_ENV: _, VITEST: __, ...env } = process.env;
  const built = spawnSync(
    process.execPath,
    [vite, 'build', '--config', config, '--outDir', folder, '--logLevel', 'warn'],
    { cwd: ROOT, env, encoding: 'utf8' },
  );
  expect(built.status, built.stderr).toBe(0);
  server = await serve({ '/some/where/': folder });
  ({ browser, page, problems } = await openPage());
  await page.context().grantPermissions([]);
  page.context().on('request', request => void asked.push(request.url()));
  await page.goto(`${server.url}/some/where/`);
  await opened();
});
afterAll(async () => {
  await browser?.close();
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

const said = (): Promise<string | null> => page.locator('#status').textContent();
const free = (): Promise<unknown> => page.locator('#cancel').waitFor({ state: 'hidden', timeout: patience() });
async function opened(): Promise<void> {
  await page.locator('#model-name', { hasText: 'on the device' }).waitFor({ timeout: patience() });
  await free();
}

async function shot(name: string): Promise<void> {
  if (!FULL) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
}

/** What axe-core finds wrong with the page as it is now. */
async function violations(): Promise<unknown[]> {
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));
  const run = `axe.run(document, { resultTypes: ['violations'] })`;
  const found = (await page.evaluate(run)) as { violations: { id: string; nodes: { html: string }[] }[] };
  return found.violations.map(({ id, nodes }) => [id, nodes.map(node => node.html)]);
}

it('opens with the embedded model, a sample and its recommended settings', async () => {
  expect(await page.title()).toBe('pentimento studio');
  expect(await page.locator('#model-name').textContent()).toMatch(/^orchard .* 128 × 128 pixels/);
  expect(await page.locator('#size').textContent()).toBe('128 × 128 pixels; the model works at 128 × 128.');
  expect(await page.locator('#settings #setting-maskMode').inputValue()).toBe('soft');
  expect(await page.locator('#more-settings #setting-eta').inputValue()).toBe('');
  expect(await page.locator('#problem').textContent()).toBe('');
  // Nobody has asked for it.
  expect(await page.evaluate(() => document.activeElement === document.body)).toBe(true);
  expect(problems).toEqual([]);
});

it('has no violation that axe-core finds, light and dark, wide and as wide as a phone, where nothing is cut', async () => {
  for (const details of await page.locator('details').all())
    await details.evaluate(one => one.setAttribute('open', ''));
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [1280, 360]) {
      await page.setViewportSize({ width, height: 800 });
      await page.emulateMedia({ colorScheme });
      expect(await violations(), `${colorScheme}, ${width} pixels`).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
      await shot(`${colorScheme}-${width}`);
    }
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 1280, height: 900 });
});

it('asks its own origin alone, and could ask no other', async () => {
  const outcome = await page.evaluate(() => fetch('https://huggingface.co/').then(String, error => error.name));
  expect(outcome).toBe('TypeError');
  expect(problems.splice(0).filter(text => !text.includes('Content Security Policy'))).toEqual([]);
  expect(asked.filter(url => !url.startsWith(`${server.url}/some/where/`) && !url.startsWith('blob:'))).toEqual([
    // The one above, which the policy has stopped.
    ...asked.filter(url => url === 'https://huggingface.co/'),
  ]);
});

it('takes masks by hand from the keyboard alone, and takes them back', async () => {
  await page.locator('#blank').focus();
  await page.keyboard.press('Enter');
  await page.locator('#overlay').waitFor();
  const marked = (): Promise<number> =>
    page.evaluate(() => {
      const { width, height } = document.getElementById('overlay') as HTMLCanvasElement;
      const context = (document.getElementById('overlay') as HTMLCanvasElement).getContext('2d');
      return context?.getImageData(0, 0, width, height).data.filter((v, i) => i % 4 === 3 && v > 0).length ?? -1;
    });
  await page.locator('#overlay').focus();
  expect(await marked()).toBe(0);
  await page.keyboard.press('Space');
  const once = await marked();
  expect(once).toBeGreaterThan(0);
  for (const key of ['ArrowRight', 'ArrowRight', 'ArrowRight', ']', 'Enter']) await page.keyboard.press(key);
  expect(await marked()).toBeGreaterThan(2 * once);
  expect(await said()).toMatch(/^painted at column \d+, row \d+$/);
  for (const key of ['e', ' ']) await page.keyboard.press(key);
  expect(await said()).toMatch(/^erased/);
  for (let i = 0; i < 2; i++) await page.keyboard.press('Control+z');
  expect(await marked()).toBe(once);
  await page.keyboard.press('Control+z');
  expect(await marked()).toBe(0);
  await page.locator('input[value="brush"]').check({ force: true });
});

it('says what is wrong with a file of settings, and takes a right one', async () => {
  const drop = (text: string): Promise<void> =>
    page.locator('#file').setInputFiles({ name: 'a.json', mimeType: 'application/json', buffer: Buffer.from(text) });
  await drop('{"version":3}');
  await page.locator('#problem', { hasText: "The file's version is 3; this page reads version 1." }).waitFor();
  const prompts = { sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of oranges' };
  await drop(JSON.stringify({ version: 1, ...prompts, seed: 3, fit: 'crop', settings: { numInferenceSteps: 4 } }));
  await page.locator('#status', { hasText: 'as in the file' }).waitFor();
  expect(await page.locator('#target').inputValue()).toBe('a bowl of oranges');
  expect(await page.locator('#setting-numInferenceSteps').inputValue()).toBe('4');
  expect(await page.locator('#problem').textContent()).toBe('');
  expect(problems).toEqual([]);
});

it.runIf(FULL)('captions, finds, paints, softens, edits, cancels, edits again, compares and downloads', async () => {
  await page.selectOption('#sample', 'apples-bowl.png');
  await page.click('#as-recommended');
  await page.fill('#setting-numInferenceSteps', '10');
  await page.fill('#setting-numMapsPerMask', '2');
  await page.click('#caption');
  await free();
  expect(await page.inputValue('#source')).toMatch(/bowl of apples/);
  await page.fill('#source', 'a bowl of apples');
  await page.fill('#target', 'a bowl of pears');
  await page.click('#find');
  await free();
  await shot('mask');
  await page.locator('#overlay').click({ position: { x: 30, y: 30 } });
  expect(await page.locator('#undo').isEnabled()).toBe(true);
  await page.click('#undo');
  await page.fill('#soften', '0.5');
  await page.click('#edit');
  await page.locator('#preview').waitFor({ timeout: patience() });
  await shot('preview');
  await page.click('#cancel');
  await free();
  expect(await said()).toBe('Cancelled.');
  await page.click('#edit');
  await free();
  expect(await said()).toMatch(/^Done in/);
  expect(await page.locator('#history li').count()).toBe(1);
  await page.fill('#slider', '20');
  await shot('edit');
  expect(await violations()).toEqual([]);
  for (const [id, name] of Object.entries({ picture: 'pentimento.png', mask: 'pentimento-mask.png' })) {
    const [file] = await Promise.all([page.waitForEvent('download'), page.click(`#save-${id}`)]);
    expect(file.suggestedFilename()).toBe(name);
    expect([...readFileSync(await file.path()).subarray(1, 4)]).toEqual([80, 78, 71]);
  }
  const [settings] = await Promise.all([page.waitForEvent('download'), page.click('#save-settings')]);
  expect(JSON.parse(readFileSync(await settings.path(), 'utf8'))).toMatchObject({
    ...{ version: 1, targetPrompt: 'a bowl of pears', seed: 3, mask: { soften: 0.5 } },
  });
  await page.click('#plan');
  await free();
  expect(await page.locator('#plan-out tbody tr').count()).toBeGreaterThan(4);
  await page.click('#suggest');
  await free();
  expect(await page.locator('#suggestions li').count()).toBeGreaterThan(0);
  expect(problems).toEqual([]);
});

it.runIf(FULL)('opens, captions and edits again without a network', async () => {
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  await page.context().setOffline(true);
  server.close();
  await page.reload();
  await opened();
  await page.click('#caption');
  await free();
  expect(await page.inputValue('#source')).toMatch(/bowl of apples/);
  expect(problems).toEqual([]);
});
