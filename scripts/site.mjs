// npm run build:studio, build:bench: a page of site/ as a folder of static files, out/<page>, for any host and any path.
// npm run studio, bench:page: builds it and serves it on this machine.
//
//   node scripts/site.mjs PAGE [--serve]
import { existsSync } from 'node:fs';
import process from 'node:process';
import { ROOT, setup } from './setup.mjs';

const [page = '', serve] = process.argv.slice(2);
const configFile = `${ROOT}/site/${page}/vite.config.ts`;
if (page === '' || !existsSync(configFile)) {
  process.stderr.write(`site: ${page === '' ? 'name a page' : `there is no page ${page}`}: studio or bench\n`);
  process.exit(2);
}
// It takes the sources: dist/ is not needed.
setup();
const { build, preview } = await import('vite');

const logLevel = serve === '--serve' ? 'info' : 'warn';
await build({ configFile, logLevel });
if (serve === '--serve') (await preview({ configFile, logLevel })).printUrls();
