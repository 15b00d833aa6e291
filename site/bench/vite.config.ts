/** Builds the benchmark's page into a folder of static files: page and worker. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { ALIASES, forAnyHost, pageBuild, wgslAsText } from '../shared/vite-plugins.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));

export default defineConfig({
  root: HERE,
  // From a sub-path as well.
  base: './',
  publicDir: false,
  build: { ...pageBuild('bench'), modulePreload: { polyfill: false }, chunkSizeWarningLimit: 1000 },
  worker: { format: 'es', plugins: () => [wgslAsText()] },
  resolve: { alias: ALIASES },
  plugins: [wgslAsText(), forAnyHost(join(HERE, '404.html'))],
});
