/** A page of site/, built and served from a sub-path, in Chromium on SwiftShader. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright';
import { openPage, serve } from './page.ts';
import { patience } from './patience.ts';
import { ROOT } from './tarball.ts';

/** Where screenshots are kept, to be looked at. */
const SHOTS = join(ROOT, 'out/site-screenshots');
const PATH = '/some/where/';

/** A page that is open, and what it did. */
export interface Visit {
  readonly page: Page;
  /** Everything that the console called an error, and every exception. */
  readonly problems: string[];
  /** Every address that was asked, by page, worker and service worker. */
  readonly asked: string[];
}

/** A page, built. */
export class Site {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'pentimento-site-'));
  readonly #name: string;
  #server: { url: string; close: () => void } | undefined;
  #browser: Browser | undefined;

  /** @param name its folder below site/ */
  constructor(name: 'studio' | 'bench') {
    this.#name = name;
  }

  /** Builds, serves, and starts Chromium. */
  async start(): Promise<void> {
    await this.serve();
    this.#browser = (await openPage()).browser;
  }

  /** Builds and serves. */
  async serve(): Promise<void> {
    const vite = join(ROOT, 'node_modules/vite/bin/vite.js');
    const config = join(ROOT, 'site', this.#name, 'vite.config.ts');
    const { NODE_ENV: _, VITEST: __, ...env } = process.env;
    const args = [vite, 'build', '--config', config, '--outDir', this.folder, '--logLevel', 'warn'];
    const built = spawnSync(process.execPath, args, { cwd: ROOT, env, encoding: 'utf8' });
    if (built.status !== 0) throw new Error(built.stderr);
    this.#server = await serve({ [PATH]: this.folder });
  }

  /** Nobody answers any more. */
  stopServer(): void {
    this.#server?.close();
  }

  async stop(): Promise<void> {
    await this.#browser?.close();
    this.stopServer();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Where the page lies. */
  get url(): string {
    return `${this.#server?.url}${PATH}`;
  }

  /** Visits it as somebody who was never there. @param prepare before anything is asked */
  async visit(search = '', prepare?: (context: BrowserContext) => Promise<unknown>): Promise<Visit> {
    const context = await this.#browser?.newContext({ viewport: { width: 1280, height: 900 } });
    if (!context) throw new Error('the browser is not open');
    await prepare?.(context);
    const [problems, asked]: [string[], string[]] = [[], []];
    context.on('request', request => void asked.push(request.url()));
    const page = await context.newPage();
    page.setDefaultTimeout(patience());
    page.on('pageerror', error => void problems.push(String(error)));
    page.on('console', message => {
      if (message.type() === 'error') problems.push(message.text());
    });
    await page.goto(this.url + search);
    return { page, problems, asked };
  }
}

/** Waits until nothing runs. */
export async function free(page: Page): Promise<void> {
  await page.locator('#cancel').waitFor({ state: 'hidden', timeout: patience() });
}

/** Waits until a model is open. */
export async function opened(page: Page): Promise<void> {
  await page.locator('#model-name', { hasText: ' pixels' }).waitFor({ timeout: patience() });
  await free(page);
}

/** What a screen reader was told last. */
export const said = (page: Page): Promise<string | null> => page.locator('#status').textContent();
/** What went wrong, as the page tells it. */
export const told = (page: Page): Promise<string | null> => page.locator('#problem').textContent();

/** Keeps a screenshot. */
export async function shot(page: Page, name: string, fullPage = false): Promise<void> {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage });
}

/** A page of any driver. */
interface AnyPage {
  evaluate(text: string): Promise<unknown>;
}

/** What axe-core finds wrong with the page as it is now. */
export async function violations(page: AnyPage): Promise<unknown[]> {
  if (!(await page.evaluate('typeof axe === "object"')))
    await page.evaluate(readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));
  const run = `axe.run(document, { resultTypes: ['violations'] })`;
  const found = (await page.evaluate(run)) as { violations: { id: string; nodes: { html: string }[] }[] };
  return found.violations.map(({ id, nodes }) => [id, nodes.map(node => node.html)]);
}

/** Drops or pastes files, by an event made by hand. */
export async function hand(
  page: AnyPage,
  kind: 'drop' | 'paste',
  files: readonly { readonly name: string; readonly type: string; readonly bytes: Uint8Array }[],
): Promise<void> {
  const plain = files.map(({ name, type, bytes }) => ({ name, type, bytes: [...bytes] }));
  await page.evaluate(`(${dispatch})(${JSON.stringify(kind)}, ${JSON.stringify(plain)})`);
}

/** Runs in the page. */
function dispatch(event: 'drop' | 'paste', given: { name: string; type: string; bytes: number[] }[]): void {
  const data = new DataTransfer();
  for (const { name, type, bytes } of given) data.items.add(new File([Uint8Array.from(bytes)], name, { type }));
  const target = document.getElementById('stage');
  const more = { bubbles: true, cancelable: true };
  target?.dispatchEvent(
    event === 'drop'
      ? new DragEvent('drop', { ...more, dataTransfer: data })
      : new ClipboardEvent('paste', { ...more, clipboardData: data }),
  );
}
