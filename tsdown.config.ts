import { readFileSync } from 'node:fs';
import { defineConfig } from 'tsdown';

const ENTRIES = {
  index: 'src/index.ts',
  node: 'src/node/index.ts',
  kernels: 'src/kernels/index.ts',
  safetensors: 'src/safetensors.ts',
  schedulers: 'src/schedulers/index.ts',
};

/** Kernels as text without comments and indentation, a fifteenth of the page's bundle; lines keep their numbers for messages. */
const wgslAsText = {
  name: 'wgsl-as-text',
  load(id: string) {
    if (!id.endsWith('.wgsl')) return null;
    const lines = readFileSync(id, 'utf8').split('\n');
    const text = lines.map(line => line.replace(/\/\/.*$/, '').trim()).join('\n');
    return { code: `export default ${JSON.stringify(text)};`, moduleType: 'js' as const };
  },
};

/** One graph for all entries, so that each class exists once however many of them a program imports. */
export default defineConfig({
  entry: { ...ENTRIES, cli: 'src/cli/main.ts', bench: 'bench/main.ts', 'bench-models': 'bench/models.ts' },
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  deps: { neverBundle: [/^node:/] },
  plugins: [wgslAsText],
  fixedExtension: false,
  hash: false,
  // Shared chunks lie apart: one that is called like an entry would take the place of its declarations.
  outputOptions: { chunkFileNames: 'chunks/[name].js' },
  dts: { tsconfig: 'test/tsconfig.json', entry: Object.values(ENTRIES) },
});
