/**
 * The packed package's worker in Chromium: the recorded quick edit over the loss of a device, cancelled and refused calls, a second load without
 * a byte, folders that people drop, and recorded pictures of words and of a masked part.
 */
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { GreyImage, RgbImage } from '../../src/io/image.ts';
import { maxError } from '../support/close.ts';
import { texture } from '../support/dummies.ts';
import { recordedMask, recordedPicture } from '../support/edits.ts';
import { grey, type RecordedCall } from '../support/generation.ts';
import { loadGolden } from '../support/golden.ts';
import { openPage } from '../support/page.ts';
import { fieldsOf } from '../support/scheduler-numbers.ts';
import { servePackage } from '../support/serve-package.ts';
import { ROOT } from '../support/tarball.ts';

let server: { url: string; close: () => void };
let browser: Browser;
let page: Page;
let problems: string[];
let asked: string[] = [];
beforeAll(async () => {
  server = await servePackage({
    '/golden/': join(ROOT, 'test/golden'),
    '/test/': join(ROOT, 'test/package'),
  });
  ({ browser, page, problems } = await openPage());
  page.context().on('request', request => void asked.push(request.url()));
  await page.goto(`${server.url}/test/worker-page.html`);
});
afterAll(async () => {
  await browser?.close();
  server?.close();
});

/** As text, because the test's own compiler would rewrite import(). */
const run = (what: string): Promise<unknown> => page.evaluate(`import('/test/worker-page.mjs').then(m => m.${what}())`);

it('edits as recorded though its device is lost, while the page stays free; calls are refused, cancelled and left as without a worker', async () => {
  const out = (await run('edit')) as Record<string, never> & { picture: number[]; mask: number[]; longest: number };
  const picture = await recordedPicture('quick');
  const mean = out.picture.reduce((sum, v, i) => sum + Math.abs(v - picture[i]), 0) / picture.length;
  expect(mean).toBeLessThanOrEqual(1);
  expect(out.mask.map(v => 255 * v)).toEqual(await recordedMask('quick'));
  expect(out).toMatchObject({
    phases: ['load', 'text', 'compile', 'encode', 'mask', 'invert', 'edit', 'decode'],
    refused: [true, 'input', expect.stringMatching(/^run: .*numInferenceSteps/)],
    cancelled: 'AbortError',
    losses: ['lost', 'restored'],
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

it('opens what people give to the page: a folder that is dropped, chosen, or had as a handle', async () => {
  await run('listen');
  const model = join(ROOT, 'models/orchard/stable-diffusion');
  await page.setInputFiles('input', model);
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files: [model], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
    await session.send('Input.dispatchDragEvent', { type, x: 50, y: 200, data });
  const bytes = (await run('openGiven')) as Record<string, number>;
  expect(Object.keys(bytes)).toEqual(['dropped', 'files', 'handle']);
  expect(new Set(Object.values(bytes))).toEqual(new Set([bytes['handle']]));
  expect(bytes['handle']).toBeGreaterThan(1e6);
  expect(problems).toEqual([]);
});

it('makes recorded pictures of words, and in a worker of a masked part', async () => {
  const golden = loadGolden('image-generation');
  const recorded = (name: string): RecordedCall => {
    const found = (golden.json.cases as readonly RecordedCall[]).find(each => each.name === name);
    return found as RecordedCall;
  };
  const make = (what: string, given: object): Promise<unknown> =>
    page.evaluate(`import('/test/generation-page.mjs').then(m => m.${what}(${JSON.stringify(given)}))`);
  const given = ({ seed, args }: RecordedCall) => ({ seed, args: fieldsOf<object>(args) });
  const plain = (picture: RgbImage | GreyImage) => ({ ...picture, data: [...picture.data] });
  const words = await make('ofWords', given(recorded('text dpm')));
  expect(maxError(words as number[], golden.ints('text dpm.picture').data)).toBeLessThanOrEqual(2);

  const masked = recorded('inpaint ancestral');
  const pictures = { image: plain(texture(...masked.sides, 0)), maskImage: plain(grey(...masked.sides, 0)) };
  const part = (await make('ofMaskedPart', { ...given(masked), ...pictures })) as Record<string, number[]>;
  expect(maxError(part['picture'] ?? [], golden.ints('inpaint ancestral.picture').data)).toBeLessThanOrEqual(2);
  expect(part['steps']).toEqual([0, 1, 2, 3, 4]);
  expect(problems).toEqual([]);
});
