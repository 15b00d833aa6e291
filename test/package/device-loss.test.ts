/** Devices that are lost in Chromium, in a page and in its worker: the recorded edit comes out all the same, and nothing is left behind. */
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordedMask, recordedPicture } from '../support/edits.ts';
import { openPage } from '../support/page.ts';
import { servePackage } from '../support/serve-package.ts';
import { ROOT } from '../support/tarball.ts';

const FULL = process.env['PENTIMENTO_FULL'];

let server: { url: string; close: () => void };
let browser: Browser;
let page: Page;
let problems: string[];
beforeAll(async () => {
  server = await servePackage({
    '/test/': join(ROOT, 'test/package'),
    '/a/b/': join(ROOT, 'test/package'),
  });
  ({ browser, page, problems } = await openPage());
});
afterAll(async () => {
  await browser?.close();
  server?.close();
});

/** As text, because the test's own compiler would rewrite import(). */
const run = <T>(what: string): Promise<T> =>
  page.evaluate(`import('/test/device-loss-page.mjs').then(m => m.${what})`) as Promise<T>;

interface Lost {
  differs: boolean[];
  losses: [state: string, reason: string, phase: string][];
  behindLoss: number[];
  bytes: number[];
  steps: string[];
}

/** Of the first edit: kernels are built and prompts read once. */
const AT_FIRST = [
  ['compile', 5],
  ['text', 3],
];
/** Phases with a step in each. */
const EVERY: [phase: string, step: number][] = [
  ['load', 0],
  ['encode', 1],
  ['mask', 1],
  ['invert', 8],
  ['edit', 5],
  ['decode', 1],
];

// Each edit builds all kernels again: minutes. test/package/worker-page.test.ts loses a device every day.
describe.runIf(FULL).each(['page', 'worker'] as const)('a device that is lost in a %s', where => {
  /** Bytes of model and device behind each edit that followed a loss. */
  let flat: number[][] = [];
  beforeAll(async () => {
    // Another folder than the worker's script: addresses are relative to the page.
    await page.goto(`${server.url}/a/b/worker-page.html`);
    const { picture, mask, losses } = await run<{ picture: number[]; mask: number[]; losses: string[][] }>(
      `open('${where}', ${JSON.stringify(AT_FIRST)})`,
    );
    expect(losses.map(([state]) => state)).toEqual(['lost', 'restored', 'lost', 'restored']);
    flat = [];
    const recorded = await recordedPicture('quick');
    const mean = picture.reduce((sum, v, i) => sum + Math.abs(v - recorded[i]), 0) / recorded.length;
    expect(mean).toBeLessThanOrEqual(1);
    expect(mask.map(v => 255 * v)).toEqual(await recordedMask('quick'));
  });
  afterAll(async () => {
    expect(await run(`close()`)).toBe(0);
    expect(problems).toEqual([]);
  });

  it.each(EVERY)('at %s %i: the recorded edit, and once more, in the same memory', async (phase, step) => {
    const { differs, losses, behindLoss, bytes, steps } = await run<Lost>(`lose('${phase}', ${step})`);
    expect(differs).toEqual([false, false]);
    expect(losses.map(([state]) => state)).toEqual(['lost', 'restored']);
    // A worker hears of it when the last piece is done already.
    const phases = phase === 'decode' ? [expect.any(String), null] : [expect.any(String)];
    expect(losses[0]).toEqual(['lost', 'destroyed', expect.toBeOneOf(phases)]);
    // Phases begin, and steps are done, once each.
    expect([steps.length, new Set(steps).size]).toEqual([3 + 9 + 9, 3 + 9 + 9]);
    flat.push(bytes);
    expect(flat).toEqual(flat.map(() => bytes)); // behind this edit as behind all before
    expect(behindLoss[1]).toBeLessThanOrEqual(bytes[1]); // what was done before needs no programs on the new one
    expect(bytes[0]).toBeGreaterThan(1e6);
  });

  it('with a token of a caption: the same caption, and the pipeline on the same device goes on', async () => {
    const { expected, texts, ...rest } = await run<Record<string, unknown>>('loseCaption(3)');
    expect(texts).toEqual([expected, expected]);
    expect(rest).toEqual({ armed: false, differs: false, losses: [['lost', 'destroyed', null]] });
  });

  it('while a model is opened: it is opened on the next one', async () => {
    const told = ['lost', 'restored'].map(state => [state, 'load']);
    expect(await run('loseOpening()')).toEqual({ armed: false, told, differs: false });
  });

  it('without recovery: an error of the class, with its fields', async () => {
    const out = await run<{ told: string[][] }>('loseWithout()');
    expect(out).toMatchObject({ name: 'DeviceLostError', code: 'device', loss: { reason: 'destroyed' } });
    expect(out.told).toEqual([['lost', 'invert']]);
  });
});
