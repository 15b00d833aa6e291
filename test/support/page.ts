import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright';
import { CHROMIUM_FLAGS, chromiumPath } from './chromium.ts';
import { patience } from './patience.ts';

const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.png': 'image/png',
};

/** Serves folders under prefixes of the path, the longest prefix first, with ranges; with `cors` to pages of any origin. */
export async function serve(
  folders: Readonly<Record<string, string>>,
  { cors = false } = {},
): Promise<{ url: string; close: () => void }> {
  const prefixes = Object.keys(folders).sort((a, b) => b.length - a.length);
  const server = createServer((request, response) => {
    let path = normalize(decodeURIComponent(new URL(request.url ?? '/', 'http://page').pathname));
    if (path.endsWith('/')) path += 'index.html';
    const prefix = prefixes.find(p => path.startsWith(p));
    const file = prefix === undefined ? '' : join(folders[prefix], path.slice(prefix.length));
    if (!existsSync(file) || !statSync(file).isFile()) {
      response.statusCode = 404;
      response.end();
      return;
    }
    const { size, mtimeMs } = statSync(file);
    if (cors) response.setHeader('access-control-allow-origin', '*');
    response.setHeader('etag', `"${size}-${mtimeMs}"`);
    const [, from, to] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? [];
    const [start, end] =
      from === undefined ? [0, size - 1] : [Number(from), Math.min(size - 1, to ? Number(to) : size - 1)];
    response.statusCode = from === undefined ? 200 : 206;
    if (from !== undefined) response.setHeader('content-range', `bytes ${start}-${end}/${size}`);
    response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream');
    response.setHeader('content-length', size === 0 ? 0 : end - start + 1);
    if (size === 0) response.end();
    else createReadStream(file, { start, end }).pipe(response);
  });
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}

/** A page of headless Chromium on SwiftShader; what it prints as an error fails the caller through `problems`. */
export async function openPage(): Promise<{ browser: Browser; page: Page; problems: string[] }> {
  const browser = await chromium.launch({
    executablePath: chromiumPath(),
    args: [...CHROMIUM_FLAGS],
    timeout: patience(),
  });
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(patience());
  const problems: string[] = [];
  page.on('pageerror', error => problems.push(String(error)));
  page.on('console', message => {
    // Folders are probed for files that they may lack.
    if (message.type() === 'error' && !message.text().includes('404')) problems.push(message.text());
  });
  return { browser, page, problems };
}
