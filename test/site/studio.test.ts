/** The page site/studio, built and opened under a sub-path in Chromium; studio-clicks.test.ts goes through all of it. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { free, hand, opened, Site, said, told, type Visit, violations } from '../support/site.ts';
import { ROOT } from '../support/tarball.ts';

const studio = new Site('studio');
let visit: Visit;
let page: Page;
let problems: string[];
beforeAll(async () => {
  await studio.start();
  visit = await studio.visit();
  ({ page, problems } = visit);
  await opened(page);
});
afterAll(() => studio.stop());

const sample = (name: string): Uint8Array => readFileSync(join(ROOT, 'models/orchard/samples', name));
const size = (): Promise<string | null> => page.locator('#size').textContent();

it('is a folder of static files for any path and any host, and carries the library once', () => {
  const files = readdirSync(studio.folder, { recursive: true, encoding: 'utf8' });
  expect(files).toEqual(expect.arrayContaining(['index.html', '404.html', '.nojekyll', 'service-worker.js']));
  const text = (name: string): string => readFileSync(join(studio.folder, name), 'utf8');
  expect(text('index.html')).not.toMatch(/(src|href)="[/h]/);
  const scripts = files.filter(name => name.startsWith('assets/') && name.endsWith('.js'));
  const sizes = scripts.map(name => statSync(join(studio.folder, name)).size);
  // Ceilings and rows of the table of kernels, and what checks a device's tuning: 30 kB. The pipelines that make pictures, with their samplers: 66.
  expect(sizes.reduce((sum, bytes) => sum + bytes)).toBeLessThan(1_105_000);
  // The page's own script has no kernel, which only the worker needs.
  const [own = '', ...more] = scripts.filter(name => /^assets\/index-/.test(name));
  expect([more, text(own).includes('@compute')]).toEqual([[], false]);
  expect(text(own).length).toBeLessThan(142_000);
});

it('opens with the embedded model, a sample and its recommended settings, and no word of an error', async () => {
  expect(await page.title()).toBe('pentimento studio');
  expect(await page.locator('#model-name').textContent()).toMatch(/^orchard .* 128 × 128 pixels, \d+ MB on the device/);
  expect(await size()).toBe('128 × 128 pixels; the model works at 128 × 128.');
  expect(await page.locator('#settings #setting-numInferenceSteps').inputValue()).toBe('');
  expect(await page.locator('#recommended-settings #setting-maskMode').inputValue()).toBe('soft');
  expect(await page.locator('#more-settings #setting-eta').inputValue()).toBe('');
  expect(await told(page)).toBe('');
  // Nobody has asked for it.
  expect(await page.evaluate(() => document.activeElement === document.body)).toBe(true);
  // Also none of files that a model may lack.
  expect(problems).toEqual([]);
});

it('has no violation that axe-core finds, and nothing is cut on a phone', async () => {
  for (const details of await page.locator('details').all())
    await details.evaluate(one => one.setAttribute('open', ''));
  for (const [colorScheme, width] of [
    ['dark', 360],
    ['light', 1280],
  ] as const) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme });
    expect(await violations(page), `${colorScheme}, ${width} pixels`).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
  }
});

it('asks its own origin alone, and neither page nor worker could ask another on this first visit', async () => {
  const outside = (): Promise<unknown> => fetch('https://huggingface.co/').then(String, error => error.name);
  expect(await page.evaluate(outside)).toBe('TypeError');
  const [worker] = page.workers();
  expect(await worker.evaluate(outside)).toBe('TypeError');
  expect(problems.splice(0).filter(text => !text.includes('Content Security Policy'))).toEqual([]);
  const { asked } = visit;
  // The two above, which the policy has stopped.
  expect(new Set(asked.filter(url => !url.startsWith(studio.url) && !url.startsWith('blob:')))).toEqual(
    new Set(asked.filter(url => url === 'https://huggingface.co/')),
  );
});

it('takes dropped and pasted pictures, and says what is wrong with other files', async () => {
  const market = { name: 'market.jpg', type: 'image/jpeg', bytes: sample('market.jpg') };
  await hand(page, 'drop', [market]);
  await page.locator('#size', { hasNotText: /^128 × 128 pixels;/ }).waitFor();
  expect(await page.locator('#sample').inputValue()).toBe('');
  await hand(page, 'drop', [{ name: 'notes.txt', type: 'text/plain', bytes: Buffer.from('no picture') }]);
  await page.locator('#problem', { hasText: 'notes.txt' }).waitFor();
  await hand(page, 'drop', []);
  await page.locator('#problem', { hasText: 'no file' }).waitFor();
  await hand(page, 'paste', [{ name: 'image.png', type: 'image/png', bytes: sample('pears-basket.png') }]);
  await page.locator('#size', { hasText: /^128 × 128 pixels;/ }).waitFor();
  expect(await told(page)).toBe('');
  expect(problems).toEqual([]);
});

it('crops by a frame that is dragged, resized and moved by keys', async () => {
  await hand(page, 'drop', [{ name: 'market.jpg', type: 'image/jpeg', bytes: sample('market.jpg') }]);
  await page.locator('#size', { hasNotText: /^128 × 128 pixels;/ }).waitFor();
  await page.selectOption('#fit', 'crop');
  const frame = page.locator('#crop');
  await frame.waitFor();
  const box = async () => (await frame.boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
  const drag = async (from: readonly [number, number], by: readonly [number, number]): Promise<void> => {
    await page.mouse.move(...from);
    await page.mouse.down();
    await page.mouse.move(from[0] + by[0] / 2, from[1] + by[1] / 2);
    await page.mouse.move(from[0] + by[0], from[1] + by[1]);
    await page.mouse.up();
  };
  const first = await box();
  await drag([first.x + first.width - 6, first.y + first.height - 6], [-first.width / 2, -first.height / 2]);
  const small = await box();
  expect(small.width / first.width).toBeCloseTo(0.5, 1);
  expect([small.x, small.y]).toEqual([expect.closeTo(first.x, -1), expect.closeTo(first.y, -1)]);
  await drag([small.x + 20, small.y + 20], [40, 30]);
  const moved = await box();
  expect([moved.x - small.x, moved.y - small.y]).toEqual([expect.closeTo(40, -1), expect.closeTo(30, -1)]);
  await frame.focus();
  for (const key of ['ArrowLeft', 'ArrowUp', '-']) await page.keyboard.press(key);
  const keyed = await box();
  expect(keyed.x).toBeLessThan(moved.x + 2);
  expect(keyed.width).toBeLessThan(moved.width);
  expect(await said(page)).toMatch(/^frame \d+ % across, \d+ % down, size 4\d %$/);
  await page.selectOption('#fit', 'nearest');
  await page.selectOption('#sample', 'apples-bowl.png');
  await page.locator('#size', { hasText: /^128 × 128 pixels;/ }).waitFor();
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
  expect(await said(page)).toMatch(/^painted at column \d+, row \d+$/);
  for (const key of ['e', ' ']) await page.keyboard.press(key);
  expect(await said(page)).toMatch(/^erased/);
  for (let i = 0; i < 2; i++) await page.keyboard.press('Control+z');
  expect(await marked()).toBe(once);
  await page.keyboard.press('Control+z');
  expect(await marked()).toBe(0);
  await page.locator('input[value="brush"]').check({ force: true });
});

it('says what is wrong with a file of settings, and takes a right one', async () => {
  const drop = (text: string): Promise<void> =>
    hand(page, 'drop', [{ name: 'a.json', type: 'application/json', bytes: Buffer.from(text) }]);
  await drop('{"version":3}');
  await page.locator('#problem', { hasText: "The file's version is 3; this page reads version 1." }).waitFor();
  const prompts = { sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of oranges' };
  await drop(JSON.stringify({ version: 1, ...prompts, seed: 3, fit: 'crop', settings: { numInferenceSteps: 4 } }));
  await page.locator('#status', { hasText: 'as in the file' }).waitFor();
  expect(await page.locator('#target').inputValue()).toBe('a bowl of oranges');
  expect(await page.locator('#setting-numInferenceSteps').inputValue()).toBe('4');
  expect(await told(page)).toBe('');
  expect(problems).toEqual([]);
});

it('takes a picture and its settings together, and says which files it leaves', async () => {
  const settings = { version: 1, sourcePrompt: 'a market', targetPrompt: 'a bowl', seed: 5 };
  const pears = { name: 'pears.png', type: 'image/png', bytes: sample('pears-basket.png') };
  await hand(page, 'drop', [
    { name: 'a.json', type: 'application/json', bytes: Buffer.from(JSON.stringify(settings)) },
    { name: 'market.jpg', type: 'image/jpeg', bytes: sample('market.jpg') },
    pears,
  ]);
  await page.locator('#problem', { hasText: 'Of 3 files only market.jpg and a.json are taken' }).waitFor();
  expect(await size()).not.toMatch(/^128 × 128 pixels;/);
  expect(await page.inputValue('#seed')).toBe('5');
  // The picture that was asked for last stays, whichever is there first.
  await Promise.all([
    hand(page, 'drop', [{ name: 'market.jpg', type: 'image/jpeg', bytes: sample('market.jpg') }]),
    hand(page, 'drop', [pears]),
  ]);
  await page.locator('#size', { hasText: /^128 × 128 pixels;/ }).waitFor();
  for (let i = 0; i < 2; i++) {
    // The same file again.
    await page.selectOption('#sample', 'apples-bowl.png');
    await page.locator('#size', { hasText: /^128 × 128 pixels;/ }).waitFor();
    await page.setInputFiles('#file', join(ROOT, 'models/orchard/samples/market.jpg'));
    await page.locator('#size', { hasNotText: /^128 × 128 pixels;/ }).waitFor();
  }
});

it('keeps what was painted while the picture is as it was, and says that it goes where it is not', async () => {
  const overlay = page.locator('#overlay');
  // As an edit leaves it.
  await page.locator('#show-mask').evaluate(one => Object.assign(one, { checked: false }));
  await page.click('#blank');
  await overlay.click({ position: { x: 30, y: 30 } });
  await page.locator('details', { hasText: 'Another model' }).evaluate(one => one.setAttribute('open', ''));
  await page.selectOption('#dtype', 'float32');
  await page.locator('#model-name', { hasText: 'opening' }).waitFor({ state: 'detached' });
  await opened(page);
  // Planned at once, while nothing else can begin and speak.
  expect(await said(page)).toMatch(/^An edit takes at most \d+ MB\.$/);
  expect([await overlay.isVisible(), await page.isEnabled('#undo')]).toEqual([true, true]);
  await page.selectOption('#fit', 'crop');
  await page.locator('#status', { hasText: 'The painted mask belonged to the picture as it was' }).waitFor();
  expect(await overlay.isVisible()).toBe(false);
  await page.selectOption('#fit', 'nearest');
});

it('says what is wrong with a field, where it can be seen', async () => {
  const more = page.locator('details', { hasText: 'More settings' });
  const isOpen = (): Promise<boolean> => more.evaluate(one => one.hasAttribute('open'));
  await page.fill('#setting-guidanceInterval', 'always');
  await page.click('#blank');
  await page.locator('#problem', { hasText: /^settings\.guidanceInterval/ }).waitFor();
  await page.fill('#setting-guidanceInterval', '');
  await page.fill('#setting-numMapsPerMask', '0');
  await more.evaluate(one => one.removeAttribute('open'));
  await page.click('#edit');
  expect(await isOpen()).toBe(true);
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('setting-numMapsPerMask');
  await page.fill('#setting-numMapsPerMask', '');
  await page.fill('#max-gb', '0.25');
  expect(await page.locator('#controls').evaluate(form => (form as HTMLFormElement).checkValidity())).toBe(true);
  await page.fill('#max-gb', '');
  await opened(page);
  expect(problems).toEqual([]);
});

it('a file that is none disturbs nothing that runs, and Enter presses the button beside a field', async () => {
  await page.locator('details', { hasText: 'Suggestions' }).evaluate(one => one.setAttribute('open', ''));
  await page.fill('#concept', 'basket');
  await page.press('#concept', 'Enter');
  await page.locator('#cancel').waitFor();
  await hand(page, 'drop', [{ name: 'notes.txt', type: 'text/plain', bytes: Buffer.from('no picture') }]);
  await page.locator('#problem', { hasText: 'notes.txt' }).waitFor();
  expect(await page.locator('#clock').textContent()).toMatch(/^\d+:\d\d$/);
  expect(await page.locator('#progress').isVisible()).toBe(true);
  await free(page);
  expect(await said(page)).toMatch(/^\d suggestions\.$/);
  expect(await told(page)).toMatch(/notes\.txt/);
});

it('works where the browser keeps nothing for pages', async () => {
  const refuse = `Object.defineProperty(StorageManager.prototype, 'getDirectory', {
    value: () => Promise.reject(new DOMException('no', 'SecurityError')),
  });`;
  const denied = await studio.visit('', async context => {
    await context.addInitScript(refuse);
    await context.addInitScript(`Object.defineProperty(window, 'sessionStorage', {
      get() { throw new DOMException('no', 'SecurityError'); },
    });`);
    await context.route('**/assets/worker-*.js', async route => {
      const response = await route.fetch();
      await route.fulfill({ response, body: refuse + (await response.text()) });
    });
  });
  await opened(denied.page);
  expect([await told(denied.page), denied.problems]).toEqual(['', []]);
  await denied.page.context().close();
});

