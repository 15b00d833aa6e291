/** The packed package in Firefox: its own WebGPU (wgpu), whose adapters tell nothing of themselves; in a page and in a worker. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { relativeL2 } from '../support/close.ts';
import { expectQuickEdit } from '../support/edits.ts';
import { openFirefox } from '../support/firefox.ts';
import { loadGolden } from '../support/golden.ts';
import { servePackage } from '../support/serve-package.ts';
import { shadersWithoutSubgroups } from '../support/shader-variants.ts';
import { ROOT } from '../support/tarball.ts';

const FULL = process.env.PENTIMENTO_FULL !== undefined;
const made = mkdtempSync(join(tmpdir(), 'pentimento-firefox-'));
let server: { url: string; close: () => void };
let browser: Browser;
let page: Page;
let problems: string[];
let asked: string[];
beforeAll(async () => {
  server = await servePackage({
    '/golden/': join(ROOT, 'test/golden'),
    '/test/': join(ROOT, 'test/package'),
    '/made/': made,
    '/runtimes/': join(ROOT, 'test/runtimes'),
  });
  ({ browser, page, problems, asked } = await openFirefox());
  await page.goto(`${server.url}/test/worker-page.html`);
});
afterAll(async () => {
  await browser?.close();
  server?.close();
  rmSync(made, { recursive: true });
});
afterEach(() => {
  expect(problems).toEqual([]);
  expect(asked.filter(url => !url.startsWith(server.url) && !url.startsWith('data:'))).toEqual([]);
});

/** Calls what a module exports. As text, because the test's own compiler would rewrite import(). */
const call = (module: string, name: string, argument?: object): Promise<unknown> =>
  page.evaluate(`import(${JSON.stringify(module)}).then(m => m.${name}(${JSON.stringify(argument) ?? ''}))`);

it('knows software by its being a fallback, where no name is told; and by its speed, where that is not told either', async () => {
  const told = (await page.evaluate(`import('pentimento').then(async ({ Gpu }) => {
    const names = ['vendor', 'architecture', 'device', 'description'];
    const software = async options => {
      const gpu = await Gpu.request(options);
      gpu.dispose();
      return gpu.caps.software;
    };
    const requestAdapter = async () => {
      const real = await navigator.gpu.requestAdapter();
      const { features, limits } = real;
      const info = Object.fromEntries(names.map(name => [name, '']));
      return { info, features, limits, requestDevice: wishes => real.requestDevice(wishes) };
    };
    const { info } = await navigator.gpu.requestAdapter();
    return {
      names: names.map(name => info[name]).join(''),
      ...{ fallback: info.isFallbackAdapter, software: await software(), measured: await software({ gpu: { requestAdapter } }) },
    };
  })`)) as Record<'fallback' | 'software' | 'measured', boolean>;
  expect(told).toEqual({ names: '', fallback: told.fallback, software: told.fallback, measured: told.fallback });
});

it('compiles every shader that needs no subgroups: naga refuses none', async () => {
  const shaders = shadersWithoutSubgroups();
  writeFileSync(join(made, 'shaders.json'), JSON.stringify(shaders));
  const refused =
    await page.evaluate(`Promise.all([import('/runtimes/compile-shaders.mjs'), fetch('/made/shaders.json')])
    .then(async ([{ compileAll }, answer]) => compileAll(await answer.json()))`);
  expect(shaders.length).toBeGreaterThan(200);
  // What it says of each it prints.
  expect(problems.splice(0).filter(text => !/["']broken["']/.test(text))).toEqual([]);
  expect(refused).toEqual([{ name: 'broken', message: expect.any(String) }]);
});

it('predicts with the UNet what was recorded', async () => {
  const golden = loadGolden('sd2');
  const [sample, context] = [golden.floats('unet.sample'), golden.floats('unet.context')];
  const plain = (t: { data: Float32Array; shape: readonly number[] }) => ({ data: [...t.data], shape: [...t.shape] });
  const inputs = { sample: plain(sample), context: plain(context) };
  const out = (await call('/test/unet-page.mjs', 'predict', inputs)) as number[];
  expect(relativeL2(out, golden.floats('unet.out').data)).toBeLessThan(1e-4);
});

it('keeps weights: a worker opens the model, and the second one asks for no byte of them', async () => {
  expect(await call('/test/worker-page.mjs', 'again')).toBeGreaterThan(1e6);
  const loaded = asked.length;
  expect(asked.some(url => url.endsWith('.safetensors'))).toBe(true);
  expect(await call('/test/worker-page.mjs', 'again')).toBeGreaterThan(1e6);
  expect(asked.slice(loaded).filter(url => url.includes('/models/'))).toEqual([]);
});

it.runIf(FULL)('edits in the page as recorded', async () => {
  await expectQuickEdit((await call('/runtimes/edit-page.mjs', 'edit')) as Record<'picture' | 'mask', number[]>);
});

it.runIf(FULL)('edits in a worker as recorded; the page stays free, and calls are refused and cancelled', async () => {
  const out = (await call('/test/worker-page.mjs', 'edit')) as Record<'picture' | 'mask' | 'latents', number[]>;
  await expectQuickEdit(out);
  expect(out).toMatchObject({
    phases: ['load', 'text', 'compile', 'encode', 'mask', 'invert', 'edit', 'decode'],
    refused: [true, 'input', expect.stringMatching(/^run: .*numInferenceSteps/)],
    cancelled: 'AbortError',
    gone: expect.stringMatching(/the model was disposed/),
    vendor: '',
    size: { width: 128, height: 128 },
  });
  expect(out.latents).toEqual([out.latents[0], out.latents[0]]);
});
