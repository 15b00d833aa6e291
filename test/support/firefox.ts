import { existsSync } from 'node:fs';
import { type Browser, launch, type Page } from 'puppeteer-core';
import { patience } from './patience.ts';

/** WebGPU in every release, on software too, in pages and in their workers; nothing is asked of Mozilla's servers. */
const PREFERENCES = {
  'dom.webgpu.enabled': true,
  'dom.webgpu.workers.enabled': true,
  'gfx.webgpu.ignore-blocklist': true,
};

/** What FIREFOX_PATH names, Debian's Firefox ESR, or another Firefox. */
function firefoxPath(): string {
  const found = process.env['FIREFOX_PATH'] ?? ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find(p => existsSync(p));
  if (!found) throw new Error("Firefox's tests need it: run scripts/setup-debian.sh --browser, or set FIREFOX_PATH.");
  return found;
}

/** The environment of a program that is not Node: with the machine's own C library, and so with its own drivers. */
export function ownDrivers(): Record<string, string | undefined> {
  const { PENTIMENTO_MESA: folder, VK_DRIVER_FILES: driver, ...rest } = process.env;
  return folder !== undefined && driver?.startsWith(folder) ? rest : { ...rest, VK_DRIVER_FILES: driver };
}

/**
 * A page of headless Firefox, by WebDriver BiDi; `problems` is what it prints as errors, `asked` the address of every request.
 * @param downloads folder for what is saved
 */
export async function openFirefox(
  downloads?: string,
): Promise<{ browser: Browser; page: Page; problems: string[]; asked: string[] }> {
  const saved = downloads === undefined ? {} : { 'browser.download.folderList': 2, 'browser.download.dir': downloads };
  const extraPrefsFirefox = { ...PREFERENCES, ...saved };
  const browser = await launch({
    ...{ browser: 'firefox', executablePath: firefoxPath(), headless: true, extraPrefsFirefox },
    ...{ env: ownDrivers(), timeout: patience(), protocolTimeout: 2 * patience() },
  });
  const page = await browser.newPage();
  page.setDefaultTimeout(patience());
  const [problems, asked]: [string[], string[]] = [[], []];
  page.on('pageerror', error => void problems.push(String(error)));
  page.on('console', message => void (message.type() === 'error' && problems.push(message.text())));
  page.on('request', request => void asked.push(request.url()));
  return { browser, page, problems, asked };
}
