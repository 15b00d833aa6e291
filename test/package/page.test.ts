/** The packed package in a page of Chromium: the example page, and the UNet against its recorded output. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { relativeL2 } from '../support/close.ts';
import { blocks, replaced } from '../support/documents.ts';
import { recordedMask, recordedPicture } from '../support/edits.ts';
import { loadGolden } from '../support/golden.ts';
import { openPage } from '../support/page.ts';
import { patience } from '../support/patience.ts';
import { servePackage } from '../support/serve-package.ts';
import { ROOT } from '../support/tarball.ts';

let server: { url: string; close: () => void };
let browser: Browser;
let page: Page;
let problems: string[];
beforeAll(async () => {
  server = await servePackage({
    '/node_modules/': join(ROOT, 'node_modules'),
    '/examples/': join(ROOT, 'examples'),
    '/golden/': join(ROOT, 'test/golden'),
    '/test/': join(ROOT, 'test/package'),
  });
  ({ browser, page, problems } = await openPage());
  await page.goto(`${server.url}/examples/page/`);
});
afterAll(async () => {
  await browser?.close();
  server?.close();
});

describe('a page', () => {
  it('has a WebGPU adapter without shader-f16', async () => {
    const info = await page.evaluate(async () => {
      const adapter = await navigator.gpu.requestAdapter();
      return { architecture: adapter?.info.architecture, half: adapter?.features.has('shader-f16') };
    });
    expect(info).toEqual({ architecture: 'swiftshader', half: false });
  });

  it('predicts with the UNet what was recorded', async () => {
    const golden = loadGolden('sd2');
    const [sample, context] = [golden.floats('unet.sample'), golden.floats('unet.context')];
    const plain = (t: { data: Float32Array; shape: readonly number[] }) => ({ data: [...t.data], shape: [...t.shape] });
    const inputs = JSON.stringify({ sample: plain(sample), context: plain(context) });
    // As text, because the test's own compiler would rewrite import().
    const out: number[] = await page.evaluate(`import('/test/unet-page.mjs').then(m => m.predict(${inputs}))`);
    expect(relativeL2(out, golden.floats('unet.out').data)).toBeLessThan(1e-4);
  });

  it('edits a picture through the example, as recorded', async () => {
    const fill = (name: string, value: string) => page.fill(`input[name=${name}]`, value);
    // The recorded quick edit: guidance 7.5 throughout, 10 steps, 2 maps, seed 0.
    await page.selectOption('select[name=preset]', 'diffusers');
    await fill('steps', '10');
    await fill('maps', '2');
    await fill('guidance', '7.5');
    await fill('inversion', '7.5');
    await page.selectOption('select[name=fit]', 'squash');
    await page.click('button');
    await page.waitForFunction(() => /Done|Error/.test(document.getElementById('status')?.textContent ?? ''), null, {
      timeout: patience(),
    });
    expect(await page.textContent('#status')).toBe('Done.');
    expect(await page.textContent('#settings')).toBe('');
    const pixels = await page.$$eval('canvas', all =>
      all.map(c =>
        [...(c.getContext('2d')?.getImageData(0, 0, c.width, c.height).data ?? [])].filter((_, i) => i % 4 < 3),
      ),
    );
    expect(pixels).toHaveLength(3);
    const picture = await recordedPicture('quick');
    const mean = pixels[2].reduce((sum, v, i) => sum + Math.abs(v - picture[i]), 0) / picture.length;
    expect(mean).toBeLessThanOrEqual(1);
    const mask = pixels[1].filter(
      (_, i) => i % 3 === 0 && Math.floor(i / 3) % 8 === 4 && Math.floor(i / 3 / 128) % 8 === 4,
    );
    expect(mask).toEqual(await recordedMask('quick'));
    expect(problems).toEqual([]);
  });

  it('takes what the model recommends in the example, but for what is typed', async () => {
    await page.selectOption('select[name=preset]', 'recommended');
    for (const [name, value] of Object.entries({ steps: '2', maps: '1', guidance: '3', inversion: '' }))
      await page.fill(`input[name=${name}]`, value);
    await page.click('button');
    await page.waitForFunction(() => document.getElementById('settings')?.textContent !== '', null, {
      timeout: patience(),
    });
    const said = await page.textContent('#settings');
    expect(said).toMatch(/^The model recommends: .*maskMode "soft".*invertGuidanceScale 1/);
    expect(said).not.toMatch(/\bguidanceScale/);
    await page.waitForFunction(() => document.getElementById('status')?.textContent === 'Done.', null, {
      timeout: patience(),
    });
  });

  it("runs README's block", async () => {
    const [block] = blocks(readFileSync(join(ROOT, 'README.md'), 'utf8'), 'html');
    const content = replaced(block, {
      '<script type="module">': '',
      '</script>': '',
      'seed: 0': 'seed: 0, numInferenceSteps: 4, numMapsPerMask: 1',
    });
    await page.addScriptTag({ type: 'module', content });
    await page.waitForSelector('body > img', { timeout: patience() });
    const size = await page.$eval('body > img', async img => {
      await (img as HTMLImageElement).decode();
      return [(img as HTMLImageElement).naturalWidth, (img as HTMLImageElement).naturalHeight];
    });
    expect(size).toEqual([128, 128]);
    expect(problems).toEqual([]);
  });
});
