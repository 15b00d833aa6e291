/** Tuning in a page of Chromium: measured there, kept in IndexedDB, and used by the next device, in the next page too. */
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPage } from '../support/page.ts';
import { servePackage } from '../support/serve-package.ts';
import { ROOT } from '../support/tarball.ts';

describe.runIf(process.env['PENTIMENTO_FULL'])('in a page of Chromium', () => {
  let server: { url: string; close: () => void };
  let browser: Browser;
  let page: Page;
  let problems: string[];
  const open = () => page.goto(`${server.url}/test/tuning-page.html`);
  beforeAll(async () => {
    server = await servePackage({ '/test/': join(ROOT, 'test/package') });
    ({ browser, page, problems } = await openPage());
    await open();
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  /** As text, because the test's own compiler would rewrite import(). */
  const run = (what: string): Promise<unknown> => page.evaluate(`import('/test/tuning-page.mjs').then(m => m.${what})`);

  it('keeps what it measured, and requests devices by it; what is damaged is told and not used', async () => {
    const first = (await run('roundTrip()')) as { name: string; clock: string };
    expect(first).toMatchObject({ before: true, same: true, choices: 1 });
    expect(first.name).toMatch(/^[a-z0-9-]+-[0-9a-f]{8}-[0-9a-f]{12}$/);
    expect(first.clock).not.toBe('processor'); // which no page tells
    await open();
    expect(await run('again()')).toEqual({ kept: 1, listed: [[first.name, 'good']] });
    expect(await run(`damage('${first.name}', { version: 2 })`)).toEqual({
      kept: true,
      warnings: [expect.stringMatching(/^A tuning table is not used: .*of another version: expected 1, got 2/)],
    });
    expect(await run('again()')).toEqual({
      kept: undefined,
      listed: [[first.name, 'a table of another version']],
    });
    expect(await run(`remove('${first.name}')`)).toEqual([true, false, []]);
    expect(problems).toEqual([]);
  });
});
