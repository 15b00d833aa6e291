/** Builds the studio into a folder of static files: page, worker, models, and the service worker that keeps the page for later. */
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';
import { ALIASES, forAnyHost, oneWorker, pageBuild, ROOT, wgslAsText } from '../shared/vite-plugins.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const MODELS = 'models/orchard';

/** Files of the embedded models by folder, so that the page asks for none that is not there. */
function embeddedFiles(): Record<string, string[]> {
  const folders = ['stable-diffusion', 'blip', 't5', 'samples'];
  const filesOf = (name: string): string[] =>
    readdirSync(join(ROOT, MODELS, name), { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name).slice(join(ROOT, MODELS, name).length + 1));
  return Object.fromEntries(folders.map(name => [name, filesOf(name).sort()]));
}

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
        const samples = embeddedFiles().samples.map(name => `${MODELS}/samples/${name}`);
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
    writeBundle: () => cpSync(join(ROOT, MODELS), join(outDir, MODELS), { recursive: true }),
  };
}

export default defineConfig({
  root: HERE,
  // From a sub-path as well.
  base: './',
  publicDir: false,
  define: { EMBEDDED_FILES: JSON.stringify(embeddedFiles()) },
  build: { ...pageBuild('studio'), modulePreload: { polyfill: false }, chunkSizeWarningLimit: 1000 },
  worker: { format: 'es', plugins: () => [wgslAsText(), oneWorker()] },
  // The page needs little but the worker's client.
  resolve: { alias: ALIASES },
  plugins: [wgslAsText(), oneWorker(), serviceWorker(), forAnyHost(join(HERE, '404.html')), embeddedModel()],
});
