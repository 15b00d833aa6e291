// npm run build:studio: the page site/studio as a folder of static files, out/studio, for any host and any path.
// npm run studio: builds it and serves it on this machine.
import process from 'node:process';
import { ROOT, setup } from './setup.mjs';

// It takes the sources: dist/ is not needed.
setup();
const { build, preview } = await import('vite');

const configFile = `${ROOT}/site/studio/vite.config.ts`;
const logLevel = process.argv.includes('--serve') ? 'info' : 'warn';
await build({ configFile, logLevel });
if (process.argv.includes('--serve')) (await preview({ configFile, logLevel })).printUrls();
