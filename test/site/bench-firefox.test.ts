/** The benchmark's page in Firefox: an adapter without subgroups that tells no name, measured, cancelled, shown and saved. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseBench } from '../../bench/schema.ts';
import { openFirefox } from '../support/firefox.ts';
import { patience } from '../support/patience.ts';
import { Site, violations } from '../support/site.ts';
import { ROOT } from '../support/tarball.ts';

const FULL = process.env.PENTIMENTO_FULL !== undefined;
const SHOTS = join(ROOT, 'out/site-screenshots');
const site = new Site('bench');
const downloads = mkdtempSync(join(tmpdir(), 'pentimento-downloads-'));
let browser: Browser;
let page: Page;
let problems: string[];
let asked: string[];
beforeAll(async () => {
  if (!FULL) return;
  await site.serve();
  ({ browser, page, problems, asked } = await openFirefox(downloads));
  await page.setViewport({ width: 1280, height: 900 });
  await page.goto(`${site.url}?rows=norm`);
});
afterAll(async () => {
  await browser?.close();
  await site.stop();
  rmSync(downloads, { recursive: true });
});

const until = (what: string) => page.waitForFunction(what, { timeout: patience(), polling: 50 });
const free = () => until(`document.getElementById('cancel').checkVisibility() === false`);
const text = (id: string) => page.$eval(`#${id}`, one => one.textContent);

// First: the panel of a browser's downloads takes the keyboard.
it.runIf(FULL)('is cancelled from the keyboard', async () => {
  await page.focus('#measure');
  await page.keyboard.press('Enter');
  await until(`document.activeElement?.id === 'cancel'`);
  await page.keyboard.press('Enter');
  await free();
  expect(await text('status')).toBe('Cancelled.');
});

it.runIf(FULL)('measures norms, with their errors, and saves the file of the command', async () => {
  await page.click('#measure');
  await free();
  expect([await text('status'), await text('problem')]).toEqual(['Measured; every kernel is right.', '']);
  const rows = await page.$$eval('#kernels-out tbody tr', all => all.length);
  expect(rows).toBeGreaterThan(5);
  expect(await page.$$eval('#charts svg[role="img"]', all => all.length)).toBe(2);
  // Styles of the charts are there, though the policy has none within documents.
  const strong = await page.$eval('#roofline-out .roof', one => getComputedStyle(one).strokeWidth);
  expect(strong).toBe('2px');
  await page.click('#save');
  const path = join(downloads, 'pentimento-bench.json');
  await expect.poll(() => existsSync(path) && readFileSync(path).length, { timeout: patience() }).toBeGreaterThan(0);
  const file = parseBench(readFileSync(path, 'utf8'));
  expect(file.rows).toHaveLength(rows);
  expect(file.machine.runtime).toContain('Firefox');
  expect(file.features.filter(name => name.includes('subgroup'))).toEqual([]);
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, 'firefox-bench.png'), fullPage: true });
  expect(await violations(page)).toEqual([]);
});

it.runIf(FULL)('asks its own origin alone, and prints no error', () => {
  expect(problems).toEqual([]);
  expect(asked.filter(url => ![site.url, 'blob:', 'data:'].some(begin => url.startsWith(begin)))).toEqual([]);
});
