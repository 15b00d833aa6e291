/** The studio in Firefox, clicked through as people would: from a dropped picture to downloads, without an adapter that tells its name. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openFirefox } from '../support/firefox.ts';
import { patience } from '../support/patience.ts';
import { hand, Site, violations } from '../support/site.ts';
import { ROOT } from '../support/tarball.ts';

const FULL = process.env.PENTIMENTO_FULL !== undefined;
const SHOTS = join(ROOT, 'out/site-screenshots');
const studio = new Site('studio');
const downloads = mkdtempSync(join(tmpdir(), 'pentimento-downloads-'));
let browser: Browser;
let page: Page;
let problems: string[];
let asked: string[];
beforeAll(async () => {
  if (!FULL) return;
  await studio.serve();
  ({ browser, page, problems, asked } = await openFirefox(downloads));
  await page.setViewport({ width: 1280, height: 900 });
  await page.goto(studio.url);
  await until(`document.getElementById('model-name').textContent.includes(' pixels')`);
  await free();
});
afterAll(async () => {
  await browser?.close();
  await studio.stop();
  rmSync(downloads, { recursive: true });
});

const until = (what: string) => page.waitForFunction(what, { timeout: patience(), polling: 50 });
const free = () => until(`document.getElementById('cancel').checkVisibility() === false`);
const text = (id: string) => page.$eval(`#${id}`, one => one.textContent);
const value = (id: string) => page.$eval(`#${id}`, one => (one as HTMLInputElement).value);

/** As if somebody had typed it, or moved a slider there. */
function fill(id: string, to: string): Promise<void> {
  return page.$eval(
    `#${id}`,
    (one, wanted) => {
      (one as HTMLInputElement).value = wanted;
      for (const kind of ['input', 'change']) one.dispatchEvent(new Event(kind, { bubbles: true }));
    },
    to,
  );
}

async function state(name: string): Promise<void> {
  mkdirSync(SHOTS, { recursive: true });
  await page.evaluate('scrollTo(0, 0)');
  await page.screenshot({ path: join(SHOTS, `firefox-${name}.png`) });
  expect(await violations(page), name).toEqual([]);
}

/** What a button saves, by the name of its file. */
async function saved(id: string, name: string): Promise<Buffer> {
  await page.click(`#${id}`);
  const path = join(downloads, name);
  await expect.poll(() => existsSync(path) && readFileSync(path).length, { timeout: patience() }).toBeGreaterThan(0);
  return readFileSync(path);
}

it.runIf(FULL)(
  'a picture is dropped, captioned, masked, painted over by keys, edited, cancelled, edited again',
  async () => {
    const bytes = readFileSync(join(ROOT, 'models/orchard/samples/apples-bowl.png'));
    await state('1-open');
    await hand(page, 'drop', [{ name: 'apples.png', type: 'image/png', bytes }]);
    await until(`document.getElementById('sample').value === ''`);
    await page.evaluate(`document.querySelectorAll('details').forEach(one => one.setAttribute('open', ''))`);
    await fill('setting-numInferenceSteps', '10');
    await fill('setting-numMapsPerMask', '2');
    await page.click('#caption');
    await free();
    expect(await value('source')).toMatch(/bowl of apples/);
    await fill('source', 'a bowl of apples');
    await fill('target', 'a bowl of pears');
    await page.click('#find');
    await free();
    await state('2-mask');
    await page.focus('#overlay');
    for (const key of [']', ' ', 'ArrowDown', ' ', 'e', 'ArrowLeft', ' '] as const)
      await page.keyboard.press(key as ']');
    expect(await page.$eval('#undo', one => (one as HTMLButtonElement).disabled)).toBe(false);
    await fill('level', '0.3');
    await fill('grow', '1');
    await fill('soften', '0.5');
    await state('3-painted');
    await page.click('#edit');
    await until(`document.getElementById('preview')?.checkVisibility() === true`);
    await page.click('#cancel');
    await free();
    expect(await text('status')).toBe('Cancelled.');
    await page.focus('#edit');
    await page.keyboard.press('Enter');
    await free();
    expect(await text('status')).toMatch(/^Done in/);
    expect(await page.$$eval('#history li', all => all.length)).toBe(1);
    await fill('slider', '20');
    await state('4-edited');
  },
);

it.runIf(FULL)('picture, mask and settings are downloaded, and the settings dropped back', async () => {
  for (const [id, name] of Object.entries({ 'save-picture': 'pentimento.png', 'save-mask': 'pentimento-mask.png' }))
    expect([...(await saved(id, name)).subarray(1, 4)]).toEqual([80, 78, 71]);
  const settings = await saved('save-settings', 'pentimento.json');
  expect(JSON.parse(settings.toString())).toMatchObject({
    ...{ version: 1, targetPrompt: 'a bowl of pears', mask: { level: 0.3, grow: 1, soften: 0.5 } },
  });
  await fill('target', 'a bowl of lemons');
  await hand(page, 'drop', [{ name: 'pentimento.json', type: 'application/json', bytes: settings }]);
  await until(`document.getElementById('status').textContent.includes('as in the file')`);
  expect(await value('target')).toBe('a bowl of pears');
  await page.click('#measure');
  await free();
  expect(await page.$$eval('#kernels-out tbody tr', all => all.length)).toBeGreaterThan(4);
  await state('5-kernels');
});

it.runIf(FULL)('asks its own origin alone, and prints no error', () => {
  expect(problems).toEqual([]);
  const own = [studio.url, 'blob:', 'data:'];
  expect(asked.filter(url => !own.some(begin => url.startsWith(begin)))).toEqual([]);
});
