/** Weights kept in the storage of a real browser: the same as test/io/cached-folder.test.ts in Chromium, in a page, a worker and two tabs. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openPage } from '../support/page.ts';
import { patience } from '../support/patience.ts';
import { servePackage } from '../support/serve-package.ts';
import { ROOT } from '../support/tarball.ts';

const WEIGHTS = 'vae/diffusion_pytorch_model.safetensors';
const SIZE = statSync(join(ROOT, 'models/orchard/stable-diffusion', WEIGHTS)).size;
const PIECE = 2 ** 18;

let server: { url: string; close: () => void };
let browser: Browser;
let page: Page;
let problems: string[];
/** Requests for weights, of all pages and workers. */
let asked: { range: string | undefined }[] = [];
beforeAll(async () => {
  server = await servePackage({
    '/test/': join(ROOT, 'test/package'),
  });
  ({ browser, page, problems } = await openPage());
  page.context().on('request', request => {
    if (request.url().endsWith('.safetensors')) asked.push({ range: request.headers()['range'] });
  });
  await page.goto(`${server.url}/test/storage-page.html`);
});
afterAll(async () => {
  await browser?.close();
  server?.close();
});

/** What a tab or its worker does; as text, because the test's own compiler would rewrite import(). */
const run = (what: string, where = page): Promise<unknown> => {
  asked = [];
  return where.evaluate(`import('/test/storage-page.mjs').then(m => m.${what})`);
};
const digest = (where: string) => `read({ where: '${where}', pieceBytes: ${PIECE} })`;

describe.each(['page', 'worker'])('in a %s of Chromium', where => {
  it('the second load moves no byte of weights', async () => {
    await run('empty()');
    const first = await run(digest(where));
    expect(first).toEqual({ bytes: SIZE, right: true, warnings: [] });
    expect(asked.length).toBe(1);
    expect(await run(digest(where))).toEqual(first);
    expect(asked).toEqual([]);
  });

  it('a cut download goes on where it was cut', async () => {
    await run('empty()');
    expect(await run(`cut({ where: '${where}', pieceBytes: ${PIECE}, after: ${3 * PIECE} })`)).toMatch(/enough/);
    expect(await run(digest(where))).toMatchObject({ right: true });
    expect(asked.length).toBe(1);
    expect(Number(/^bytes=(\d+)-$/.exec(asked[0].range ?? '')?.[1]) % PIECE).toBe(0);
  });

  it('a damaged file is found and mended', async () => {
    await run('damage(1, 77)');
    expect(await run(digest(where))).toMatchObject({ right: true, warnings: [expect.stringMatching(/piece 2 of/)] });
    expect(asked).toEqual([{ range: `bytes=${PIECE}-` }]);
  });

  it('a full storage is told with its numbers', async () => {
    await run('empty()');
    const session = await page.context().newCDPSession(page);
    const origin = server.url;
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 2 * PIECE });
    const error = await run(`failure({ where: '${where}', pieceBytes: ${PIECE} })`);
    await session.send('Storage.overrideQuotaForOrigin', { origin });
    expect(error).toMatchObject({ class: 'StorageFullError', bytes: { asked: expect.any(Number) } });
    const { bytes } = error as { bytes: { asked: number; held: number; available: number } };
    expect(bytes.asked).toBeLessThanOrEqual(SIZE);
    expect(bytes.available + bytes.held).toBeGreaterThan(0);
    expect(await run(digest(where))).toMatchObject({ right: true });
  });
});

it('two tabs fetch it once, and one does not remove what the other reads', async () => {
  await run('empty()');
  const other = await page.context().newPage();
  await other.goto(`${server.url}/test/storage-page.html`);
  asked = [];
  const both = [page, other].map(tab =>
    tab.evaluate(`import('/test/storage-page.mjs').then(m => m.${digest('page')})`),
  );
  expect(await Promise.all(both)).toMatchObject([{ right: true }, { right: true }]);
  expect(asked.filter(({ range }) => range !== undefined)).toEqual([]);
  await run('hold()', other);
  expect(await run('empty()')).toMatchObject({ inUse: 1 });
  await other.close();
  // A tab's locks go a little after it.
  await vi.waitFor(async () => expect(await run('empty()')).toEqual({ bytes: SIZE, inUse: 0 }), patience());
  expect(problems).toEqual([]);
});

it.each(['page', 'worker'])('a %s reads what is right, however often another tab purges it', async where => {
  await run('empty()');
  const other = await page.context().newPage();
  await other.goto(`${server.url}/test/storage-page.html`);
  const [read, purged] = await Promise.all([
    run(`readOn({ where: '${where}', ms: 3000, pieceBytes: ${PIECE} })`),
    run('purgeOn({ ms: 3000 })', other),
  ]);
  expect(read).toEqual({ right: expect.any(Number), wrong: [] });
  expect(purged).toBeGreaterThan(0);
  await other.close();
  expect(problems).toEqual([]);
});
