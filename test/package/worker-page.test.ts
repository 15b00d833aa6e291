/** The packed package's worker in Chromium: the recorded quick edit, cancelled and refused calls, and a second load without a byte. */
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { recordedMask, recordedPicture } from '../support/edits.ts';
import { openPage, serve } from '../support/page.ts';
import { type Installed, installTarball, ROOT } from '../support/tarball.ts';

let installed: Installed;
let server: { url: string; close: () => void };
let browser: Browser;
let page: Page;
let problems: string[];
let asked: string[] = [];
beforeAll(async () => {
  installed = installTarball();
  server = await serve({
    '/dist/': join(installed.project, 'node_modules/pentimento/dist'),
    '/models/': join(ROOT, 'models'),
    '/test/': join(ROOT, 'test/package'),
  });
  ({ browser, page, problems } = await openPage());
  page.context().on('request', request => void asked.push(request.url()));
  await page.goto(`${server.url}/test/worker-page.html`);
});
afterAll(async () => {
  await browser?.close();
  server?.close();
  installed?.remove();
});

/** As text, because the test's own compiler would rewrite import(). */
const run = (what: string): Promise<unknown> => page.evaluate(`import('/test/worker-page.mjs').then(m => m.${what}())`);

it('edits as recorded, while the page stays free; calls are refused, cancelled and left as without a worker', async () => {
  const out = (await run('edit')) as Record<string, never> & { picture: number[]; mask: number[]; longest: number };
  const picture = await recordedPicture('quick');
  const mean = out.picture.reduce((sum, v, i) => sum + Math.abs(v - picture[i]), 0) / picture.length;
  expect(mean).toBeLessThanOrEqual(1);
  expect(out.mask.map(v => 255 * v)).toEqual(await recordedMask('quick'));
  expect(out).toMatchObject({
    phases: ['load', 'text', 'compile', 'encode', 'mask', 'invert', 'edit', 'decode'],
    refused: [true, 'input', expect.stringMatching(/^run: .*numInferenceSteps/)],
    cancelled: 'AbortError',
    gone: expect.stringMatching(/the model was disposed/),
    vendor: 'swiftshader',
    size: { width: 128, height: 128 },
  });
  expect(out['latents']).toEqual([out['latents'][0], out['latents'][0]]);
  expect(out['bytes']).toBeGreaterThan(1e6);
  expect(problems).toEqual([]);
});

it('the second load moves no byte, in a worker of its own', async () => {
  asked = [];
  expect(await run('again')).toBeGreaterThan(1e6);
  expect(asked.filter(url => url.includes('/models/'))).toEqual([]);
  expect(asked.some(url => url.endsWith('script-chunk.js'))).toBe(true);
  expect(problems).toEqual([]);
});
