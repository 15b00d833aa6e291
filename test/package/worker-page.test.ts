/**
 * The packed package's worker in Chromium: an edit over the loss of a device, cancelled and refused calls, a second load without
 * a byte, folders that people drop, and recorded pictures of words and of a masked part.
 */
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { GreyImage, RgbImage } from '../../src/io/image.ts';
import { readImage } from '../../src/node/images.ts';
import { maxError } from '../support/close.ts';
import { texture } from '../support/dummies.ts';
import { recordedMask, recordedPicture } from '../support/edits.ts';
import { grey, type RecordedCall } from '../support/generation.ts';
import { loadGolden } from '../support/golden.ts';
import { openPage } from '../support/page.ts';
import { openPipeline } from '../support/pipeline.ts';
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
const run = (what: string, given: object = {}): Promise<unknown> =>
  page.evaluate(`import('/test/worker-page.mjs').then(m => m.${what}(${JSON.stringify(given)}))`);

/** The recorded quick edit where all is asked for; else a shorter one, which this process makes too. */
async function expectedEdit() {
  const recorded = { numInferenceSteps: 10, numMapsPerMask: 2, lose: 7 };
  if (process.env['PENTIMENTO_FULL'] !== undefined)
    return { args: recorded, picture: await recordedPicture('quick'), mask: await recordedMask('quick') };
  const { lose, ...args } = { numInferenceSteps: 4, numMapsPerMask: 1, lose: 2 };
  const pipeline = await openPipeline('models/orchard/stable-diffusion');
  const image = await readImage(join(ROOT, 'models/orchard/samples/apples-bowl.png'));
  const prompts = { image, sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of pears', seed: 0 };
  const { images, mask } = await pipeline.run({ ...prompts, ...args });
  pipeline.dispose();
  const found = Array.from(mask?.mask.data ?? [], v => 255 * v);
  return { args: { ...args, lose }, picture: (images as RgbImage[])[0].data, mask: found };
}

it('edits as without a worker though its device is lost, while the page stays free; calls are refused, cancelled and left as without a worker', async () => {
  const { args, picture, mask } = await expectedEdit();
  const out = (await run('edit', args)) as Record<string, never> & {
    picture: number[];
    mask: number[];
    longest: number;
  };
  const mean = out.picture.reduce((sum, v, i) => sum + Math.abs(v - picture[i]), 0) / picture.length;
  expect(mean).toBeLessThanOrEqual(1);
  expect(out.mask.map(v => 255 * v)).toEqual(mask);
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
