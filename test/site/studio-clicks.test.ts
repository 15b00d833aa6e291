/** The whole of the studio, clicked through as people would; screenshots stay in out/site-screenshots. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseBench } from '../../bench/schema.ts';
import { writeSafetensors } from '../../src/io/safetensors.ts';
import { patience } from '../support/patience.ts';
import { free, hand, opened, Site, said, shot, told, type Visit, violations } from '../support/site.ts';
import { ROOT } from '../support/tarball.ts';

const FULL = process.env.PENTIMENTO_FULL !== undefined;
const MODEL = join(ROOT, 'models/orchard/stable-diffusion');
const studio = new Site('studio');
let visit: Visit;
let page: Page;
beforeAll(async () => {
  if (!FULL) return;
  await studio.start();
  visit = await studio.visit();
  page = visit.page;
  await opened(page);
});
afterAll(() => studio.stop());

/** A screenshot of a state, without violations. */
async function state(name: string): Promise<void> {
  await page.evaluate(() => scrollTo(0, 0));
  await shot(page, name);
  expect(await violations(page), name).toEqual([]);
}

/** Few steps and maps: what is shown is the page. */
async function quick(of: Page): Promise<void> {
  await of.locator('details', { hasText: 'More settings' }).evaluate(one => one.setAttribute('open', ''));
  await of.fill('#setting-numInferenceSteps', '10');
  await of.fill('#setting-numMapsPerMask', '2');
}

/** All that the page says from now on. */
async function listen(of: Page): Promise<() => Promise<string[]>> {
  await of.evaluate(() => {
    const heard: string[] = [];
    const status = document.getElementById('status');
    new MutationObserver(() => void heard.push(status?.textContent ?? '')).observe(status as Node, {
      childList: true,
      characterData: true,
      subtree: true,
    });
    Object.assign(window, { heard });
  });
  return () => of.evaluate(() => (window as unknown as { heard: string[] }).heard);
}

it.runIf(FULL)(
  'a picture is dropped, captioned, masked, painted over, edited, cancelled, edited again, compared',
  async () => {
    const bytes = readFileSync(join(ROOT, 'models/orchard/samples/apples-bowl.png'));
    await state('1-open');
    await hand(page, 'drop', [{ name: 'apples.png', type: 'image/png', bytes }]);
    await page.waitForFunction(() => (document.getElementById('sample') as HTMLSelectElement).value === '');
    await quick(page);
    await page.click('#caption');
    await free(page);
    expect(await page.inputValue('#source')).toMatch(/bowl of apples/);
    await page.fill('#source', 'a bowl of apples');
    await page.fill('#target', 'a bowl of pears');
    await page.click('#find');
    await free(page);
    await state('2-mask');
    await page.locator('#overlay').click({ position: { x: 30, y: 30 } });
    expect(await page.locator('#undo').isEnabled()).toBe(true);
    await page.check('input[value="eraser"]', { force: true });
    await page.locator('#overlay').click({ position: { x: 90, y: 90 } });
    await page.fill('#level', '0.3');
    await page.fill('#grow', '1');
    await page.fill('#soften', '0.5');
    await state('3-painted');
    await page.click('#edit');
    await page.locator('#preview').waitFor({ timeout: patience() });
    expect(await page.locator('#clock').textContent()).toMatch(/^\d+:\d\d$/);
    await state('4-preview');
    await page.click('#cancel');
    await free(page);
    expect(await said(page)).toBe('Cancelled.');
    await page.click('#edit');
    await free(page);
    expect(await said(page)).toMatch(/^Done in/);
    expect(await page.locator('#history li').count()).toBe(1);
    await page.fill('#slider', '20');
    await state('5-edited');
    expect(visit.problems).toEqual([]);
  },
);