it('begins anew where its worker did not come', async () => {
  let broken = true;
  let come = (): void => {};
  const asked = new Promise<void>(resolve => {
    come = resolve;
  });
  const away = await studio.visit('', async context => {
    await context.route('**/assets/worker-*.js', route => (broken ? route.abort() : route.continue()));
    await context.route('**/apples-bowl*.png', route => asked.then(() => route.continue()));
  });
  await away.page.locator('#problem', { hasText: 'its script did not come. Try again' }).waitFor();
  await away.page.locator('#model-name', { hasText: 'No model is open' }).waitFor();
  // A picture that comes now mends no model.
  come();
  await away.page.waitForFunction(() => !document.getElementById('stage')?.classList.contains('empty'));
  expect(await told(away.page)).toMatch(/its script did not come/);
  // Nor does one that follows a file that is none.
  await hand(away.page, 'drop', [{ name: 'notes.txt', type: 'text/plain', bytes: Buffer.from('no picture') }]);
  await away.page.locator('#problem', { hasText: 'notes.txt' }).waitFor();
  await hand(away.page, 'drop', [{ name: 'a.png', type: 'image/png', bytes: sample('pears-basket.png') }]);
  await away.page.locator('#problem', { hasText: 'its script did not come' }).waitFor();
  broken = false;
  await away.page.click('#blank');
  await opened(away.page);
  await away.page.locator('#overlay').waitFor();
  expect(await away.page.isEnabled('#level')).toBe(true);
  expect([await told(away.page), await away.page.locator('#progress').isVisible()]).toEqual(['', false]);
  await away.page.context().close();
});

