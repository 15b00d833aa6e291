/** Builds the studio into a folder of static files: page, worker, models, and the service worker that keeps the page for later. */
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const HERE = fileURLToPath(new URL('.', import.meta.url));
const SAMPLES = 'models/orchard/samples';

/** The service worker knows all files of the page by name, and is another one whenever one of them is. */
function serviceWorker(): Plugin {
  return {
    name: 'studio-service-worker',
    enforce: 'post',
    generateBundle: {
      order: 'post',
      handler(_, bundle) {
        const text = readFileSync(join(HERE, 'service-worker.js'), 'utf8');
        const hash = createHash('sha256').update(text);
        const names = Object.keys(bundle).sort();
        for (const name of names) {
          const file = bundle[name];
          hash.update(name).update(file.type === 'chunk' ? file.code : file.source);
        }
        const samples = readdirSync(join(ROOT, SAMPLES)).map(name => `${SAMPLES}/${name}`);
        const said = { version: hash.digest('hex').slice(0, 16), files: ['./', ...names, ...samples] };
        const source = text.replace(/{ version: '', files: \[\] }/, () => JSON.stringify(said));
        if (source === text) throw new Error('service-worker.js has no place for the names of the files');
        this.emitFile({ type: 'asset', fileName: 'service-worker.js', source });
      },
    },
  };
}

/** The embedded model lies beside the page. */
function embeddedModel(): Plugin {
  let outDir = '';
  return {
    name: 'studio-embedded-model',
    configResolved: config => {
      outDir = config.build.outDir;
    },
    writeBundle: () => cpSync(join(ROOT, 'models'), join(outDir, 'models'), { recursive: true }),
  };
}

export default defineConfig({
  root: HERE,
  // From a sub-path as well.
  base: './',
  publicDir: false,
  build: {
    outDir: join(ROOT, 'out/studio'),
    emptyOutDir: true,
    target: 'es2022',
    // Nothing as data: in the text, which the policy would have to allow.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1000,
  },
  worker: { format: 'es' },
  resolve: {
    // The package as it is built, by its public entries.
    alias: ['page', 'worker', ''].map(entry => ({
      find: new RegExp(`^pentimento${entry && `/${entry}`}$`),
      replacement: join(ROOT, 'dist', `${entry || 'index'}.js`),
    })),
  },
  plugins: [serviceWorker(), embeddedModel()],
});
