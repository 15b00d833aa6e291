/** What the builds of the pages share. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';

/** The folder of the project. */
export const ROOT: string = fileURLToPath(new URL('../..', import.meta.url));

/** Kernels as text without comments and indentation; lines keep their numbers for messages. */
export function wgslAsText(): Plugin {
  return {
    name: 'site-wgsl',
    enforce: 'pre',
    load(id) {
      if (!id.endsWith('.wgsl')) return null;
      const lines = readFileSync(id, 'utf8').split('\n');
      return `export default ${JSON.stringify(lines.map(line => line.replace(/\/\/.*$/, '').trim()).join('\n'))};`;
    },
  };
}

/** The page starts a worker of its own, which holds the library: what the library would start is not carried as well. */
export function oneWorker(): Plugin {
  const script = "new URL('./worker-entry.js', import.meta.url)";
  return {
    name: 'site-one-worker',
    enforce: 'pre',
    transform(code, id) {
      if (!id.endsWith('/src/worker/start.ts')) return null;
      if (!code.includes(script)) throw new Error('src/worker/start.ts starts its worker in other words');
      return code.replace(script, "'about:blank'");
    },
  };
}

/** For GitHub Pages: nothing is left out, and an address without a file is answered by a page that leads back. */
export function forAnyHost(lost: string): Plugin {
  return {
    name: 'site-any-host',
    generateBundle() {
      this.emitFile({ type: 'asset', fileName: '.nojekyll', source: '' });
      this.emitFile({ type: 'asset', fileName: '404.html', source: readFileSync(lost, 'utf8') });
    },
  };
}

const ENTRIES = { '': 'index', '/page': 'page', '/worker': 'worker/index', '/kernels': 'kernels/index' };

/** The sources of the public entries: modules that nobody uses are left out of a page. */
export const ALIASES: { find: RegExp; replacement: string }[] = Object.entries(ENTRIES).map(([name, entry]) => ({
  find: new RegExp(`^pentimento${name}$`),
  replacement: join(ROOT, 'src', `${entry}.ts`),
}));

/** How a page is built: from a sub-path as well, with nothing as data in the text, which its policy would have to allow. */
export function pageBuild(name: string): { outDir: string; emptyOutDir: true; target: string; assetsInlineLimit: 0 } {
  return { outDir: join(ROOT, 'out', name), emptyOutDir: true, target: 'es2022', assetsInlineLimit: 0 };
}