it.runIf(FULL)('tries are downloaded, shown again, and dropped back as settings', async () => {
  for (const [id, name] of Object.entries({ picture: 'pentimento.png', mask: 'pentimento-mask.png' })) {
    const [file] = await Promise.all([page.waitForEvent('download'), page.click(`#save-${id}`)]);
    expect(file.suggestedFilename()).toBe(name);
    expect([...readFileSync(await file.path()).subarray(1, 4)]).toEqual([80, 78, 71]);
  }
  const [file] = await Promise.all([page.waitForEvent('download'), page.click('#save-settings')]);
  const text = readFileSync(await file.path());
  expect(JSON.parse(text.toString())).toMatchObject({
    ...{ version: 1, targetPrompt: 'a bowl of pears', mask: { level: 0.3, grow: 1, soften: 0.5 } },
  });
  await page.fill('#target', 'a bowl of lemons');
  await page.fill('#soften', '0');
  await hand(page, 'drop', [{ name: 'pentimento.json', type: 'application/json', bytes: text }]);
  await page.locator('#status', { hasText: 'as in the file' }).waitFor();
  expect([await page.inputValue('#target'), await page.inputValue('#soften')]).toEqual(['a bowl of pears', '0.5']);
  await page.fill('#seed', '1');
  await page.click('#edit');
  await free(page);
  expect(await page.locator('#history li').count()).toBe(2);
  await page.locator('#history button').first().click();
  expect(await page.locator('#history button').first().getAttribute('aria-pressed')).toBe('true');
  await page.click('#use-again');
  await page.locator('#status', { hasText: 'as in the file' }).waitFor();
  expect(await page.inputValue('#seed')).toBe('0');
});

it.runIf(FULL)('prompts are suggested, an adapter acts, a plan and the table of kernels are shown', async () => {
  for (const details of await page.locator('details').all())
    await details.evaluate(one => one.setAttribute('open', ''));
  await page.click('#suggest');
  await free(page);
  expect(await page.locator('#suggestions li').count()).toBeGreaterThan(0);
  await page.locator('#suggestions button').first().click();
  expect(await page.inputValue('#target')).toBe(await page.locator('#suggestions button').first().textContent());
  const key = 'unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora';
  const data = Float32Array.from({ length: 128 }, (_, i) => Math.sin(i) / 8);
  const lora = writeSafetensors({
    [`${key}_A.weight`]: { dtype: 'F32', shape: [2, 64], data },
    [`${key}_B.weight`]: { dtype: 'F32', shape: [64, 2], data },
  });
  await page.setInputFiles('#lora', {
    ...{ name: 'my style.safetensors', mimeType: 'application/octet-stream', buffer: Buffer.from(lora) },
  });
  await page.locator('#adapters li', { hasText: 'my_style' }).waitFor();
  await free(page);
  await page.fill('#adapters input', '0.5');
  await page.locator('#adapters input').blur();
  await page.locator('#status', { hasText: 'has a weight of 0.5' }).waitFor();
  await page.click('#adapters button');
  await page.locator('#no-adapters').waitFor();
  await free(page);
  await page.click('#plan');
  await free(page);
  expect(await page.locator('#plan-out tbody tr').count()).toBeGreaterThan(4);
  await page.click('#measure');
  await free(page);
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.click('#copy-kernels');
  await page.locator('#status', { hasText: 'as JSON' }).waitFor();
  const table = parseBench(await page.evaluate(() => navigator.clipboard.readText()));
  expect(table).toMatchObject({ adapter: { architecture: 'swiftshader' } });
  expect(new Set(table.rows.map(({ op }) => op))).toEqual(
    new Set(['matmul', 'conv3x3', 'attention', 'group-norm-silu']),
  );
  for (const { error, gflops } of table.rows) {
    expect(error).toBeLessThan(1e-2);
    expect(gflops).toBeGreaterThan(0);
  }
  await page.locator('#kernels-out').scrollIntoViewIfNeeded();
  await shot(page, '6-kernels');
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    for (const width of [1280, 360]) {
      await page.setViewportSize({ width, height: 800 });
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
      expect(await violations(page), `${colorScheme} ${width}`).toEqual([]);
      await shot(page, `7-all-${colorScheme}-${width}`, true);
    }
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.selectOption('#sample', 'market.jpg');
  await page.locator('#size', { hasNotText: /^128 × 128 pixels;/ }).waitFor();
  await page.selectOption('#fit', 'crop');
  await page.fill('#crop-size', '70');
  await state('7-crop');
  await page.selectOption('#fit', 'nearest');
  expect(visit.problems).toEqual([]);
  expect(visit.asked.filter(url => !url.startsWith(studio.url) && !url.startsWith('blob:'))).toEqual([]);
});