it('opens with what is asked for next where opening was cancelled, and shows what is so', async () => {
  let held = true;
  const own = await studio.visit('', context =>
    context.route('**/unet/*.safetensors', async route => {
      while (held) await new Promise(resolve => setTimeout(resolve, 20));
      await route.continue().catch(() => undefined); // cancelled meanwhile
    }),
  );
  const { page: late } = own;
  await late.locator('#size', { hasNotText: /./ }).waitFor({ state: 'attached' });
  await late.locator('details', { hasText: 'Another model' }).evaluate(one => one.setAttribute('open', ''));
  await late.selectOption('#dtype', 'float32');
  // Something runs, so that this one is not taken.
  expect(await late.inputValue('#dtype')).toBe('');
  const settings = { version: 1, sourcePrompt: 'a market', targetPrompt: 'a bowl', seed: 5 };
  const file = { name: 'a.json', type: 'application/json', bytes: Buffer.from(JSON.stringify(settings)) };
  await hand(late, 'drop', [file]);
  await late.click('#cancel');
  await late.locator('#problem', { hasText: 'Opening the model was cancelled; ask again' }).waitFor();
  await free(late);
  await hand(late, 'drop', [{ name: 'notes.txt', type: 'text/plain', bytes: Buffer.from('no picture') }]);
  await late.locator('#problem', { hasText: 'notes.txt' }).waitFor();
  await hand(late, 'drop', [{ name: 'a.png', type: 'image/png', bytes: sample('pears-basket.png') }]);
  await late.locator('#problem', { hasNotText: /./ }).waitFor({ state: 'attached' });
  held = false;
  await hand(late, 'drop', [file]);
  await late.locator('#status', { hasText: 'as in the file' }).waitFor();
  expect(await late.locator('#model-name').textContent()).toMatch(/^orchard/);
  expect([await told(late), await late.locator('#progress').isVisible()]).toEqual(['', false]);
  expect(await late.inputValue('#seed')).toBe('5');
  await late.context().close();
});

it('says so where there is no WebGPU, and stays usable for what needs none', async () => {
  const without = await studio.visit('', context =>
    context.addInitScript(() => Object.defineProperty(Navigator.prototype, 'gpu', { get: () => undefined })),
  );
  await without.page.locator('#problem', { hasText: 'no WebGPU' }).waitFor();
  await without.page.waitForFunction(() => !document.getElementById('stage')?.classList.contains('empty'));
  await free(without.page);
  expect(await without.page.locator('#edit').isDisabled()).toBe(true);
  // Also once the sample has come.
  expect(await told(without.page)).toMatch(/no WebGPU/);
  expect(without.problems).toEqual([]);
  await without.page.context().close();
});
