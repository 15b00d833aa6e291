/** Builds the studio into a folder of static files: page, worker, models, and the service worker that keeps the page for later. */
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
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

/** Kernels as text without comments and indentation; lines keep their numbers for messages. */
function wgslAsText(): Plugin {
  return {
    name: 'studio-wgsl',
    enforce: 'pre',
    load(id) {
      if (!id.endsWith('.wgsl')) return null;
      const lines = readFileSync(id, 'utf8').split('\n');
      return `export default ${JSON.stringify(lines.map(line => line.replace(/\/\/.*$/, '').trim()).join('\n'))};`;
    },
  };
}

/** The page starts a worker of its own, src/worker.ts, which holds the library: what the library would start is not carried as well. */
function oneWorker(): Plugin {
  const script = "new URL('./worker-entry.js', import.meta.url)";
  return {
    name: 'studio-one-worker',
    enforce: 'pre',
    transform(code, id) {
      if (!id.endsWith('/src/worker/start.ts')) return null;
      if (!code.includes(script)) throw new Error('src/worker/start.ts starts its worker in other words');
      return code.replace(script, "'about:blank'");
    },
  };
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
        // For GitHub Pages: nothing is left out, and an address without a file is answered by a page that leads back.
        this.emitFile({ type: 'asset', fileName: '.nojekyll', source: '' });
        const lost = readFileSync(join(HERE, '404.html'), 'utf8');
        this.emitFile({ type: 'asset', fileName: '404.html', source: lost });
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

const ENTRIES = { '': 'index', '/page': 'page', '/worker': 'worker/index', '/kernels': 'kernels/index' };

export default defineConfig({
  root: HERE,
  // From a sub-path as well.
  base: './',
  publicDir: false,
  define: { EMBEDDED_FILES: JSON.stringify(embeddedFiles()) },
  build: {
    outDir: join(ROOT, 'out/studio'),
    emptyOutDir: true,
    target: 'es2022',
    // Nothing as data: in the text, which the policy would have to allow.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1000,
  },
  worker: { format: 'es', plugins: () => [wgslAsText(), oneWorker()] },
  resolve: {
    // The sources of the public entries: modules that nobody uses are left out of the page, which needs little but the worker's client.
    alias: Object.entries(ENTRIES).map(([name, entry]) => ({
      find: new RegExp(`^pentimento${name}$`),
      replacement: join(ROOT, 'src', `${entry}.ts`),
    })),
  },
  plugins: [wgslAsText(), oneWorker(), serviceWorker(), embeddedModel()],
});