it.runIf(FULL)('a lost device is told of, and the edit ends all the same', async () => {
  await page.selectOption('#sample', 'apples-bowl.png');
  await page.click('#as-recommended');
  await quick(page);
  const heard = await listen(page);
  const [worker] = page.workers();
  await worker.evaluate(() => {
    const { createCommandEncoder } = GPUDevice.prototype;
    GPUDevice.prototype.createCommandEncoder = function (descriptor) {
      Object.assign(globalThis, { used: this });
      return createCommandEncoder.call(this, descriptor);
    };
  });
  await page.click('#edit');
  await page.locator('#preview').waitFor({ timeout: patience() });
  await worker.evaluate(() => (globalThis as unknown as { used: GPUDevice }).used.destroy());
  await free(page);
  expect(await said(page)).toMatch(/^Done in/);
  expect(await heard()).toEqual(
    expect.arrayContaining([expect.stringMatching(/card was lost/), expect.stringMatching(/card is back/)]),
  );
  expect(visit.problems).toEqual([]);
});

it.runIf(FULL)('everything is done from the keyboard alone', async () => {
  const { page: keys, problems } = await studio.visit();
  await opened(keys);
  const press = async (...all: string[]): Promise<void> => {
    for (const key of all) await keys.keyboard.press(key);
  };
  const tabTo = async (id: string): Promise<void> => {
    for (let i = 0; i < 120; i++) {
      if (await keys.evaluate(wanted => document.activeElement?.id === wanted, id)) return;
      await press('Tab');
    }
    throw new Error(`the keyboard does not reach #${id}`);
  };
  await press('Tab', 'Enter'); // past the picture
  await tabTo('target');
  await press('Control+a');
  await keys.keyboard.type('a bowl of pears');
  await tabTo('blank');
  await press('Enter');
  await keys.locator('#overlay').waitFor();
  await keys.keyboard.down('Shift');
  await tabTo('overlay');
  await keys.keyboard.up('Shift');
  await press(']', ']', ']', ' ', 'ArrowDown', 'ArrowDown', ' ', 'e', 'ArrowLeft', ' ', 'Control+z');
  await tabTo('grow');
  await press('ArrowRight');
  await tabTo('setting-numInferenceSteps');
  await keys.keyboard.type('4');
  await press('Enter'); // of a field, as in every form
  await keys.locator('#preview').waitFor({ timeout: patience() });
  await free(keys);
  expect(await said(keys)).toMatch(/^Done in/);
  await keys.keyboard.down('Shift');
  await tabTo('slider');
  await keys.keyboard.up('Shift');
  await press('ArrowLeft', 'ArrowLeft');
  expect(await keys.inputValue('#slider')).toBe('48');
  await tabTo('save-settings');
  const [file] = await Promise.all([keys.waitForEvent('download'), press('Enter')]);
  expect(file.suggestedFilename()).toBe('pentimento.json');
  expect(problems).toEqual([]);
  await keys.context().close();
});

/** The Hub, as far as it is asked: one repository, which holds the embedded model. */
async function fakeHub(context: BrowserContext): Promise<void> {
  const names = readdirSync(MODEL, { recursive: true, encoding: 'utf8' }).filter(name => /\.\w+$/.test(name));
  const commit = '0123456789abcdef0123456789abcdef01234567';
  await context.route('https://huggingface.co/**', async route => {
    const { pathname } = new URL(route.request().url());
    const headers = { 'access-control-allow-origin': '*' };
    const name = decodeURIComponent(pathname.replace(`/someone/fruits/resolve/${commit}/`, ''));
    if (pathname.includes('/revision/')) return route.fulfill({ headers, json: { id: 'someone/fruits', sha: commit } });
    if (pathname.includes('/tree/'))
      return route.fulfill({ headers, json: names.map(path => ({ type: 'file', path, ...listed(path) })) });
    return names.includes(name)
      ? route.fulfill({ headers, body: readFileSync(join(MODEL, name)) })
      : route.fulfill({ headers, status: 404 });
  });
}

function listed(path: string): object {
  const bytes = readFileSync(join(MODEL, path));
  return { size: bytes.length, oid: createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex') };
}

it.runIf(FULL)('a model of the Hub is planned before its weights are fetched, and asks the Hub alone', async () => {
  const hub = await studio.visit('?model=someone/fruits', fakeHub);
  await opened(hub.page);
  expect(await hub.page.locator('#model-name').textContent()).toMatch(/^someone\/fruits, /);
  // No weights are on the device yet.
  expect(await hub.page.locator('#model-name').textContent()).not.toContain('on the device');
  await hub.page.locator('#plan-out tbody tr').first().waitFor({ timeout: patience() });
  await free(hub.page);
  const hosts = new Set(hub.asked.filter(url => !url.startsWith('blob:')).map(url => new URL(url).origin));
  expect(hosts).toEqual(new Set([new URL(studio.url).origin, 'https://huggingface.co']));
  await quick(hub.page);
  const heard = await listen(hub.page);
  await hub.page.click('#find');
  await free(hub.page);
  expect(await told(hub.page)).toBe('');
  expect(await heard()).toEqual(
    expect.arrayContaining([expect.stringMatching(/^Fetching the model|^Loading weights/)]),
  );
  await hub.page.locator('#kept summary').click();
  const kept = hub.page.locator('#kept-list li', { hasText: 'someone/fruits' });
  expect(await kept.textContent()).toMatch(/someone\/fruits@main, \d+ MB/);
  expect(hub.problems).toEqual([]);
  await shot(hub.page, '8-hub');
  await hub.page.context().close();
});

it.runIf(FULL)('a folder is opened; a full storage is told, and the model read all the same', async () => {
  const other = await studio.visit('', async context => {
    const first = await context.newPage();
    const session = await context.newCDPSession(first);
    await session.send('Storage.overrideQuotaForOrigin', { origin: new URL(studio.url).origin, quotaSize: 4_000_000 });
  });
  const heard = await listen(other.page);
  await opened(other.page);
  expect(await told(other.page)).toBe('');
  expect((await heard()).some(text => text.includes('without being kept'))).toBe(true);
  await other.page.setInputFiles('#folder', MODEL);
  await other.page.locator('#model-name', { hasText: /^stable-diffusion, .* pixels/ }).waitFor({ timeout: patience() });
  await free(other.page);
  await other.page.setInputFiles('#folder', join(ROOT, 'models/orchard/samples'));
  await other.page.locator('#problem', { hasText: 'model_index.json' }).waitFor({ timeout: patience() });
  await shot(other.page, '9-wrong-folder');
  expect(await violations(other.page)).toEqual([]);
  await other.page.context().close();
});

it.runIf(FULL)('the page without WebGPU is shown', async () => {
  const without = await studio.visit('', context =>
    context.addInitScript(() => Object.defineProperty(Navigator.prototype, 'gpu', { get: () => undefined })),
  );
  await without.page.locator('#problem', { hasText: 'no WebGPU' }).waitFor();
  await without.page.waitForFunction(() => !document.getElementById('stage')?.classList.contains('empty'));
  await shot(without.page, '10-no-webgpu');
  expect(await violations(without.page)).toEqual([]);
  await without.page.context().close();
});

it.runIf(FULL)('opens, captions and edits again without a network', async () => {
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  await page.context().setOffline(true);
  studio.stopServer();
  await page.reload();
  await opened(page);
  await page.click('#caption');
  await free(page);
  expect(await page.inputValue('#source')).toMatch(/bowl of apples/);
  await quick(page);
  await page.click('#edit');
  await free(page);
  expect(await said(page)).toMatch(/^Done in/);
  await state('11-offline');
  expect(visit.problems).toEqual([]);
});
